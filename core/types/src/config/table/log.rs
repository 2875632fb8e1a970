//! Keys about logs, topics and compaction. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Logs and topics" {
        "alter.config.policy.class.name" Class null [any] ReadOnly Refused;
        "auto.create.topics.enable" Boolean "true" [any] ReadOnly Honoured
            "Whether producing to or asking about an unknown topic creates it.";
        "compression.gzip.level" Int "-1" [unset_or 1 9] ClusterWide Honoured
            "The level at which compression.type gzip compresses; -1 for its default.";
        "compression.lz4.level" Int "9" [between 1 17] ClusterWide Honoured
            "The level at which compression.type lz4 compresses.";
        "compression.type" String "producer" [one_of "uncompressed" "zstd" "lz4" "snappy" "gzip" "producer"] ClusterWide Honoured
            "How batches are stored, for topics without compression.type; producer keeps what the producer chose.";
        "compression.zstd.level" Int "3" [between -131072 22] ClusterWide Honoured
            "The level at which compression.type zstd compresses.";
        "cordoned.log.dirs" List "" [distinct may_be_empty] PerBroker Accepted;
        "create.topic.policy.class.name" Class null [any] ReadOnly Refused;
        "delete.topic.enable" Boolean "true" [any] ReadOnly Honoured "Whether topics can be deleted.";
        "log.cleanup.policy" List "delete" [distinct_of "compact" "delete" may_be_empty] ClusterWide Honoured
            "What happens to old segments of topics without cleanup.policy: delete, compact or both.";
        "log.dir" List "/tmp/kafka-logs" [distinct] ReadOnly Honoured
            "The data directory, used when log.dirs is not set.";
        "log.dir.failure.timeout.ms" Long "30000" [at_least 1] ReadOnly Accepted;
        "log.dirs" List null [distinct] ReadOnly Honoured "The data directories.";
        "log.flush.interval.messages" Long "9223372036854775807" [at_least 1] ClusterWide Honoured
            "Records are synced to disk at the latest after this many, for topics without flush.messages.";
        "log.flush.interval.ms" Long null [any] ClusterWide Accepted;
        "log.flush.offset.checkpoint.interval.ms" Int "60000" [at_least 0] ReadOnly Accepted;
        "log.flush.scheduler.interval.ms" Long "9223372036854775807" [any] ReadOnly Accepted;
        "log.flush.start.offset.checkpoint.interval.ms" Int "60000" [at_least 0] ReadOnly Accepted;
        "log.index.interval.bytes" Int "4096" [at_least 0] ClusterWide Honoured
            "An index entry is made after this many bytes of records.";
        "log.index.size.max.bytes" Int "10485760" [at_least 4] ClusterWide Honoured
            "The size at which an index is full and its segment is closed.";
        "log.initial.task.delay.ms" Long "30000" [at_least 0] ReadOnly Honoured (Internal)
            "The background work on logs begins this long after the start.";
        "log.message.timestamp.after.max.ms" Long "3600000" [at_least 0] ClusterWide Honoured
            "How far a record's timestamp may lie after the broker's clock.";
        "log.message.timestamp.before.max.ms" Long "9223372036854775807" [at_least 0] ClusterWide Honoured
            "How far a record's timestamp may lie before the broker's clock.";
        "log.message.timestamp.type" String "CreateTime" [one_of "CreateTime" "LogAppendTime"] ClusterWide Honoured
            "Whose timestamp a record carries: CreateTime, the producer's, or LogAppendTime, the broker's.";
        "log.preallocate" Boolean "false" [any] ClusterWide Accepted;
        "log.retention.bytes" Long "-1" [any] ClusterWide Honoured
            "A log larger than this loses its oldest segments, for topics without retention.bytes; -1 for no limit.";
        "log.retention.check.interval.ms" Long "300000" [at_least 1] ReadOnly Honoured
            "How often logs are looked through for segments to delete.";
        "log.retention.hours" Int "168" [any] ReadOnly Honoured
            "As log.retention.ms, in hours; the other two are stronger.";
        "log.retention.minutes" Int null [any] ReadOnly Honoured
            "As log.retention.ms, in minutes; log.retention.ms is stronger.";
        "log.retention.ms" Long null [any] ClusterWide Honoured
            "Segments older than this are deleted, for topics without retention.ms; -1 keeps them for ever.";
        "log.roll.hours" Int "168" [at_least 1] ReadOnly Honoured
            "As log.roll.ms, in hours; log.roll.ms is stronger.";
        "log.roll.jitter.hours" Int "0" [at_least 0] ReadOnly Accepted;
        "log.roll.jitter.ms" Long null [any] ClusterWide Accepted;
        "log.roll.ms" Long null [any] ClusterWide Honoured
            "A segment is closed at this age, for topics without segment.ms.";
        "log.segment.bytes" Int "1073741824" [at_least 1048576] ClusterWide Honoured
            "A segment is closed at this size, for topics without segment.bytes.";
        "log.segment.delete.delay.ms" Long "60000" [at_least 0] ClusterWide Honoured
            "A segment's files go this long after the segment is deleted, whatever the topic says.";
        "message.max.bytes" Int "1048588" [at_least 0] ClusterWide Honoured
            "The largest record batch, for topics without max.message.bytes.";
        "min.insync.replicas" Int "1" [at_least 1] ClusterWide Honoured
            "Produce requests with acks=all need this many replicas in sync.";
        "num.partitions" Int "1" [at_least 1] ReadOnly Honoured
            "Partitions of a topic created without saying how many.";
        "num.recovery.threads.per.data.dir" Int "2" [at_least 1] ClusterWide Accepted;
        "num.replica.alter.log.dirs.threads" Int null [any] ReadOnly Accepted;
    }
    group "Log compaction" {
        "log.cleaner.backoff.ms" Long "15000" [at_least 0] ClusterWide Honoured
            "How long the cleaner sleeps when no log is dirty enough.";
        "log.cleaner.dedupe.buffer.size" Long "134217728" [any] ClusterWide Honoured
            "Bytes for the offset maps of all cleanings together; a key takes 24. A log with more dirty keys takes several rounds.";
        "log.cleaner.delete.retention.ms" Long "86400000" [at_least 0] ClusterWide Honoured
            "How long tombstones and transaction markers stay once they are clean, for topics without delete.retention.ms.";
        "log.cleaner.enable" Boolean "true" [any] ReadOnly Honoured "Whether compacted topics are compacted.";
        "log.cleaner.io.buffer.load.factor" Double "0.9" [any] ClusterWide Honoured
            "How full an offset map may become before a round ends.";
        "log.cleaner.io.buffer.size" Int "524288" [at_least 0] ClusterWide Honoured
            "Bytes for reading and writing, of all cleanings together.";
        "log.cleaner.io.max.bytes.per.second" Double "1.7976931348623157E308" [any] ClusterWide Honoured
            "Bytes that all cleanings together read and write in a second, on average.";
        "log.cleaner.max.compaction.lag.ms" Long "9223372036854775807" [at_least 1] ClusterWide Honoured
            "A log whose oldest dirty record is older is cleaned however little of it is dirty, for topics without max.compaction.lag.ms.";
        "log.cleaner.min.cleanable.ratio" Double "0.5" [between_f 0.0 1.0] ClusterWide Honoured
            "A log is cleaned when more than this part of it is dirty, for topics without min.cleanable.dirty.ratio.";
        "log.cleaner.min.compaction.lag.ms" Long "0" [at_least 0] ClusterWide Honoured
            "Younger records are not compacted, for topics without min.compaction.lag.ms.";
        "log.cleaner.threads" Int "1" [at_least 0] ClusterWide Honoured
            "How many logs are cleaned at the same time.";
    }
};
