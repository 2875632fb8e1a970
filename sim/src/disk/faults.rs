//! What a disk does wrong and how slow it is: rates that can change while a world runs, and the choice made for each operation.

use std::io;
use std::time::Duration;

use ottla_io::Rng;
use serde::{Deserialize, Serialize};

/// Rates are probabilities per operation; times are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskFaults {
    /// Share of reads and writes that do not finish in the page cache but take [`DiskFaults::op_us`].
    pub slow: f64,
    /// Shortest and longest time of a slow read or write, and of every operation on names.
    pub op_us: (u64, u64),
    /// Shortest and longest time of a sync.
    pub sync_us: (u64, u64),
    /// Share of operations that stall for [`DiskFaults::stall_us`].
    pub stall: f64,
    /// Shortest and longest stall.
    pub stall_us: (u64, u64),
    /// Share of reads that fail with EIO.
    pub read_error: f64,
    /// Share of writes that fail with EIO, after some part of them or nothing.
    pub write_error: f64,
    /// Share of syncs that fail with EIO; the dirty pages are clean afterwards and their content is lost with the power.
    pub sync_error: f64,
    /// Share of writes, creations and renames that fail with ENOSPC.
    pub no_space: f64,
    /// Share of reads that give less than asked for.
    pub short_read: f64,
    /// Share of writes that take less than given.
    pub short_write: f64,
}

impl Default for DiskFaults {
    /// No faults and no latency: every operation is ready at once.
    fn default() -> Self {
        DiskFaults {
            slow: 0.0,
            op_us: (0, 0),
            sync_us: (0, 0),
            stall: 0.0,
            stall_us: (50_000, 2_000_000),
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            no_space: 0.0,
            short_read: 0.0,
            short_write: 0.0,
        }
    }
}

impl DiskFaults {
    /// A healthy disk that takes its time: appends mostly in the page cache, syncs around a millisecond.
    pub fn healthy() -> Self {
        DiskFaults {
            slow: 0.02,
            op_us: (20, 300),
            sync_us: (200, 3_000),
            ..DiskFaults::default()
        }
    }
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOp {
    /// Reading a file.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Opening or creating a file, creating a directory, locking.
    Open,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Listing, looking up, asking for a length or the free space.
    Look,
}

/// A wrong outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wrong {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
    /// Less than asked for: this share of it.
    Short(f64),
}

impl Wrong {
    pub(super) fn error(self, path: &std::path::Path) -> io::Error {
        let kind = if self == Wrong::NoSpace {
            io::ErrorKind::StorageFull
        } else {
            io::ErrorKind::Other
        };
        let text = if self == Wrong::NoSpace {
            "no space left on device"
        } else {
            "input/output error"
        };
        io::Error::new(kind, format!("{}: {text} (injected)", path.display()))
    }
}

/// What is to happen with one operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fate {
    /// How long it takes; zero: ready at once.
    pub(super) takes: Duration,
    /// Whether the effect happens at the beginning of that time rather than at its end.
    pub(super) early: bool,
    pub(super) wrong: Option<Wrong>,
    /// Whether a stall is part of it.
    pub(super) stalled: bool,
}

impl DiskFaults {
    pub(super) fn fate(&self, op: DiskOp, rng: &mut Rng) -> Fate {
        let mut takes = match op {
            DiskOp::Sync | DiskOp::SyncDir => rng.between(self.sync_us.0, self.sync_us.1),
            DiskOp::Read | DiskOp::Write if !rng.chance(self.slow) => 0,
            DiskOp::Look | DiskOp::SetLen if !rng.chance(self.slow) => 0,
            _ => rng.between(self.op_us.0, self.op_us.1),
        };
        let stalled = rng.chance(self.stall);
        if stalled {
            takes += rng.between(self.stall_us.0, self.stall_us.1);
        }
        Fate {
            takes: Duration::from_micros(takes),
            early: rng.chance(0.5),
            wrong: self.wrong(op, rng),
            stalled,
        }
    }

    fn wrong(&self, op: DiskOp, rng: &mut Rng) -> Option<Wrong> {
        let (io, no_space, short) = match op {
            DiskOp::Read => (self.read_error, 0.0, self.short_read),
            DiskOp::Write => (self.write_error, self.no_space, self.short_write),
            DiskOp::Sync | DiskOp::SyncDir => (self.sync_error, 0.0, 0.0),
            DiskOp::Open | DiskOp::Rename => (0.0, self.no_space, 0.0),
            DiskOp::SetLen | DiskOp::Remove | DiskOp::Look => (0.0, 0.0, 0.0),
        };
        let draw = rng.unit();
        let share = rng.unit();
        if draw < io {
            Some(Wrong::Io)
        } else if draw < io + no_space {
            Some(Wrong::NoSpace)
        } else if draw < io + no_space + short {
            Some(Wrong::Short(share))
        } else {
            None
        }
    }
}
