//! Keys about replication and leadership. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Replication" {
        "auto.leader.rebalance.enable" Boolean "true" [any] ReadOnly Accepted;
        "controlled.shutdown.enable" Boolean "true" [any] ReadOnly Accepted;
        "controller.socket.timeout.ms" Int "30000" [any] ReadOnly Accepted;
        "default.replication.factor" Int "1" [any] ReadOnly Honoured
            "Replicas of a topic created without saying how many.";
        "follower.fetch.last.tiered.offset.enable" Boolean "false" [any] ClusterWide Accepted;
        "leader.imbalance.check.interval.seconds" Long "300" [at_least 1] ReadOnly Accepted;
        "num.replica.fetchers" Int "1" [at_least 1] ClusterWide Accepted;
        "replica.fetch.backoff.ms" Int "1000" [at_least 0] ReadOnly Accepted;
        "replica.fetch.max.bytes" Int "1048576" [at_least 0] ReadOnly Accepted;
        "replica.fetch.min.bytes" Int "1" [any] ReadOnly Accepted;
        "replica.fetch.response.max.bytes" Int "10485760" [at_least 0] ReadOnly Accepted;
        "replica.fetch.wait.max.ms" Int "500" [any] ReadOnly Accepted;
        "replica.high.watermark.checkpoint.interval.ms" Long "5000" [any] ReadOnly Honoured
            "How often the high watermarks are written.";
        "replica.lag.time.max.ms" Long "30000" [any] ReadOnly Accepted;
        "replica.selector.class" String null [any] ReadOnly Accepted;
        "replica.socket.receive.buffer.bytes" Int "65536" [any] ReadOnly Accepted;
        "replica.socket.timeout.ms" Int "30000" [any] ReadOnly Accepted;
        "unclean.leader.election.enable" Boolean "false" [any] ClusterWide Accepted;
        "unclean.leader.election.interval.ms" Long "300000" [at_least 1] ReadOnly Accepted (Internal);
    }
};
