//! What a segment's scan is told and what it reports; the scan itself is in `scan`.

use crate::config::LogConfig;
use crate::epochs::EpochCache;
use crate::producers::Producers;
use crate::segments::SegmentState;
use ottla_types::{Epoch, Offset};
use std::fmt;

/// What a scan does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanConfig {
    /// Read every byte and compare checksums; else only headers (and markers) are asked for.
    pub check_crc: bool,
    /// Build the indexes anew; else those of the given state stand.
    pub rebuild: bool,
    /// From this offset on nothing has been flushed, and two fields that no checksum covers are looked at closer: a leader
    /// epoch that is missing, or above the one that the epoch checkpoint names for its offset, is a damage (the checkpoint is
    /// always written first), and so is, unless [`ScanConfig::gaps`], a base offset that does not follow the batch before.
    pub strict_from: Offset,
    /// Offsets may have gaps: the log is compacted.
    pub gaps: bool,
    /// Stop before the first batch that holds this offset or a later one.
    pub stop_at: Option<Offset>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// Entries that fit the offset index.
    pub max_index_entries: u32,
    /// Entries that fit the time index, with the one that closing writes.
    pub max_time_entries: u32,
}

impl ScanConfig {
    /// Recovery of a segment after a stop that was not clean.
    pub fn recover(cfg: &LogConfig, recovery_point: Offset) -> Self {
        ScanConfig {
            strict_from: recovery_point,
            ..Self::rebuild(cfg)
        }
    }

    /// Indexes anew for a segment whose batches are trusted; they are read all the same.
    pub fn rebuild(cfg: &LogConfig) -> Self {
        ScanConfig {
            check_crc: true,
            rebuild: true,
            strict_from: Offset::MAX,
            gaps: cfg.compact,
            stop_at: None,
            index_interval_bytes: cfg.index_interval_bytes,
            max_index_entries: cfg.max_index_entries(),
            max_time_entries: cfg.max_time_entries(),
        }
    }

    /// Headers only, indexes as they are: where a trusted segment ends, and its producers.
    pub fn replay(cfg: &LogConfig) -> Self {
        ScanConfig {
            check_crc: false,
            rebuild: false,
            ..Self::rebuild(cfg)
        }
    }

    /// As [`ScanConfig::replay`], up to where a truncation to `offset` cuts.
    pub fn cut(cfg: &LogConfig, offset: Offset) -> Self {
        ScanConfig {
            stop_at: Some(offset),
            ..Self::replay(cfg)
        }
    }
}

/// What goes from one segment's scan to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Leader epochs; those of the batches are added.
    pub epochs: EpochCache,
    /// The producer table. Batches below [`Producers::end`] are in it already; those that are read are recalled for finding
    /// duplicates.
    pub producers: Producers,
    /// No batch may begin below it.
    pub next_offset: Offset,
    /// Epoch of the last batch that was read; −1 before the first.
    pub last_epoch: Epoch,
    /// There was an epoch checkpoint, which then names the epoch of every batch.
    pub epochs_known: bool,
}

impl Carried {
    /// Before the first scan.
    pub fn new(epochs: EpochCache, producers: Producers) -> Self {
        let epochs_known = epochs.latest().is_some();
        Carried {
            epochs,
            producers,
            next_offset: 0,
            last_epoch: -1,
            epochs_known,
        }
    }
}

/// What is wrong with the bytes at a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Fewer bytes are left than a batch takes.
    Incomplete {
        /// Bytes it takes.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The length can't be a batch's.
    Length(i32),
    /// A format version other than 2.
    Magic(i8),
    /// The checksum is not that of the bytes.
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Offsets fall, or lie outside what the segment can hold.
    Offsets {
        /// Offset of the batch's first record.
        base: Offset,
        /// Offset of its last record.
        last: Offset,
        /// The lowest possible offset.
        expected: Offset,
    },
    /// The leader epoch is below that of the batch before, or above what the epoch checkpoint says.
    Epoch {
        /// The batch's.
        epoch: Epoch,
        /// The other one.
        expected: Epoch,
    },
    /// A transaction marker that can't be read.
    Marker,
    /// The segment is larger than positions can say.
    TooLarge,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { need, have } => write!(f, "a batch takes {need} bytes, {have} are left"),
            Self::Length(length) => write!(f, "batch length {length} is impossible"),
            Self::Magic(magic) => write!(f, "record format version {magic}, only 2 is known"),
            Self::Crc { stored, computed } => {
                write!(f, "stored CRC {stored:#010x}, computed {computed:#010x}")
            }
            Self::Offsets { base, last, expected } => {
                write!(
                    f,
                    "batch of offsets {base} to {last} where {expected} is the lowest possible"
                )
            }
            Self::Epoch { epoch, expected } => write!(f, "leader epoch {epoch} where {expected} is expected"),
            Self::Marker => f.write_str("a transaction marker can't be read"),
            Self::TooLarge => f.write_str("the segment is larger than 2 GiB"),
        }
    }
}

/// Where a segment stops being good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its first bad byte.
    pub position: u32,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The segment as it is once the file is cut to `state.size`.
    pub state: SegmentState,
    /// The offset index, when it was rebuilt.
    pub index: Vec<u8>,
    /// The time index, when it was rebuilt.
    pub time_index: Vec<u8>,
    /// The transaction index, when it was rebuilt; no file is needed for an empty one.
    pub txn_index: Vec<u8>,
    /// Epochs, producers and next offset after the segment.
    pub carried: Carried,
    /// The log's end after it: [`Carried::next_offset`], at least the segment's base. After [`ScanConfig::cut`] the offset
    /// asked for, or the base of the batch that spans it.
    pub end: Offset,
    /// Where and why it ends before its file does.
    pub cut: Option<Cut>,
    /// Batches read.
    pub batches: u64,
    /// Records they announce.
    pub records: u64,
}
