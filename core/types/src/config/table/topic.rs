//! The keys of a topic, each with the broker keys that give it its value when the topic doesn't. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = topic_keys! {
    group "Logs and topics" {
        "cleanup.policy" List "delete" [distinct_of "compact" "delete" may_be_empty] Honoured from "log.cleanup.policy"
            "What happens to old segments: delete them, compact them to the last record of each key, or both.";
        "file.delete.delay.ms" Long "60000" [at_least 0] Accepted from "log.segment.delete.delay.ms";
        "flush.messages" Long "9223372036854775807" [at_least 1] Honoured from "log.flush.interval.messages"
            "Records are synced to disk at the latest after this many; 1 syncs before every acknowledgement.";
        "flush.ms" Long "9223372036854775807" [at_least 0] Accepted from "log.flush.interval.ms", "log.flush.scheduler.interval.ms";
        "index.interval.bytes" Int "4096" [at_least 0] Honoured from "log.index.interval.bytes"
            "An index entry is made after this many bytes of records.";
        "internal.segment.bytes" Int null [any] Honoured (Internal)
            "As segment.bytes, stronger and without its lower bound; for tests.";
        "max.message.bytes" Int "1048588" [at_least 0] Honoured from "message.max.bytes" "The largest record batch.";
        "message.timestamp.after.max.ms" Long "3600000" [at_least 0] Honoured from "log.message.timestamp.after.max.ms"
            "How far a record's timestamp may lie after the broker's clock.";
        "message.timestamp.before.max.ms" Long "9223372036854775807" [at_least 0] Honoured from "log.message.timestamp.before.max.ms"
            "How far a record's timestamp may lie before the broker's clock.";
        "message.timestamp.type" String "CreateTime" [one_of "CreateTime" "LogAppendTime"] Honoured from "log.message.timestamp.type"
            "Whose timestamp a record carries: CreateTime, the producer's, or LogAppendTime, the broker's.";
        "min.insync.replicas" Int "1" [at_least 1] Honoured from "min.insync.replicas"
            "Produce requests with acks=all need this many replicas in sync.";
        "preallocate" Boolean "false" [any] Accepted from "log.preallocate";
        "retention.bytes" Long "-1" [any] Honoured from "log.retention.bytes"
            "A partition larger than this loses its oldest segments; -1 for no limit.";
        "retention.ms" Long "604800000" [at_least -1] Honoured from "log.retention.ms", "log.retention.minutes" Minutes, "log.retention.hours" Hours
            "Segments older than this are deleted; -1 keeps them for ever.";
        "segment.bytes" Int "1073741824" [at_least 1048576] Honoured from "log.segment.bytes"
            "A segment is closed at this size.";
        "segment.index.bytes" Int "10485760" [at_least 4] Honoured from "log.index.size.max.bytes"
            "The size at which an index is full and its segment is closed.";
        "segment.jitter.ms" Long "0" [at_least 0] Accepted from "log.roll.jitter.ms", "log.roll.jitter.hours" Hours;
        "segment.ms" Long "604800000" [at_least 1] Honoured from "log.roll.ms", "log.roll.hours" Hours
            "A segment is closed at this age.";
        "unclean.leader.election.enable" Boolean "false" [any] Accepted from "unclean.leader.election.enable";
    }
    group "Log compaction" {
        "delete.retention.ms" Long "86400000" [at_least 0] Honoured from "log.cleaner.delete.retention.ms"
            "How long tombstones and transaction markers stay once they are clean.";
        "max.compaction.lag.ms" Long "9223372036854775807" [at_least 1] Honoured from "log.cleaner.max.compaction.lag.ms"
            "A log whose oldest dirty record is older is compacted however little of it is dirty; segments are closed at this age too.";
        "min.cleanable.dirty.ratio" Double "0.5" [between_f 0.0 1.0] Honoured from "log.cleaner.min.cleanable.ratio"
            "A log is compacted when more than this part of it is dirty.";
        "min.compaction.lag.ms" Long "0" [at_least 0] Honoured from "log.cleaner.min.compaction.lag.ms"
            "Younger records are not compacted.";
    }
    group "Compression" {
        "compression.gzip.level" Int "-1" [unset_or 1 9] Honoured from "compression.gzip.level"
            "The level at which compression.type gzip compresses; -1 for its default.";
        "compression.lz4.level" Int "9" [between 1 17] Honoured from "compression.lz4.level"
            "The level at which compression.type lz4 compresses.";
        "compression.type" String "producer" [one_of "uncompressed" "zstd" "lz4" "snappy" "gzip" "producer"] Honoured from "compression.type"
            "How batches are stored; producer keeps what the producer chose.";
        "compression.zstd.level" Int "3" [between -131072 22] Honoured from "compression.zstd.level"
            "The level at which compression.type zstd compresses.";
    }
    group "Replication" {
        "follower.replication.throttled.replicas" List "" [throttled_replicas] Accepted;
        "leader.replication.throttled.replicas" List "" [throttled_replicas] Accepted;
    }
    group "Tiered storage" {
        "local.retention.bytes" Long "-2" [at_least -2] Accepted from "log.local.retention.bytes";
        "local.retention.ms" Long "-2" [at_least -2] Accepted from "log.local.retention.ms";
        "remote.log.copy.disable" Boolean "false" [any] Accepted;
        "remote.log.delete.on.disable" Boolean "false" [any] Accepted;
        "remote.storage.enable" Boolean "false" [any] Refused;
    }
};
