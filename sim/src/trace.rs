//! What happened, in order: domain events, faults and the lives of nodes as lines, and the hash of all of it. Finer steps (each
//! segment, each disk operation) go into the hash without a line, so that equal hashes mean equal runs.

use std::sync::Mutex;

use crate::locked;

/// FNV-1a, 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes in more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    hash: Fnv,
}

/// The trace of one world.
#[derive(Default)]
pub(crate) struct Trace(Mutex<Lines>);

impl Trace {
    /// Adds a line: virtual seconds, who, what.
    pub(crate) fn line(&self, now: u64, who: &str, what: &str) {
        let line = format!(
            "{:>5}.{:06} {who:<4} {what}",
            now / 1_000_000_000,
            now / 1000 % 1_000_000
        );
        let mut lines = locked(&self.0);
        lines.hash.add(line.as_bytes());
        lines.hash.add(b"\n");
        lines.lines.push(line);
    }

    /// Takes a step into the hash only.
    pub(crate) fn step(&self, now: u64, what: [u64; 3]) {
        let mut lines = locked(&self.0);
        lines.hash.add(&now.to_le_bytes());
        for number in what {
            lines.hash.add(&number.to_le_bytes());
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        locked(&self.0).lines.clone()
    }

    pub(crate) fn hash(&self) -> u64 {
        locked(&self.0).hash.0
    }
}
