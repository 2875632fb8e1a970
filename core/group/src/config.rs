//! What the broker's configuration says to the coordinator, and the bounds it has besides.

/// Keys and defaults are Kafka's; the last three are bounds of our own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Config {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`.
    pub max_size: usize,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// How long a member that has not yet seen a generation may be silent (Kafka's constant: five minutes).
    pub new_member_join_timeout_ms: u64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.commit.timeout.ms`: how long an answer waits for its records.
    pub commit_timeout_ms: u64,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval_ms: u64,
    /// Groups that may exist; one more gets COORDINATOR_NOT_AVAILABLE.
    pub max_groups: usize,
    /// Members of one group that were given an id and have not joined with it; one more gets GROUP_MAX_SIZE_REACHED.
    pub max_pending_members: usize,
    /// Appends that may be unacknowledged; what needs one more gets COORDINATOR_NOT_AVAILABLE.
    pub max_outstanding_writes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            new_member_join_timeout_ms: 300_000,
            offset_metadata_max_bytes: 4_096,
            commit_timeout_ms: 5_000,
            offsets_retention_ms: 10_080 * 60_000,
            retention_check_interval_ms: 600_000,
            max_groups: 1_000_000,
            max_pending_members: 10_000,
            max_outstanding_writes: 10_000,
        }
    }
}
