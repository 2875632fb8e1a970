//! Changing dynamic configurations (Kafka class `ConfigurationControlManager`). What a key means, and which values are legal,
//! is the node's knowledge and comes in as [`ConfigRules`].

use super::{ApiError, MIN_ISR, elr_enabled, validate_topic_name};
use crate::image::{Config, ConfigResource, MetadataImage, ResourceKind};
use crate::records::Records;
use ottla_types::ErrorCode;
use ottla_wire::metadata_records::{ClearElrRecord, ConfigRecord, MetadataRecord};
use std::collections::BTreeSet;

/// The longest value that a record can hold.
const MAX_VALUE_LENGTH: usize = i16::MAX as usize;

/// What the node knows about configuration keys.
pub trait ConfigRules {
    /// Whether the key's type is a list, so that it can be appended to.
    fn is_list(&self, kind: ResourceKind, key: &str) -> bool;

    /// The key's default, on which an append to an unset key builds.
    fn default_value(&self, kind: ResourceKind, key: &str) -> Option<String>;

    /// Whether `resource` may be configured as `next` says, which is `before` after the change. Unknown keys, values out of
    /// range and keys that exclude each other are refused here.
    fn validate(&self, resource: &ConfigResource, next: &Config, before: &Config) -> Result<(), ApiError>;
}

/// What to do with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpType {
    /// Set it.
    Set,
    /// Back to the default.
    Delete,
    /// Add to a list.
    Append,
    /// Take from a list.
    Subtract,
}

impl OpType {
    /// From its number in IncrementalAlterConfigs.
    pub fn from_wire(value: i8) -> Option<Self> {
        match value {
            0 => Some(OpType::Set),
            1 => Some(OpType::Delete),
            2 => Some(OpType::Append),
            3 => Some(OpType::Subtract),
            _ => None,
        }
    }
}

/// A change of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigOp<'a> {
    /// The key.
    pub key: &'a str,
    /// What to do.
    pub op: OpType,
    /// The value; not looked at when deleting.
    pub value: Option<&'a str>,
}

/// One resource of an IncrementalAlterConfigs request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceOps<'a> {
    /// The resource.
    pub resource: ConfigResource,
    /// The changes.
    pub ops: Vec<ConfigOp<'a>>,
}

/// One resource of an AlterConfigs request: all that is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyAlter<'a> {
    /// The resource.
    pub resource: ConfigResource,
    /// Keys and values.
    pub configs: Vec<(&'a str, Option<&'a str>)>,
}

/// What each resource is answered.
pub type ConfigResults = Vec<(ConfigResource, Result<(), ApiError>)>;

/// IncrementalAlterConfigs: per resource all changes or none.
pub fn incremental_alter_configs(
    image: &MetadataImage,
    rules: &dyn ConfigRules,
    resources: &[ResourceOps<'_>],
    validate_only: bool,
) -> Result<(Records, ConfigResults), ApiError> {
    let named = resources.iter().map(|item| &item.resource);
    alter(image, named, validate_only, |at, records| {
        let item = &resources[at];
        check_ops(&item.ops)?;
        check_exists(image, &item.resource)?;
        alter_resource(image, rules, &item.resource, &item.ops, records)
    })
}

/// AlterConfigs, deprecated since 2.3: sets what is given and deletes everything else.
pub fn alter_configs(
    image: &MetadataImage,
    rules: &dyn ConfigRules,
    resources: &[LegacyAlter<'_>],
    validate_only: bool,
) -> Result<(Records, ConfigResults), ApiError> {
    let named = resources.iter().map(|item| &item.resource);
    alter(image, named, validate_only, |at, records| {
        let item = &resources[at];
        let set = item.configs.iter().copied();
        let set = set.map(|(key, value)| ConfigOp {
            key,
            op: OpType::Set,
            value,
        });
        let mut ops: Vec<ConfigOp<'_>> = set.collect();
        check_ops(&ops)?;
        check_exists(image, &item.resource)?;
        let given: BTreeSet<&str> = ops.iter().map(|op| op.key).collect();
        let kept = |key: &str| {
            // With ELR the cluster's value must stay, and this request has no way to say that it should.
            key == MIN_ISR && elr_enabled(image) && item.resource == ConfigResource::default_broker()
        };
        let old = image.configs().of(&item.resource).keys().map(String::as_str);
        let gone = old.filter(|key| !given.contains(key) && !kept(key));
        ops.extend(gone.map(|key| ConfigOp {
            key,
            op: OpType::Delete,
            value: None,
        }));
        alter_resource(image, rules, &item.resource, &ops, records)
    })
}

/// Runs `each` for every resource, by its place in the request; what a refused one has added is taken back.
fn alter<'a>(
    image: &MetadataImage,
    resources: impl Iterator<Item = &'a ConfigResource> + Clone,
    validate_only: bool,
    each: impl Fn(usize, &mut Records) -> Result<(), ApiError>,
) -> Result<(Records, ConfigResults), ApiError> {
    let mut records = Records::new(image.metadata_version());
    let mut results: ConfigResults = Vec::new();
    let mut seen: BTreeSet<&ConfigResource> = BTreeSet::new();
    let mut twice: BTreeSet<&ConfigResource> = BTreeSet::new();
    for resource in resources.clone() {
        if !seen.insert(resource) {
            twice.insert(resource);
        }
    }
    for (at, resource) in resources.enumerate() {
        let start = records.len();
        let result = if twice.contains(resource) {
            Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "Each resource must appear at most once.",
            ))
        } else {
            each(at, &mut records)
        };
        if let Err(error) = &result {
            records.truncate(start);
            if error.code == ErrorCode::PolicyViolation {
                return Err(error.clone());
            }
        }
        results.push((resource.clone(), result));
    }
    if validate_only {
        records.truncate(0);
    }
    Ok((records, results))
}

fn check_ops(ops: &[ConfigOp<'_>]) -> Result<(), ApiError> {
    let nulls: Vec<&str> = ops
        .iter()
        .filter(|op| op.op != OpType::Delete && op.value.is_none())
        .map(|op| op.key)
        .collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let keys: BTreeSet<&str> = ops.iter().map(|op| op.key).collect();
    if keys.len() != ops.len() {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "Error due to duplicate config keys",
        ));
    }
    Ok(())
}

/// Only what is there can be configured; groups and client metrics may be configured before they are.
fn check_exists(image: &MetadataImage, resource: &ConfigResource) -> Result<(), ApiError> {
    let name = resource.name.as_str();
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    match resource.kind {
        ResourceKind::Topic if name.is_empty() => {
            refuse("Default topic resources are not allowed.".to_string())
        }
        ResourceKind::Topic => {
            if let Err(message) = validate_topic_name(name) {
                return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
            }
            match image.topics().by_name(name) {
                Some(_) => Ok(()),
                None => Err(ApiError::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("The topic '{name}' does not exist."),
                )),
            }
        }
        ResourceKind::Broker if name.is_empty() => Ok(()),
        ResourceKind::Broker => match name.parse::<i32>() {
            Err(_) => refuse("Unable to parse broker name as a base 10 number.".to_string()),
            Ok(..0) => refuse("Invalid negative broker ID.".to_string()),
            Ok(id) if image.cluster().broker(id).is_none() && image.cluster().controller(id).is_none() => {
                Err(ApiError::new(
                    ErrorCode::BrokerIdNotRegistered,
                    format!("No node with id {id} found."),
                ))
            }
            Ok(_) => Ok(()),
        },
        ResourceKind::ClientMetrics if name.is_empty() => {
            refuse("Subscription name can't be empty".to_string())
        }
        ResourceKind::Group if name.is_empty() => {
            refuse("Default group resources are not allowed.".to_string())
        }
        ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
        ResourceKind::BrokerLogger | ResourceKind::Other(_) => {
            refuse(format!("Unexpected resource type {:?}", resource.kind))
        }
    }
}

/// Adds the records that configure one resource. Also for a topic that is just being created.
pub(super) fn alter_resource(
    image: &MetadataImage,
    rules: &dyn ConfigRules,
    resource: &ConfigResource,
    ops: &[ConfigOp<'_>],
    records: &mut Records,
) -> Result<(), ApiError> {
    let before = image.configs().of(resource);
    let mut next = before.clone();
    let mut changed: Vec<&str> = Vec::new();
    for op in ops {
        let value = apply(rules, resource.kind, before, op)?;
        check_elr(image, resource, op.key, value.is_none())?;
        // A broker reloads what a record names even if its value is the same, for example a key store (KAFKA-14136).
        if before.get(op.key) != value.as_ref() || resource.kind == ResourceKind::Broker {
            changed.push(op.key);
        }
        match value {
            Some(value) => drop(next.insert(op.key.to_string(), value)),
            None => drop(next.remove(op.key)),
        }
    }
    rules.validate(resource, &next, before)?;
    for name in &changed {
        records.push(&MetadataRecord::Config(ConfigRecord {
            resource_type: resource.kind.to_wire(),
            resource_name: &resource.name,
            name,
            value: next.get(*name).map(String::as_str),
        }))?;
    }
    // Who was eligible under another min.insync.replicas may lack records that are committed under this one.
    if changed.contains(&MIN_ISR) && elr_enabled(image) {
        let topic_name = if resource.kind == ResourceKind::Topic {
            resource.name.as_str()
        } else {
            ""
        };
        records.push(&MetadataRecord::ClearElr(ClearElrRecord { topic_name }))?;
    }
    Ok(())
}

/// The key's value after the change; `None` for the default.
fn apply(
    rules: &dyn ConfigRules,
    kind: ResourceKind,
    before: &Config,
    op: &ConfigOp<'_>,
) -> Result<Option<String>, ApiError> {
    let given = op.value.unwrap_or_default();
    let value = match op.op {
        OpType::Delete => return Ok(None),
        OpType::Set => given.to_string(),
        OpType::Append | OpType::Subtract => {
            if !rules.is_list(kind, op.key) {
                let verb = if op.op == OpType::Append {
                    "APPEND"
                } else {
                    "SUBTRACT"
                };
                let message = format!("Can't {verb} to key {} because its type is not LIST.", op.key);
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
            let old = before
                .get(op.key)
                .cloned()
                .or_else(|| rules.default_value(kind, op.key));
            let old = old.unwrap_or_default();
            let mut parts: Vec<&str> = old
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect();
            for part in given.split(',') {
                match (op.op, parts.iter().position(|old| *old == part)) {
                    (OpType::Append, None) => parts.push(part),
                    (OpType::Subtract, Some(at)) => drop(parts.remove(at)),
                    _ => {}
                }
            }
            parts.join(",")
        }
    };
    if value.len() > MAX_VALUE_LENGTH {
        let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.";
        return Err(ApiError::new(ErrorCode::InvalidConfig, message));
    }
    Ok(Some(value))
}

/// ELR needs one `min.insync.replicas` for the whole cluster (KIP-966).
fn check_elr(
    image: &MetadataImage,
    resource: &ConfigResource,
    key: &str,
    deletes: bool,
) -> Result<(), ApiError> {
    if key != MIN_ISR || resource.kind != ResourceKind::Broker || !elr_enabled(image) {
        return Ok(());
    }
    let message = if !resource.name.is_empty() {
        "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
    } else if deletes {
        "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::InvalidConfig, message))
}
