//! One connection per broker and lane, opened when needed, opened again after a pause when it could not be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_io::{Env, Mono};
use ottla_rpc::{CallError, ClientConnection, ClientOptions};

use crate::retry::Backoff;

/// Answers leave a broker in the order of the requests, so requests that may wait there for long have connections of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Requests that are answered at once.
    Control,
    /// Produce.
    Produce,
    /// Fetch.
    Fetch,
    /// JoinGroup and SyncGroup, which wait for the other members.
    Join,
}

/// A broker's address.
pub(crate) type Address = (String, u16);

type Shared = Arc<tokio::sync::Mutex<Slot>>;

#[derive(Default)]
struct Slot {
    open: Option<ClientConnection>,
    failures: u32,
    not_before: Mono,
}

/// All connections of one client.
pub(crate) struct Connections {
    env: Env,
    options: ClientOptions,
    backoff: Backoff,
    slots: Mutex<BTreeMap<(Address, Lane), Shared>>,
}

impl Connections {
    pub(crate) fn new(env: &Env, options: ClientOptions, backoff: Backoff) -> Self {
        Connections {
            env: env.clone(),
            options,
            backoff,
            slots: Mutex::default(),
        }
    }

    /// The open connection, or a new one. Waits out the pause after a failure.
    pub(crate) async fn get(&self, address: &Address, lane: Lane) -> Result<ClientConnection, CallError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry((address.clone(), lane)).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(open) = slot.open.as_ref().filter(|c| !c.is_closed()) {
            return Ok(open.clone());
        }
        slot.open = None;
        self.env.clock.sleep_until(slot.not_before).await;
        match ClientConnection::connect(&self.env, &address.0, address.1, &self.options).await {
            Ok(open) => {
                slot.failures = 0;
                slot.not_before = self.env.clock.now().after(self.backoff.pause(1));
                slot.open = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                slot.failures += 1;
                slot.not_before = self.env.clock.now().after(self.backoff.pause(slot.failures));
                Err(error)
            }
        }
    }

    /// Lets go of all connections; each closes when its calls are done.
    pub(crate) fn clear(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
