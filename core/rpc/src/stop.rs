//! The word to all connections that the server stops: what was taken is answered, nothing more is taken.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Said once, heard by every connection.
#[derive(Default)]
pub struct Stop {
    said: AtomicBool,
    heard: Notify,
}

impl Stop {
    /// Lets every connection end once its requests under way are answered.
    pub fn say(&self) {
        self.said.store(true, Ordering::Release);
        self.heard.notify_waiters();
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.said.load(Ordering::Acquire)
    }

    /// Returns once it was said.
    pub async fn wait(&self) {
        let heard = self.heard.notified();
        if !self.is_said() {
            heard.await;
        }
    }
}
