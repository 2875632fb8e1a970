//! An image as records: what a snapshot holds, in Kafka's order (Kafka classes `MetadataImage`, `ImageWriter`);
//! where Kafka walks a hash table, the order is the key's. The file around them is in `snapshot`.

use super::{METADATA_VERSION, MetadataImage, Security, State};
use crate::records::{PushError, Records};
use ottla_wire::metadata_records::client_quota_record::EntityData;
use ottla_wire::metadata_records::{
    AccessControlEntryRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord, FeatureLevelRecord,
    MetadataRecord, ProducerIdsRecord, TopicRecord, UserScramCredentialRecord,
};

impl MetadataImage {
    /// The records that make this image out of nothing. An open transaction is left out: a snapshot never holds one.
    pub fn to_records(&self) -> Result<Records, PushError> {
        let state = self.before_transaction.as_deref().unwrap_or(&self.state);
        let level = state
            .features
            .get(METADATA_VERSION)
            .copied()
            .unwrap_or(self.metadata_version());
        let mut out = Records::unbounded(level);
        state.write_features(&mut out)?;
        for broker in state.cluster.brokers() {
            out.push(&MetadataRecord::RegisterBroker(broker.to_record(level)))?;
        }
        for controller in state.cluster.controllers() {
            out.push(&MetadataRecord::RegisterController(controller.to_record()))?;
        }
        state.write_topics(level, &mut out)?;
        state.write_configs(&mut out)?;
        state.security.write_quotas(&mut out)?;
        if state.next_producer_id > 0 {
            let next_producer_id = state.next_producer_id;
            out.push(&MetadataRecord::ProducerIds(ProducerIdsRecord {
                broker_id: -1,
                broker_epoch: -1,
                next_producer_id,
            }))?;
        }
        state.security.write(&mut out)?;
        Ok(out)
    }
}

impl State {
    /// `metadata.version` first: it says how to read what follows.
    fn write_features(&self, out: &mut Records) -> Result<(), PushError> {
        let (first, rest): (Vec<_>, Vec<_>) = self
            .features
            .iter()
            .partition(|(name, _)| *name == METADATA_VERSION);
        for (name, level) in first.into_iter().chain(rest) {
            out.push(&MetadataRecord::FeatureLevel(FeatureLevelRecord {
                name,
                feature_level: *level,
            }))?;
        }
        Ok(())
    }

    fn write_topics(&self, level: i16, out: &mut Records) -> Result<(), PushError> {
        for topic in self.topics.iter() {
            out.push(&MetadataRecord::Topic(TopicRecord {
                name: &topic.name,
                topic_id: topic.id,
            }))?;
            for (index, partition) in topic.partitions.iter() {
                out.push(&MetadataRecord::Partition(
                    partition.to_record(topic.id, *index, level),
                ))?;
            }
        }
        Ok(())
    }

    fn write_configs(&self, out: &mut Records) -> Result<(), PushError> {
        for (resource, config) in self.configs.iter() {
            for (name, value) in config {
                out.push(&MetadataRecord::Config(ConfigRecord {
                    resource_type: resource.kind.to_wire(),
                    resource_name: &resource.name,
                    name,
                    value: Some(value),
                }))?;
            }
        }
        Ok(())
    }
}

impl Security {
    fn write_quotas(&self, out: &mut Records) -> Result<(), PushError> {
        for (entity, values) in self.quotas.iter() {
            for (key, value) in values {
                let entity = entity
                    .iter()
                    .map(|(kind, name)| EntityData {
                        entity_type: kind,
                        entity_name: name.as_deref(),
                    })
                    .collect();
                let record = ClientQuotaRecord {
                    entity,
                    key,
                    value: value.get(),
                    remove: false,
                };
                out.push(&MetadataRecord::ClientQuota(record))?;
            }
        }
        Ok(())
    }

    /// All but quotas.
    fn write(&self, out: &mut Records) -> Result<(), PushError> {
        for (id, acl) in self.acls.iter() {
            out.push(&MetadataRecord::AccessControlEntry(AccessControlEntryRecord {
                id: *id,
                resource_type: acl.resource_type,
                resource_name: &acl.resource_name,
                pattern_type: acl.pattern_type,
                principal: &acl.principal,
                host: &acl.host,
                operation: acl.operation,
                permission_type: acl.permission_type,
            }))?;
        }
        for (user, c) in self.scram.iter() {
            out.push(&MetadataRecord::UserScramCredential(UserScramCredentialRecord {
                name: &user.name,
                mechanism: user.mechanism,
                salt: &c.salt,
                stored_key: &c.stored_key,
                server_key: &c.server_key,
                iterations: c.iterations,
            }))?;
        }
        for (id, token) in self.tokens.iter() {
            out.push(&MetadataRecord::DelegationToken(DelegationTokenRecord {
                owner: &token.owner,
                requester: &token.requester,
                renewers: token.renewers.iter().map(String::as_str).collect(),
                issue_timestamp: token.issue_timestamp,
                max_timestamp: token.max_timestamp,
                expiration_timestamp: token.expiration_timestamp,
                token_id: id,
            }))?;
        }
        Ok(())
    }
}
