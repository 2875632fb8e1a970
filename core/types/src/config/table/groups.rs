//! Keys about group coordination and committed offsets. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Group coordination" {
        "group.coordinator.append.linger.ms" Int "-1" [at_least -1] ReadOnly Accepted;
        "group.coordinator.background.threads" Int "2" [at_least 1] ReadOnly Accepted;
        "group.coordinator.cached.buffer.max.bytes" Int "1048588" [at_least 524288] ClusterWide Accepted;
        "group.coordinator.rebalance.protocols" List "classic,consumer,streams" [distinct_of "consumer" "classic" "share" "streams"] ReadOnly Accepted;
        "group.coordinator.threads" Int "4" [at_least 1] ReadOnly Accepted;
    }
    group "Committed offsets" {
        "offset.metadata.max.bytes" Int "4096" [any] ReadOnly Honoured
            "The most bytes of metadata that a consumer may commit with an offset.";
        "offsets.commit.timeout.ms" Int "5000" [at_least 1] ReadOnly Honoured
            "How long a commit waits until it is replicated.";
        "offsets.load.buffer.size" Int "5242880" [at_least 1] ReadOnly Honoured
            "How many bytes are read at once when a coordinator loads its partition.";
        "offsets.retention.check.interval.ms" Long "600000" [at_least 1] ReadOnly Honoured
            "How often expired offsets are looked for.";
        "offsets.retention.minutes" Int "10080" [at_least 1] ReadOnly Honoured
            "Offsets of a group without members are forgotten after this time.";
        "offsets.topic.compression.codec" Int "0" [any] ReadOnly Honoured
            "How records of __consumer_offsets are compressed: 0 for none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
        "offsets.topic.num.partitions" Int "50" [at_least 1] ReadOnly Honoured
            "Partitions of __consumer_offsets when it is created.";
        "offsets.topic.replication.factor" Short "3" [at_least 1] ReadOnly Honoured
            "Replicas of __consumer_offsets when it is created.";
        "offsets.topic.segment.bytes" Int "104857600" [at_least 1] ReadOnly Honoured
            "The size at which a segment of __consumer_offsets is closed.";
    }
    group "Classic groups" {
        "group.initial.rebalance.delay.ms" Int "3000" [any] ReadOnly Honoured
            "How long a new group waits for more members before its first rebalance.";
        "group.max.session.timeout.ms" Int "1800000" [any] ReadOnly Honoured
            "The longest session timeout that a member of a classic group may ask for.";
        "group.max.size" Int "2147483647" [at_least 1] ReadOnly Honoured
            "How many members a classic group may have.";
        "group.min.session.timeout.ms" Int "6000" [any] ReadOnly Honoured
            "The shortest session timeout that a member of a classic group may ask for.";
    }
    group "Consumer groups (KIP-848)" {
        "group.consumer.assignment.interval.ms" Int "1000" [at_least 0] ClusterWide Accepted;
        "group.consumer.assignors" List "uniform,range" [distinct] ReadOnly Accepted;
        "group.consumer.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.consumer.max.assignment.interval.ms" Int "15000" [at_least 0] ReadOnly Accepted;
        "group.consumer.max.heartbeat.interval.ms" Int "15000" [at_least 1] ReadOnly Accepted;
        "group.consumer.max.session.timeout.ms" Int "60000" [at_least 1] ReadOnly Accepted;
        "group.consumer.max.size" Int "2147483647" [at_least 1] ReadOnly Accepted;
        "group.consumer.migration.policy" String "bidirectional" [one_of_any_case "DISABLED" "DOWNGRADE" "UPGRADE" "BIDIRECTIONAL"] ReadOnly Accepted;
        "group.consumer.min.assignment.interval.ms" Int "0" [at_least 0] ReadOnly Accepted;
        "group.consumer.min.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.consumer.min.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
        "group.consumer.regex.refresh.interval.ms" Int "600000" [at_least 10000] ReadOnly Accepted (Internal);
        "group.consumer.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
    }
};
