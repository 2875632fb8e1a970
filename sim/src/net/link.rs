//! The way between two hosts: how long it takes, and whether it is open.

use std::collections::BTreeMap;

use ottla_io::Rng;
use serde::{Deserialize, Serialize};

/// How a world's network behaves. Times are in microseconds where the name says so, else in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetConfig {
    /// Shortest and longest time of a segment between two hosts.
    pub latency_us: (u64, u64),
    /// The same within one host.
    pub loopback_us: (u64, u64),
    /// Share of segments that are lost once: they arrive after a retransmission, and what follows waits behind them.
    pub loss: f64,
    /// How long the sender waits before it sends a lost segment again.
    pub rto_ms: (u64, u64),
    /// Share of segments that find a box on the way that resets the connection.
    pub reset: f64,
    /// Smallest and largest segment, in bytes. Small ones tear frames apart.
    pub segment: (usize, usize),
    /// Share of reads and writes that do less than they could.
    pub short: f64,
    /// Whether a reset takes away what had arrived and was not read yet.
    pub reset_discards: bool,
    /// How long a connect waits for an answer.
    pub connect_timeout_ms: u64,
    /// How long data may go without an answer before the connection fails (`tcp_retries2`).
    pub retransmit_timeout_ms: u64,
    /// Connections that wait to be accepted; a SYN beyond is dropped.
    pub backlog: usize,
}

impl Default for NetConfig {
    /// A healthy local network.
    fn default() -> Self {
        NetConfig {
            latency_us: (80, 400),
            loopback_us: (5, 30),
            loss: 0.0,
            rto_ms: (200, 400),
            reset: 0.0,
            segment: (16 * 1024, 64 * 1024),
            short: 0.0,
            reset_discards: false,
            connect_timeout_ms: 10_000,
            retransmit_timeout_ms: 60_000,
            backlog: 128,
        }
    }
}

/// One direction between two hosts, where it differs from [`NetConfig`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Link {
    /// How many partitions close it.
    blocked: u32,
    /// Added to each segment's time.
    extra_us: u64,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<(usize, usize), Link>);

impl Links {
    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        self.0.entry((from, to)).or_default()
    }

    pub(super) fn is_open(&self, from: usize, to: usize) -> bool {
        from == to || self.0.get(&(from, to)).is_none_or(|link| link.blocked == 0)
    }

    /// Partitions may overlap: a link is open again when each of those that closed it has healed.
    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.link(from, to).blocked += 1;
    }

    pub(super) fn unblock(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        link.blocked = link.blocked.saturating_sub(1);
    }

    pub(super) fn open_all(&mut self) {
        self.0.values_mut().for_each(|link| link.blocked = 0);
    }

    pub(super) fn set_extra(&mut self, from: usize, to: usize, us: u64) {
        self.link(from, to).extra_us = us;
    }

    /// Nanoseconds that a segment takes.
    pub(super) fn latency(&self, config: &NetConfig, from: usize, to: usize, rng: &mut Rng) -> u64 {
        let (low, high) = if from == to {
            config.loopback_us
        } else {
            config.latency_us
        };
        let extra = self.0.get(&(from, to)).map_or(0, |link| link.extra_us);
        rng.between(low * 1000, high * 1000) + extra * 1000
    }
}
