//! Keys about connections, listeners and requests. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Connections and listeners" {
        "advertised.listeners" List null [distinct] ReadOnly Honoured
            "The addresses that clients are told to use, if they differ from listeners.";
        "background.threads" Int "10" [at_least 1] ClusterWide Accepted;
        "connections.max.idle.ms" Long "600000" [any] ReadOnly Honoured
            "Idle connections are closed after this time.";
        "inter.broker.listener.name" String null [any] ReadOnly Accepted;
        "listener.security.protocol.map" String "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT" [any] PerBroker Honoured
            "The protocol of each listener name; only PLAINTEXT is served.";
        "listeners" List "PLAINTEXT://:9092" [distinct] PerBroker Honoured
            "Where this node listens: NAME://host:port entries; an empty host means every interface.";
        "max.connection.creation.rate" Int "2147483647" [at_least 0] ClusterWide Accepted;
        "max.connections" Int "2147483647" [at_least 0] ClusterWide Honoured
            "How many connections this broker accepts.";
        "max.connections.per.ip" Int "2147483647" [at_least 0] ClusterWide Honoured
            "How many connections one address may hold.";
        "max.connections.per.ip.overrides" String "" [any] ClusterWide Honoured
            "Other limits for certain addresses: address:limit entries.";
        "num.io.threads" Int "8" [at_least 1] ClusterWide Accepted;
        "num.network.threads" Int "3" [at_least 1] ClusterWide Accepted;
        "queued.max.request.bytes" Long "-1" [any] ReadOnly Honoured
            "How many bytes of requests may wait in memory; -1 for no limit.";
        "queued.max.requests" Int "500" [at_least 1] ReadOnly Accepted;
        "request.timeout.ms" Int "30000" [any] ReadOnly Accepted;
        "socket.connection.setup.timeout.max.ms" Long "30000" [any] ReadOnly Accepted;
        "socket.connection.setup.timeout.ms" Long "10000" [any] ReadOnly Accepted;
        "socket.listen.backlog.size" Int "50" [at_least 1] ReadOnly Accepted;
        "socket.receive.buffer.bytes" Int "102400" [any] ReadOnly Accepted;
        "socket.request.max.bytes" Int "104857600" [at_least 1] ReadOnly Honoured
            "The largest request a client may send.";
        "socket.send.buffer.bytes" Int "102400" [any] ReadOnly Accepted;
    }
    group "Server" {
        "broker.rack" String null [any] ReadOnly Honoured
            "Where this broker stands; replicas of a partition are spread over racks.";
        "config.providers" List "" [distinct may_be_empty] ClusterWide Refused;
    }
    group "Fetch requests" {
        "fetch.max.bytes" Int "57671680" [at_least 1024] ReadOnly Honoured
            "The most bytes a single answer to Fetch carries.";
        "max.incremental.fetch.session.cache.slots" Int "1000" [at_least 0] ReadOnly Honoured
            "How many fetch sessions are kept.";
        "max.request.partition.size.limit" Int "2000" [at_least 1] ReadOnly Honoured
            "The most partitions a single answer to DescribeTopicPartitions carries.";
    }
    group "Waiting requests" {
        "delete.records.purgatory.purge.interval.requests" Int "1" [any] ReadOnly Accepted;
        "fetch.purgatory.purge.interval.requests" Int "1000" [any] ReadOnly Accepted;
        "producer.purgatory.purge.interval.requests" Int "1000" [any] ReadOnly Accepted;
    }
};
