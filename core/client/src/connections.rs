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

impl Slot {
    async fn connect(
        &mut self,
        env: &Env,
        address: &Address,
        options: &ClientOptions,
        backoff: &Backoff,
    ) -> Result<ClientConnection, CallError> {
        if let Some(open) = self.open.as_ref().filter(|c| !c.is_closed()) {
            return Ok(open.clone());
        }
        self.open = None;
        env.clock.sleep_until(self.not_before).await;
        match ClientConnection::connect(env, &address.0, address.1, options).await {
            Ok(open) => {
                self.failures = 0;
                self.not_before = env.clock.now().after(backoff.pause(1));
                self.open = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                self.failures += 1;
                self.not_before = env.clock.now().after(backoff.pause(self.failures));
                Err(error)
            }
        }
    }
}

/// All connections of one client.
pub(crate) struct Connections {
    env: Env,
    options: ClientOptions,
    backoff: Arc<Backoff>,
    slots: Mutex<BTreeMap<(Address, Lane), Shared>>,
}

impl Connections {
    pub(crate) fn new(env: &Env, options: ClientOptions, backoff: Backoff) -> Self {
        Connections {
            env: env.clone(),
            options,
            backoff: Arc::new(backoff),
            slots: Mutex::default(),
        }
    }

    /// The open connection, or a new one. Waits out the pause after a failure. Connecting is a task of its own: whoever asks may
    /// be a future that nobody polls for a while, and others must not wait for it.
    pub(crate) async fn get(&self, address: &Address, lane: Lane) -> Result<ClientConnection, CallError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry((address.clone(), lane)).or_default().clone()
        };
        if let Ok(slot) = slot.try_lock()
            && let Some(open) = slot.open.as_ref().filter(|c| !c.is_closed())
        {
            return Ok(open.clone());
        }
        let (reply, connected) = tokio::sync::oneshot::channel();
        let (env, options) = (self.env.clone(), self.options.clone());
        let (backoff, address) = (self.backoff.clone(), address.clone());
        let task = async move {
            let mut slot = slot.lock().await;
            let _ = reply.send(slot.connect(&env, &address, &options, &backoff).await);
        };
        drop(self.env.tasks.spawn("client connect", Box::pin(task)));
        let gone = || CallError::Closed("the process ends".to_owned());
        connected.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Lets go of all connections; each closes when its calls are done.
    pub(crate) fn clear(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
