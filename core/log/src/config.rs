//! The settings a log decides by, as plain numbers. Where they come from (topic, broker, default) is the caller's matter.

/// Settings of one log. The defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a batch that would make the active segment larger goes into a new one.
    pub segment_bytes: u32,
    /// `segment.ms`: how long after its first batch a segment still takes batches.
    pub segment_ms: u64,
    /// Taken off [`LogConfig::segment_ms`], so that partitions don't roll together. The caller draws it below
    /// `segment.jitter.ms`, anew for each segment.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`: room for offset index entries, and for time index entries, of one segment.
    pub index_bytes: u32,
    /// `index.interval.bytes`: bytes of batches between two index entries.
    pub index_interval_bytes: u32,
    /// `retention.ms`; `None` stands for Kafka's −1, forever.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`; `None` stands for Kafka's −1, without limit.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy` contains `delete`: retention applies.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`: offsets may have gaps.
    pub compact: bool,
    /// `max.message.bytes`: the largest batch a leader appends.
    pub max_message_bytes: u32,
    /// `flush.messages`: records that may be unflushed; `None` leaves it to the operating system.
    pub flush_messages: Option<u64>,
    /// `producer.id.expiration.ms`: how long an idle producer is remembered.
    pub producer_expiration_ms: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            delete: true,
            compact: false,
            max_message_bytes: 1_048_588,
            flush_messages: None,
            producer_expiration_ms: 24 * 3_600_000,
        }
    }
}

impl LogConfig {
    /// Offset index entries a segment may have.
    pub fn max_index_entries(&self) -> u32 {
        self.index_bytes / crate::format::offset_index::ENTRY_SIZE as u32
    }

    /// Time index entries a segment may have.
    pub fn max_time_entries(&self) -> u32 {
        self.index_bytes / crate::format::time_index::ENTRY_SIZE as u32
    }
}
