//! Keys about producer ids and transactions. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Producers and transactions" {
        "add.partitions.to.txn.retry.backoff.max.ms" Int "100" [at_least 0] ReadOnly Accepted;
        "add.partitions.to.txn.retry.backoff.ms" Int "20" [at_least 1] ReadOnly Accepted;
        "producer.id.expiration.check.interval.ms" Int "600000" [at_least 1] ReadOnly Accepted (Internal);
        "producer.id.expiration.ms" Int "86400000" [at_least 1] ClusterWide Honoured
            "An idempotent producer is forgotten this long after its last record.";
        "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int "10000" [at_least 1] ReadOnly Accepted;
        "transaction.max.timeout.ms" Int "900000" [at_least 1] ReadOnly Accepted;
        "transaction.partition.verification.enable" Boolean "true" [any] ClusterWide Accepted;
        "transaction.remove.expired.transaction.cleanup.interval.ms" Int "3600000" [at_least 1] ReadOnly Accepted;
        "transaction.state.log.load.buffer.size" Int "5242880" [at_least 1] ReadOnly Accepted;
        "transaction.state.log.min.isr" Int "2" [at_least 1] ReadOnly Accepted;
        "transaction.state.log.num.partitions" Int "50" [at_least 1] ReadOnly Accepted;
        "transaction.state.log.replication.factor" Short "3" [at_least 1] ReadOnly Accepted;
        "transaction.state.log.segment.bytes" Int "104857600" [at_least 1] ReadOnly Accepted;
        "transaction.two.phase.commit.enable" Boolean "false" [any] ReadOnly Accepted;
        "transactional.id.expiration.ms" Int "604800000" [at_least 1] ReadOnly Accepted;
    }
};
