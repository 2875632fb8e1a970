//! Keys about share groups and streams groups. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Share groups (KIP-932)" {
        "group.share.assignment.interval.ms" Int "1000" [at_least 0] ClusterWide Accepted;
        "group.share.assignors" List "simple" [distinct] ReadOnly Accepted;
        "group.share.delivery.count.limit" Int "5" [between 2 10] ReadOnly Accepted;
        "group.share.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.share.initialize.retry.interval.ms" Int "30000" [at_least 1] ReadOnly Accepted (Internal);
        "group.share.max.assignment.interval.ms" Int "15000" [at_least 0] ReadOnly Accepted;
        "group.share.max.delivery.count.limit" Int "10" [between 5 25] ReadOnly Accepted;
        "group.share.max.heartbeat.interval.ms" Int "15000" [at_least 1] ReadOnly Accepted;
        "group.share.max.partition.max.record.locks" Int "4000" [between 2000 10000] ReadOnly Accepted;
        "group.share.max.record.lock.duration.ms" Int "60000" [between 30000 3600000] ReadOnly Accepted;
        "group.share.max.session.timeout.ms" Int "60000" [at_least 1] ReadOnly Accepted;
        "group.share.max.share.sessions" Int "2000" [at_least 1] ReadOnly Accepted;
        "group.share.max.size" Int "200" [between 1 1000] ReadOnly Accepted;
        "group.share.min.assignment.interval.ms" Int "0" [at_least 0] ReadOnly Accepted;
        "group.share.min.delivery.count.limit" Int "2" [between 2 5] ReadOnly Accepted;
        "group.share.min.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.share.min.partition.max.record.locks" Int "100" [between 100 2000] ReadOnly Accepted;
        "group.share.min.record.lock.duration.ms" Int "15000" [between 1000 30000] ReadOnly Accepted;
        "group.share.min.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
        "group.share.partition.max.record.locks" Int "2000" [between 100 10000] ReadOnly Accepted;
        "group.share.persister.class.name" String "org.apache.kafka.server.share.persister.DefaultStatePersister" [any] ReadOnly Accepted (Internal);
        "group.share.record.lock.duration.ms" Int "30000" [between 1000 3600000] ReadOnly Accepted;
        "group.share.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
        "share.coordinator.append.linger.ms" Int "-1" [at_least -1] ReadOnly Accepted;
        "share.coordinator.cached.buffer.max.bytes" Int "1048588" [at_least 524288] ClusterWide Accepted;
        "share.coordinator.cold.partition.snapshot.interval.ms" Int "300000" [at_least 1] ReadOnly Accepted (Internal);
        "share.coordinator.load.buffer.size" Int "5242880" [at_least 1] ReadOnly Accepted;
        "share.coordinator.snapshot.update.records.per.snapshot" Int "500" [between 0 500] ReadOnly Accepted;
        "share.coordinator.state.topic.compression.codec" Int "0" [any] ReadOnly Accepted;
        "share.coordinator.state.topic.min.isr" Short "2" [at_least 1] ReadOnly Accepted;
        "share.coordinator.state.topic.num.partitions" Int "50" [at_least 1] ReadOnly Accepted;
        "share.coordinator.state.topic.prune.interval.ms" Int "300000" [at_least 1] ReadOnly Accepted (Internal);
        "share.coordinator.state.topic.replication.factor" Short "3" [at_least 1] ReadOnly Accepted;
        "share.coordinator.state.topic.segment.bytes" Int "104857600" [at_least 1] ReadOnly Accepted;
        "share.coordinator.threads" Int "1" [at_least 1] ReadOnly Accepted;
        "share.coordinator.write.timeout.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "share.fetch.purgatory.purge.interval.requests" Int "1000" [any] ReadOnly Accepted;
    }
    group "Streams groups (KIP-1071)" {
        "group.streams.assignment.interval.ms" Int "1000" [at_least 0] ClusterWide Accepted;
        "group.streams.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.streams.initial.rebalance.delay.ms" Int "3000" [at_least 0] ReadOnly Accepted;
        "group.streams.max.assignment.interval.ms" Int "15000" [at_least 0] ReadOnly Accepted;
        "group.streams.max.heartbeat.interval.ms" Int "15000" [at_least 1] ReadOnly Accepted;
        "group.streams.max.session.timeout.ms" Int "60000" [at_least 1] ReadOnly Accepted;
        "group.streams.max.size" Int "2147483647" [at_least 1] ReadOnly Accepted;
        "group.streams.max.standby.replicas" Int "2" [at_least 0] ReadOnly Accepted;
        "group.streams.min.assignment.interval.ms" Int "0" [at_least 0] ReadOnly Accepted;
        "group.streams.min.heartbeat.interval.ms" Int "5000" [at_least 1] ReadOnly Accepted;
        "group.streams.min.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
        "group.streams.num.standby.replicas" Int "0" [at_least 0] ReadOnly Accepted;
        "group.streams.session.timeout.ms" Int "45000" [at_least 1] ReadOnly Accepted;
    }
};
