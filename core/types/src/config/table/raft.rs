//! Keys about the node, its roles, the controller and the metadata quorum. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Node and controller" {
        "broker.heartbeat.interval.ms" Int "2000" [any] ReadOnly Accepted;
        "broker.id" Int "-1" [any] ReadOnly Honoured "An older name of node.id; if both are set they must be equal.";
        "broker.session.timeout.ms" Int "9000" [any] ReadOnly Accepted;
        "controller.listener.names" List required [distinct] ReadOnly Honoured
            "The listeners that belong to the controller.";
        "controller.performance.always.log.threshold.ms" Long "2000" [at_least 0] ReadOnly Accepted (Internal);
        "controller.performance.sample.period.ms" Long "60000" [at_least 100] ReadOnly Accepted (Internal);
        "early.start.listeners" List null [distinct may_be_empty] ReadOnly Accepted;
        "initial.broker.registration.timeout.ms" Int "60000" [any] ReadOnly Accepted;
        "internal.metadata.delete.delay.millis" Long "60000" [any] ReadOnly Accepted (Internal);
        "internal.metadata.log.segment.bytes" Int null [any] ReadOnly Accepted (Internal);
        "internal.metadata.max.batch.size.in.bytes" Int "8388608" [any] ReadOnly Accepted (Internal);
        "metadata.log.dir" String null [any] ReadOnly Honoured
            "The data directory of the metadata log; only the first of log.dirs is served.";
        "metadata.log.max.record.bytes.between.snapshots" Long "20971520" [at_least 1] ReadOnly Honoured
            "A snapshot of the metadata is written after this many bytes of records.";
        "metadata.log.max.snapshot.interval.ms" Long "3600000" [at_least 0] ReadOnly Honoured
            "A snapshot of the metadata is written after this time, if anything changed; 0 for never by time.";
        "metadata.log.segment.bytes" Int "1073741824" [at_least 8388608] ReadOnly Honoured
            "A segment of the metadata log is closed at this size.";
        "metadata.log.segment.ms" Long "604800000" [any] ReadOnly Honoured
            "A segment of the metadata log is closed at this age.";
        "metadata.max.idle.interval.ms" Int "500" [at_least 0] ReadOnly Accepted;
        "metadata.max.retention.bytes" Long "104857600" [any] ReadOnly Honoured
            "Metadata log and snapshots are cut from their begin when they are larger; the newest snapshot stays.";
        "metadata.max.retention.ms" Long "604800000" [any] ReadOnly Honoured
            "Snapshots of the metadata older than this go, with the log before them; the newest stays.";
        "node.id" Int required [at_least 0] ReadOnly Honoured "The number of this node, unique in the cluster.";
        "process.roles" List required [distinct_of "broker" "controller"] ReadOnly Honoured
            "What this node is: broker, controller or both.";
        "server.max.startup.time.ms" Long "9223372036854775807" [at_least 0] ReadOnly Accepted (Internal);
        "unstable.api.versions.enable" Boolean "false" [any] ReadOnly Accepted (Internal);
        "unstable.feature.versions.enable" Boolean "false" [any] ReadOnly Accepted (Internal);
    }
    group "Metadata quorum" {
        "controller.quorum.append.linger.ms" Int "25" [at_least 0] ReadOnly Accepted;
        "controller.quorum.auto.join.enable" Boolean "false" [any] ReadOnly Accepted;
        "controller.quorum.bootstrap.servers" List "" [host_ports] ReadOnly Honoured
            "Controllers to ask first for a dynamic quorum: host:port entries; only one, this node, is served.";
        "controller.quorum.election.backoff.max.ms" Int "1000" [at_least 0] ReadOnly Accepted;
        "controller.quorum.election.timeout.ms" Int "1000" [at_least 0] ReadOnly Accepted;
        "controller.quorum.fetch.max.bytes" Int "1048576" [at_least 1] ReadOnly Accepted;
        "controller.quorum.fetch.snapshot.max.bytes" Int "1048576" [at_least 1] ReadOnly Accepted;
        "controller.quorum.fetch.timeout.ms" Int "2000" [at_least 0] ReadOnly Accepted;
        "controller.quorum.request.timeout.ms" Int "2000" [at_least 0] ReadOnly Accepted;
        "controller.quorum.retry.backoff.ms" Int "20" [at_least 0] ReadOnly Accepted;
        "controller.quorum.voters" List "" [voters] ReadOnly Honoured
            "The controllers of a static quorum: id@host:port entries.";
    }
};
