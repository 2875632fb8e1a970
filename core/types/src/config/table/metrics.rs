//! Keys about metrics and quotas. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Metrics" {
        "kafka.metrics.polling.interval.secs" Int "10" [at_least 1] ReadOnly Accepted;
        "kafka.metrics.reporters" List "" [distinct may_be_empty] ReadOnly Accepted;
        "metric.reporters" List "org.apache.kafka.common.metrics.JmxReporter" [distinct may_be_empty] ClusterWide Accepted;
        "metrics.num.samples" Int "2" [at_least 1] ReadOnly Accepted;
        "metrics.recording.level" String "INFO" [any] ReadOnly Accepted;
        "metrics.sample.window.ms" Long "30000" [at_least 1] ReadOnly Accepted;
        "telemetry.max.bytes" Int "1048576" [at_least 1] ReadOnly Accepted;
    }
    group "Quotas" {
        "alter.log.dirs.replication.quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "alter.log.dirs.replication.quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
        "client.quota.callback.class" Class null [any] ReadOnly Refused;
        "controller.quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "controller.quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
        "follower.replication.throttled.rate" Long "9223372036854775807" [at_least 0] ClusterWide Accepted (DynamicOnly);
        "leader.replication.throttled.rate" Long "9223372036854775807" [at_least 0] ClusterWide Accepted (DynamicOnly);
        "quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
        "replica.alter.log.dirs.io.max.bytes.per.second" Long "9223372036854775807" [at_least 0] ClusterWide Accepted (DynamicOnly);
        "replication.quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "replication.quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
    }
};
