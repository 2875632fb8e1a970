//! Layer 0: the words everybody shares. Identifiers, time, protocol error codes, configuration definitions and the typed
//! domain events. No effects, no dependencies, nothing that only one crate needs.

pub mod config;
pub mod error;
pub mod event;
mod ids;
mod time;

pub use error::ErrorCode;
pub use event::Event;
pub use ids::{Epoch, NodeId, Offset, ProducerEpoch, ProducerId, TopicPartition, Uuid, UuidParseError};
pub use time::Time;

/// An invariant that did not hold: both values, in words. The process that meets one stops before it writes another byte;
/// the trial reports it; a model turns it into a counterexample.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Violation {
    /// The invariant's name, as in `sim/INVARIANTS.md` or the machine that holds it.
    pub invariant: &'static str,
    /// What was expected and what was found.
    pub detail: String,
}

impl Violation {
    /// A violation of `invariant`; `detail` holds both values.
    pub fn new(invariant: &'static str, detail: impl Into<String>) -> Self {
        Violation {
            invariant,
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant `{}` does not hold: {}", self.invariant, self.detail)
    }
}

impl std::error::Error for Violation {}
