//! The metadata image: an immutable-looking value that every record of `__cluster_metadata` moves one step (Kafka class
//! `MetadataImage`). A clone costs a few reference counts, whatever the cluster's size, because the maps are persistent.
//!
//! Which record does what, and which do nothing, stands in `RECORDS.md` beside this crate's manifest.

mod cluster;
mod configs;
mod delta;
mod partition;
mod security;
mod snapshot;
mod topics;

pub use cluster::{BrokerRegistration, Cluster, ControllerRegistration, Endpoint, FeatureRange};
pub use configs::{Config, ConfigResource, Configs, ResourceKind};
pub use delta::{BrokerChange, Changes, MetadataDelta, PartitionChange};
pub use partition::{
    DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, LeaderRecoveryState, NO_LEADER,
    NO_LEADER_CHANGE, Partition,
};
pub use security::{Acl, DelegationToken, QuotaEntity, QuotaValue, ScramCredential, ScramUser, Security};
pub use topics::{Topic, Topics};

use crate::{MAX_METADATA_VERSION, MIN_METADATA_VERSION};
use ottla_types::{Offset, ProducerId, Violation};
use ottla_wire::metadata_records::{FeatureLevelRecord, MetadataRecord, ProducerIdsRecord};
use std::collections::BTreeMap;

/// An ordered map whose clones share what they have in common.
pub type Map<K, V> = rpds::RedBlackTreeMapSync<K, V>;

/// The feature that says which records may be written.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that turns eligible leader replicas on (KIP-966).
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// What all records up to an offset add up to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetadataImage {
    state: State,
    offset: Offset,
    /// The state before the metadata transaction that is open (KIP-868).
    before_transaction: Option<Box<State>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct State {
    topics: Topics,
    configs: Configs,
    cluster: Cluster,
    features: BTreeMap<String, i16>,
    next_producer_id: ProducerId,
    security: Security,
}

impl Default for MetadataImage {
    fn default() -> Self {
        MetadataImage {
            state: State::default(),
            offset: -1,
            before_transaction: None,
        }
    }
}

impl MetadataImage {
    /// Topics and partitions.
    pub fn topics(&self) -> &Topics {
        &self.state.topics
    }

    /// Dynamic configurations.
    pub fn configs(&self) -> &Configs {
        &self.state.configs
    }

    /// Brokers and controllers.
    pub fn cluster(&self) -> &Cluster {
        &self.state.cluster
    }

    /// Finalised feature levels; a level of 0 does not stand here.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.state.features
    }

    /// Credentials, quotas, ACLs and tokens.
    pub fn security(&self) -> &Security {
        &self.state.security
    }

    /// The first producer id that no block holds yet.
    pub fn next_producer_id(&self) -> ProducerId {
        self.state.next_producer_id
    }

    /// The level of a feature; 0 when it is not on.
    pub fn feature(&self, name: &str) -> i16 {
        self.state.features.get(name).copied().unwrap_or(0)
    }

    /// The level at which records are written; that of the oldest readable log until a record says more.
    pub fn metadata_version(&self) -> i16 {
        self.feature(METADATA_VERSION).max(MIN_METADATA_VERSION)
    }

    /// Whether the log has no record yet, so that it wants bootstrapping.
    pub fn is_empty(&self) -> bool {
        self.state == State::default()
    }

    /// The offset of the last record replayed; −1 for none.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Whether a metadata transaction is open. Such an image is not shown to anybody.
    pub fn in_transaction(&self) -> bool {
        self.before_transaction.is_some()
    }

    /// Moves the image by one record, notes in `delta` what that touched, and refuses what no controller can have written.
    /// After a refusal the image is to be thrown away.
    pub fn replay(
        &mut self,
        record: &MetadataRecord<'_>,
        offset: Offset,
        delta: &mut MetadataDelta,
    ) -> Result<(), Violation> {
        if offset < self.offset {
            let detail = format!("offset {offset} after {}: {record:?}", self.offset);
            return Err(Violation::new("metadata-offsets-grow", detail));
        }
        self.offset = offset;
        match record {
            MetadataRecord::BeginTransaction(_) => {
                if self.in_transaction() {
                    return Err(transaction("begins inside another", offset));
                }
                self.before_transaction = Some(Box::new(self.state.clone()));
                Ok(())
            }
            MetadataRecord::EndTransaction(_) => match self.before_transaction.take() {
                Some(_) => Ok(()),
                None => Err(transaction("ends that never began", offset)),
            },
            MetadataRecord::AbortTransaction(_) => match self.before_transaction.take() {
                Some(before) => {
                    self.state = *before;
                    Ok(())
                }
                None => Err(transaction("aborts that never began", offset)),
            },
            _ => self.state.replay(record, delta),
        }
    }

    /// Checks what must hold whenever an image is shown: everything that the types of its parts promise.
    pub fn verify(&self) -> Result<(), Violation> {
        self.state.topics.verify()
    }
}

impl State {
    fn replay(&mut self, record: &MetadataRecord<'_>, delta: &mut MetadataDelta) -> Result<(), Violation> {
        match record {
            MetadataRecord::Topic(r) => {
                delta.topics.insert(r.topic_id);
                self.topics.create(r)
            }
            MetadataRecord::RemoveTopic(r) => {
                let topic = self.topics.remove(r)?;
                delta.topics.insert(r.topic_id);
                // A topic takes its configuration along; no record says so (Kafka class `ConfigurationsDelta`).
                let resource = ConfigResource::topic(&*topic.name);
                if self.configs.remove(&resource) {
                    delta.configs.insert(resource);
                }
                Ok(())
            }
            MetadataRecord::Partition(r) => {
                delta.partitions.insert((r.topic_id, r.partition_id));
                self.topics.create_partition(r)
            }
            MetadataRecord::PartitionChange(r) => {
                delta.partitions.insert((r.topic_id, r.partition_id));
                self.topics.change_partition(r)
            }
            MetadataRecord::ClearElr(r) => {
                delta.partitions.extend(self.topics.clear_elr(r)?);
                Ok(())
            }
            MetadataRecord::Config(r) => {
                delta.configs.insert(self.configs.replay(r));
                Ok(())
            }
            MetadataRecord::RegisterController(r) => self.cluster.register_controller(r),
            MetadataRecord::FeatureLevel(r) => self.feature_level(r),
            MetadataRecord::ProducerIds(r) => self.producer_ids(r),
            // A transaction's marks are handled before; the other two do nothing by design.
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_)
            | MetadataRecord::NoOp(_)
            | MetadataRecord::ZkMigrationState(_) => Ok(()),
            _ => self.replay_broker(record, delta),
        }
    }

    fn replay_broker(
        &mut self,
        record: &MetadataRecord<'_>,
        delta: &mut MetadataDelta,
    ) -> Result<(), Violation> {
        let (id, result) = match record {
            MetadataRecord::RegisterBroker(r) => (r.broker_id, self.cluster.register_broker(r)),
            MetadataRecord::UnregisterBroker(r) => (r.broker_id, self.cluster.unregister_broker(r)),
            MetadataRecord::BrokerRegistrationChange(r) => (r.broker_id, self.cluster.change_broker(r)),
            MetadataRecord::FenceBroker(r) => (r.id, self.cluster.fence_broker(r.id, r.epoch, true)),
            MetadataRecord::UnfenceBroker(r) => (r.id, self.cluster.fence_broker(r.id, r.epoch, false)),
            _ => return self.replay_security(record),
        };
        delta.brokers.insert(id);
        result
    }

    fn replay_security(&mut self, record: &MetadataRecord<'_>) -> Result<(), Violation> {
        match record {
            MetadataRecord::UserScramCredential(r) => self.security.put_scram(r),
            MetadataRecord::RemoveUserScramCredential(r) => return self.security.remove_scram(r),
            MetadataRecord::ClientQuota(r) => self.security.put_quota(r),
            MetadataRecord::AccessControlEntry(r) => return self.security.put_acl(r),
            MetadataRecord::RemoveAccessControlEntry(r) => return self.security.remove_acl(r),
            MetadataRecord::DelegationToken(r) => self.security.put_token(r),
            MetadataRecord::RemoveDelegationToken(r) => self.security.remove_token(r.token_id),
            other => {
                return Err(Violation::new(
                    "metadata-record-has-a-meaning",
                    format!("{other:?}"),
                ));
            }
        }
        Ok(())
    }

    fn feature_level(&mut self, record: &FeatureLevelRecord<'_>) -> Result<(), Violation> {
        let known = MIN_METADATA_VERSION..=MAX_METADATA_VERSION;
        if record.name == METADATA_VERSION && !known.contains(&record.feature_level) {
            let detail = format!(
                "levels {known:?} are known, the log is at {}",
                record.feature_level
            );
            return Err(Violation::new("metadata-version-is-known", detail));
        }
        match record.feature_level {
            ..0 => {
                return Err(Violation::new(
                    "metadata-feature-level-is-not-negative",
                    format!("{record:?}"),
                ));
            }
            0 => drop(self.features.remove(record.name)),
            level => drop(self.features.insert(record.name.to_string(), level)),
        }
        Ok(())
    }

    fn producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), Violation> {
        if record.next_producer_id <= self.next_producer_id {
            let detail = format!("next is {}, found {record:?}", self.next_producer_id);
            return Err(Violation::new("metadata-producer-ids-grow", detail));
        }
        self.next_producer_id = record.next_producer_id;
        Ok(())
    }
}

fn transaction(what: &str, offset: Offset) -> Violation {
    Violation::new(
        "metadata-transactions-nest-not",
        format!("at offset {offset} a metadata transaction {what}"),
    )
}
