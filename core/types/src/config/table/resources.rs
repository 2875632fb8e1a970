//! Keys of groups (KIP-848, 932, 1071) and of client metrics subscriptions (KIP-714). Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const GROUP_KEYS: &[ConfigKey] = topic_keys! {
    group "Consumer groups (KIP-848)" {
        "consumer.assignment.interval.ms" Int "1000" [at_least 0] Accepted from "group.consumer.assignment.interval.ms";
        "consumer.heartbeat.interval.ms" Int "5000" [at_least 1] Accepted from "group.consumer.heartbeat.interval.ms";
        "consumer.session.timeout.ms" Int "45000" [at_least 1] Accepted from "group.consumer.session.timeout.ms";
    }
    group "Share groups (KIP-932)" {
        "share.assignment.interval.ms" Int "1000" [at_least 0] Accepted from "group.share.assignment.interval.ms";
        "share.auto.offset.reset" String "latest" [offset_reset] Accepted;
        "share.delivery.count.limit" Int "5" [at_least 2] Accepted from "group.share.delivery.count.limit";
        "share.heartbeat.interval.ms" Int "5000" [at_least 1] Accepted from "group.share.heartbeat.interval.ms";
        "share.isolation.level" String "read_uncommitted" [one_of "read_committed" "read_uncommitted"] Accepted;
        "share.partition.max.record.locks" Int "2000" [at_least 100] Accepted from "group.share.partition.max.record.locks";
        "share.record.lock.duration.ms" Int "30000" [at_least 1000] Accepted from "group.share.record.lock.duration.ms";
        "share.renew.acknowledge.enable" Boolean "true" [any] Accepted;
        "share.session.timeout.ms" Int "45000" [at_least 1] Accepted from "group.share.session.timeout.ms";
    }
    group "Streams groups (KIP-1071)" {
        "streams.assignment.interval.ms" Int "1000" [at_least 0] Accepted from "group.streams.assignment.interval.ms";
        "streams.heartbeat.interval.ms" Int "5000" [at_least 1] Accepted from "group.streams.heartbeat.interval.ms";
        "streams.initial.rebalance.delay.ms" Int "3000" [at_least 0] Accepted from "group.streams.initial.rebalance.delay.ms";
        "streams.num.standby.replicas" Int "0" [at_least 0] Accepted from "group.streams.num.standby.replicas";
        "streams.session.timeout.ms" Int "45000" [at_least 1] Accepted from "group.streams.session.timeout.ms";
    }
};

pub(super) const CLIENT_METRICS_KEYS: &[ConfigKey] = topic_keys! {
    group "Client metrics (KIP-714)" {
        "interval.ms" Int "300000" [any] Accepted;
        "match" List "" [any] Accepted;
        "metrics" List "" [any] Accepted;
    }
};
