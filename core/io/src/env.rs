//! The one value through which a node reaches the world.

use std::sync::Arc;

use ottla_types::Event;

use crate::{Clock, Disk, Entropy, Net, Tasks};

/// Who listens to the domain events.
pub trait Observer: Send + Sync {
    /// Whether events are wanted; if not, none is built.
    fn enabled(&self) -> bool;
    /// Takes an event. Called in the order of the facts within one partition. Must not block.
    fn observe(&self, event: &Event);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn enabled(&self) -> bool {
        false
    }

    fn observe(&self, _: &Event) {}
}

/// Every effect of one incarnation of one node.
#[derive(Clone)]
pub struct Env {
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// Network.
    pub net: Arc<dyn Net>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Executor.
    pub tasks: Arc<dyn Tasks>,
    /// Listener to domain events.
    pub observer: Arc<dyn Observer>,
}

impl Env {
    /// Reports an event; `make` runs only if somebody listens.
    pub fn observe(&self, make: impl FnOnce() -> Event) {
        if self.observer.enabled() {
            self.observer.observe(&make());
        }
    }
}
