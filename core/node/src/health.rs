//! Whether the node serves, and if not, why: its state, its registration, its log directories (`/v1/ready`).

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ottla_types::event::BrokerState;
use serde_json::{Value, json};

use crate::Node;

/// A directory that refused a write for want of room is taken for full this long, whatever its file system says is free, as a
/// quota does not show there, and though a smaller batch may still have fitted: a probe is not to flap.
const FULL_FOR: Duration = Duration::from_secs(30);
/// With less room than this, it is full for longer.
const ROOM: u64 = 1 << 20;

/// What a node knows of its own well-being.
pub struct Health {
    state: Mutex<BrokerState>,
}

impl Health {
    /// A node that starts.
    pub fn new() -> Self {
        Health {
            state: Mutex::new(BrokerState::Starting),
        }
    }

    /// The node's state.
    pub fn state(&self) -> BrokerState {
        *lock(&self.state)
    }

    /// The node changed its state.
    pub fn enter(&self, state: BrokerState) {
        *lock(&self.state) = state;
    }
}

/// One reason not to send clients here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A word for programs.
    pub reason: &'static str,
    /// The log directory it is about.
    pub directory: Option<String>,
    /// A sentence for people.
    pub detail: String,
}

/// Whether a node serves. It does when there is no reason against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The node's state.
    pub state: BrokerState,
    /// What keeps it from serving, or from serving all of its partitions.
    pub reasons: Vec<Reason>,
}

impl Readiness {
    /// Whether clients should be sent here.
    pub fn ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// For a probe: one line of JSON.
    pub fn to_json(&self) -> String {
        let reasons = self.reasons.iter().map(|r| {
            let mut entry = json!({ "reason": r.reason, "detail": r.detail });
            if let (Some(directory), Some(entry)) = (&r.directory, entry.as_object_mut()) {
                entry.insert("directory".into(), Value::from(directory.as_str()));
            }
            entry
        });
        let reasons: Vec<Value> = reasons.collect();
        let state = state_name(self.state);
        let whole = json!({
            "ready": self.ready(), "state": state, "brokerState": self.state as u8, "reasons": reasons,
        });
        format!("{whole}\n")
    }
}

/// Kafka's name of a state (Kafka class `BrokerState`).
fn state_name(state: BrokerState) -> &'static str {
    match state {
        BrokerState::NotRunning => "NOT_RUNNING",
        BrokerState::Starting => "STARTING",
        BrokerState::Recovery => "RECOVERY",
        BrokerState::Running => "RUNNING",
        BrokerState::ShuttingDown => "SHUTTING_DOWN",
    }
}

impl Node {
    /// The node's state as the agent that operators put beside Kafka tells it (`KafkaAgent` of Strimzi): while logs are loaded with
    /// how many are left.
    pub(crate) fn broker_state(&self) -> String {
        let state = self.health.state();
        let mut whole = json!({ "brokerState": state as u8 });
        if state == BrokerState::Recovery {
            let left = self.logs_to_load();
            whole["recoveryState"] = json!({ "remainingLogsToRecover": left });
        }
        format!("{whole}\n")
    }

    /// Whether this node serves: it runs, is registered and unfenced, and every log directory can be written.
    pub async fn readiness(&self) -> Readiness {
        let state = self.health.state();
        let mut reasons = Vec::new();
        let mut say = |reason, directory: Option<String>, detail: String| {
            reasons.push(Reason {
                reason,
                directory,
                detail,
            });
        };
        if let Some(reason) = self.failure() {
            say("failed", None, format!("the node had to stop: {reason}"));
        }
        match state {
            BrokerState::Starting | BrokerState::Recovery => {
                say("starting", None, "logs are being loaded and checked".into());
            }
            BrokerState::ShuttingDown | BrokerState::NotRunning => {
                say("stopping", None, "the node was told to stop".into());
            }
            BrokerState::Running if !self.is_registered() => {
                let text = "the controller has fenced this broker, or does not know it; its log says why";
                say("fenced", None, text.into());
            }
            BrokerState::Running => {}
        }
        for dir in self.directories() {
            let path = dir.path.display().to_string();
            if let Some(why) = dir.offline {
                let detail = format!("{why}; mend the disk and restart the node");
                say("log-directory-offline", Some(path), detail);
            } else if let Some(full) = dir.full {
                let recent = self.env.clock.now().since(full.at) < FULL_FOR;
                let free = self.env.disk.free_space(&dir.path).await;
                if recent || free.is_ok_and(|free| free < ROOM) {
                    let detail =
                        "the disk is full: free space, or lower retention.bytes and retention.ms".into();
                    say("disk-full", Some(path), detail);
                }
            }
        }
        Readiness { state, reasons }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
