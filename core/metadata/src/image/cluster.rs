//! Registrations of brokers and controllers (Kafka class `ClusterImage`). Sessions and heartbeats are not here: they belong
//! to the active controller's memory, not to the log.

use super::Map;
use crate::records::{CONTROLLED_SHUTDOWN_SINCE, CORDONING_SINCE, DIRECTORIES_SINCE};
use ottla_types::{Uuid, Violation};
use ottla_wire::metadata_records::register_broker_record::{BrokerEndpoint, BrokerFeature};
use ottla_wire::metadata_records::register_controller_record::{ControllerEndpoint, ControllerFeature};
use ottla_wire::metadata_records::{
    BrokerRegistrationChangeRecord, RegisterBrokerRecord, RegisterControllerRecord, UnregisterBrokerRecord,
};
use std::sync::Arc;

/// A listener as a node advertises it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// Host to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The versions of a feature that a node can work at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureRange {
    /// The feature's name.
    pub name: String,
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

/// A broker's registration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerRegistration {
    /// Its `node.id`.
    pub id: i32,
    /// The offset of the record that registered this incarnation.
    pub epoch: i64,
    /// Drawn by the broker's process when it starts.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is not shown to clients.
    pub fenced: bool,
    /// It has asked to leave.
    pub in_controlled_shutdown: bool,
    /// The ids of its online log directories, sorted.
    pub log_dirs: Vec<Uuid>,
    /// The directories that take no new replicas (KIP-1066); `None` until it says so.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl BrokerRegistration {
    /// Whether it may lead and be in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The endpoint of one of its listeners.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    /// Its directories that take new replicas.
    pub fn open_log_dirs(&self) -> impl Iterator<Item = Uuid> + '_ {
        let cordoned = self.cordoned_log_dirs.as_deref().unwrap_or_default();
        self.log_dirs
            .iter()
            .copied()
            .filter(|dir| !cordoned.contains(dir))
    }

    /// The record that makes this registration, with what it can hold at a `metadata.version`.
    pub fn to_record(&self, level: i16) -> RegisterBrokerRecord<'_> {
        RegisterBrokerRecord {
            broker_id: self.id,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self
                .endpoints
                .iter()
                .map(|e| BrokerEndpoint {
                    name: &e.name,
                    host: &e.host,
                    port: e.port,
                    security_protocol: e.security_protocol,
                })
                .collect(),
            features: self
                .features
                .iter()
                .map(|f| BrokerFeature {
                    name: &f.name,
                    min_supported_version: f.min,
                    max_supported_version: f.max,
                })
                .collect(),
            rack: self.rack.as_deref(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown && level >= CONTROLLED_SHUTDOWN_SINCE,
            log_dirs: if level >= DIRECTORIES_SINCE {
                self.log_dirs.clone()
            } else {
                Vec::new()
            },
            cordoned_log_dirs: self
                .cordoned_log_dirs
                .clone()
                .filter(|_| level >= CORDONING_SINCE),
        }
    }
}

/// A controller's registration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControllerRegistration {
    /// Its `node.id`.
    pub id: i32,
    /// Drawn by its process when it starts.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
}

impl ControllerRegistration {
    /// The record that makes this registration.
    pub fn to_record(&self) -> RegisterControllerRecord<'_> {
        RegisterControllerRecord {
            controller_id: self.id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: false,
            end_points: self
                .endpoints
                .iter()
                .map(|e| ControllerEndpoint {
                    name: &e.name,
                    host: &e.host,
                    port: e.port,
                    security_protocol: e.security_protocol,
                })
                .collect(),
            features: self
                .features
                .iter()
                .map(|f| ControllerFeature {
                    name: &f.name,
                    min_supported_version: f.min,
                    max_supported_version: f.max,
                })
                .collect(),
        }
    }
}

/// The nodes that have registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Cluster {
    brokers: Map<i32, Arc<BrokerRegistration>>,
    controllers: Map<i32, Arc<ControllerRegistration>>,
}

impl Cluster {
    /// A broker's registration.
    pub fn broker(&self, id: i32) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// A controller's registration.
    pub fn controller(&self, id: i32) -> Option<&Arc<ControllerRegistration>> {
        self.controllers.get(&id)
    }

    /// All registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> {
        self.controllers.values()
    }

    /// Whether a broker is registered, unfenced and staying.
    pub fn is_active(&self, broker: i32) -> bool {
        self.broker(broker)
            .is_some_and(|registration| registration.is_active())
    }

    pub(super) fn register_broker(&mut self, record: &RegisterBrokerRecord<'_>) -> Result<(), Violation> {
        if record.broker_id < 0 {
            return Err(Violation::new(
                "metadata-node-id-is-not-negative",
                format!("{record:?}"),
            ));
        }
        if let Some(old) = self.broker(record.broker_id)
            && (record.broker_epoch < old.epoch
                || (record.broker_epoch == old.epoch && record.incarnation_id != old.incarnation_id))
        {
            let detail = format!(
                "{record:?} after epoch {} of incarnation {}",
                old.epoch, old.incarnation_id
            );
            return Err(Violation::new("metadata-broker-epoch-grows", detail));
        }
        let mut log_dirs = record.log_dirs.clone();
        log_dirs.sort_unstable();
        let registration = BrokerRegistration {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record
                .end_points
                .iter()
                .map(|e| endpoint(e.name, e.host, e.port, e.security_protocol))
                .collect(),
            features: record
                .features
                .iter()
                .map(|f| range(f.name, f.min_supported_version, f.max_supported_version))
                .collect(),
            rack: record.rack.map(str::to_string),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs,
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
        };
        self.brokers.insert_mut(record.broker_id, Arc::new(registration));
        Ok(())
    }

    pub(super) fn unregister_broker(&mut self, record: &UnregisterBrokerRecord) -> Result<(), Violation> {
        self.known(record.broker_id, record.broker_epoch)?;
        self.brokers.remove_mut(&record.broker_id);
        Ok(())
    }

    pub(super) fn change_broker(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<(), Violation> {
        let mut next = BrokerRegistration::clone(self.known(record.broker_id, record.broker_epoch)?);
        next.fenced = match record.fenced {
            0 => next.fenced,
            1 => true,
            -1 => false,
            other => return Err(unknown("fenced", other)),
        };
        next.in_controlled_shutdown = match record.in_controlled_shutdown {
            0 => next.in_controlled_shutdown,
            1 => true,
            other => return Err(unknown("inControlledShutdown", other)),
        };
        if !record.log_dirs.is_empty() {
            next.log_dirs.clone_from(&record.log_dirs);
            next.log_dirs.sort_unstable();
        }
        if record.cordoned_log_dirs.is_some() {
            next.cordoned_log_dirs.clone_from(&record.cordoned_log_dirs);
        }
        self.brokers.insert_mut(record.broker_id, Arc::new(next));
        Ok(())
    }

    /// `FenceBrokerRecord` and `UnfenceBrokerRecord`, which Kafka wrote before 3.3-IV2.
    pub(super) fn fence_broker(&mut self, id: i32, epoch: i64, fenced: bool) -> Result<(), Violation> {
        let mut next = BrokerRegistration::clone(self.known(id, epoch)?);
        next.fenced = fenced;
        self.brokers.insert_mut(id, Arc::new(next));
        Ok(())
    }

    pub(super) fn register_controller(
        &mut self,
        record: &RegisterControllerRecord<'_>,
    ) -> Result<(), Violation> {
        if record.controller_id < 0 {
            return Err(Violation::new(
                "metadata-node-id-is-not-negative",
                format!("{record:?}"),
            ));
        }
        let registration = ControllerRegistration {
            id: record.controller_id,
            incarnation_id: record.incarnation_id,
            endpoints: record
                .end_points
                .iter()
                .map(|e| endpoint(e.name, e.host, e.port, e.security_protocol))
                .collect(),
            features: record
                .features
                .iter()
                .map(|f| range(f.name, f.min_supported_version, f.max_supported_version))
                .collect(),
        };
        self.controllers
            .insert_mut(record.controller_id, Arc::new(registration));
        Ok(())
    }

    fn known(&self, id: i32, epoch: i64) -> Result<&BrokerRegistration, Violation> {
        match self.broker(id) {
            Some(registration) if registration.epoch == epoch => Ok(registration),
            other => {
                let found = other.map(|registration| registration.epoch);
                let detail =
                    format!("a record for broker {id} with epoch {epoch}, registered is epoch {found:?}");
                Err(Violation::new("metadata-changed-broker-is-registered", detail))
            }
        }
    }
}

fn endpoint(name: &str, host: &str, port: u16, security_protocol: i16) -> Endpoint {
    Endpoint {
        name: name.to_string(),
        host: host.to_string(),
        port,
        security_protocol,
    }
}

fn range(name: &str, min: i16, max: i16) -> FeatureRange {
    FeatureRange {
        name: name.to_string(),
        min,
        max,
    }
}

fn unknown(field: &str, value: i8) -> Violation {
    Violation::new("metadata-broker-change-is-known", format!("{field} is {value}"))
}
