//! Keys about tiered storage. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Tiered storage" {
        "log.local.retention.bytes" Long "-2" [at_least -2] ClusterWide Accepted;
        "log.local.retention.ms" Long "-2" [at_least -2] ClusterWide Accepted;
        "remote.fetch.max.wait.ms" Int "500" [at_least 1] ClusterWide Accepted;
        "remote.list.offsets.request.timeout.ms" Long "30000" [at_least 1] ClusterWide Accepted;
        "remote.log.index.file.cache.total.size.bytes" Long "1073741824" [at_least 1] ClusterWide Accepted;
        "remote.log.index.file.cache.ttl.ms" Long "900000" [at_least -1] ReadOnly Accepted (Internal);
        "remote.log.manager.copier.thread.pool.size" Int "10" [at_least 1] ClusterWide Accepted;
        "remote.log.manager.copy.max.bytes.per.second" Long "9223372036854775807" [at_least 1] ClusterWide Accepted;
        "remote.log.manager.copy.quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "remote.log.manager.copy.quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
        "remote.log.manager.expiration.thread.pool.size" Int "10" [at_least 1] ClusterWide Accepted;
        "remote.log.manager.fetch.max.bytes.per.second" Long "9223372036854775807" [at_least 1] ClusterWide Accepted;
        "remote.log.manager.fetch.quota.window.num" Int "11" [at_least 1] ReadOnly Accepted;
        "remote.log.manager.fetch.quota.window.size.seconds" Int "1" [at_least 1] ReadOnly Accepted;
        "remote.log.manager.follower.thread.pool.size" Int "2" [at_least 1] ClusterWide Accepted;
        "remote.log.manager.task.interval.ms" Long "30000" [at_least 1] ReadOnly Accepted;
        "remote.log.manager.task.retry.backoff.max.ms" Long "30000" [at_least 1] ReadOnly Accepted (Internal);
        "remote.log.manager.task.retry.backoff.ms" Long "500" [at_least 1] ReadOnly Accepted (Internal);
        "remote.log.manager.task.retry.jitter" Double "0.2" [between_f 0.0 0.5] ReadOnly Accepted (Internal);
        "remote.log.manager.thread.pool.size" Int "2" [at_least 1] ReadOnly Accepted;
        "remote.log.metadata.custom.metadata.max.bytes" Int "128" [at_least 0] ReadOnly Accepted;
        "remote.log.metadata.manager.class.name" String "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager" [non_empty] ReadOnly Accepted;
        "remote.log.metadata.manager.class.path" String null [any] ReadOnly Accepted;
        "remote.log.metadata.manager.impl.prefix" String "rlmm.config." [non_empty] ReadOnly Accepted;
        "remote.log.metadata.manager.listener.name" String null [non_empty] ReadOnly Accepted;
        "remote.log.reader.max.pending.tasks" Int "100" [at_least 1] ReadOnly Accepted;
        "remote.log.reader.threads" Int "10" [at_least 1] ClusterWide Accepted;
        "remote.log.storage.manager.class.name" String null [non_empty] ReadOnly Accepted;
        "remote.log.storage.manager.class.path" String null [any] ReadOnly Accepted;
        "remote.log.storage.manager.impl.prefix" String "rsm.config." [non_empty] ReadOnly Accepted;
        "remote.log.storage.system.enable" Boolean "false" [any] ReadOnly Refused;
    }
};
