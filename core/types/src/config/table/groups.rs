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
        "offset.metadata.max.bytes" Int "4096" [any] ReadOnly Honoured;
        "offsets.commit.timeout.ms" Int "5000" [at_least 1] ReadOnly Honoured;
        "offsets.load.buffer.size" Int "5242880" [at_least 1] ReadOnly Honoured;
        "offsets.retention.check.interval.ms" Long "600000" [at_least 1] ReadOnly Honoured;
        "offsets.retention.minutes" Int "10080" [at_least 1] ReadOnly Honoured;
        "offsets.topic.compression.codec" Int "0" [any] ReadOnly Honoured;
        "offsets.topic.num.partitions" Int "50" [at_least 1] ReadOnly Honoured;
        "offsets.topic.replication.factor" Short "3" [at_least 1] ReadOnly Honoured;
        "offsets.topic.segment.bytes" Int "104857600" [at_least 1] ReadOnly Honoured;
    }
    group "Classic groups" {
        "group.initial.rebalance.delay.ms" Int "3000" [any] ReadOnly Honoured;
        "group.max.session.timeout.ms" Int "1800000" [any] ReadOnly Honoured;
        "group.max.size" Int "2147483647" [at_least 1] ReadOnly Honoured;
        "group.min.session.timeout.ms" Int "6000" [any] ReadOnly Honoured;
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
