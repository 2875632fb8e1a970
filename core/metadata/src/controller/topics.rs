//! Creating and deleting topics (Kafka classes `ReplicationControlManager` and `ControllerApis`).

use super::configs::alter_resource;
use super::partitions::{Placed, check_assignment, place, push_partitions};
use super::topic_names::{collision, unified};
use super::{
    ApiError, ConfigOp, ConfigRules, ControllerConfig, Draw, METADATA_TOPIC, OpType, validate_topic_name,
};
use crate::image::{Config, ConfigResource, MetadataImage};
use crate::records::{MAX_RECORDS_PER_USER_OP, Records};
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::metadata_records::{MetadataRecord, RemoveTopicRecord, TopicRecord};
use std::collections::{BTreeMap, BTreeSet};

/// Where one partition of a new topic shall lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition's index.
    pub partition: i32,
    /// Its replicas, the preferred leader first.
    pub brokers: Vec<i32>,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatableTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions; −1 for the default, or with `assignments`.
    pub num_partitions: i32,
    /// How many replicas of each; −1 for the default, or with `assignments`.
    pub replication_factor: i16,
    /// Where each partition shall lie; empty leaves that to the controller.
    pub assignments: Vec<Assignment>,
    /// Its configuration.
    pub configs: Vec<(&'a str, Option<&'a str>)>,
}

/// A topic that the records create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub topic_id: Uuid,
    /// How many partitions it has.
    pub num_partitions: i32,
    /// How many replicas its first partition has.
    pub replication_factor: i16,
    /// What was set; the caller knows the defaults around it.
    pub config: Config,
}

/// What each topic is answered, in the order of the request, a name given twice once.
pub type CreateResults<'a> = Vec<(&'a str, Result<CreatedTopic, ApiError>)>;

/// CreateTopics: each topic as a whole or not at all. The outer error holds for every topic of the request.
pub fn create_topics<'a>(
    image: &MetadataImage,
    config: &ControllerConfig,
    rules: &dyn ConfigRules,
    topics: &[CreatableTopic<'a>],
    validate_only: bool,
    draw: Draw<'_>,
) -> Result<(Records, CreateResults<'a>), ApiError> {
    check_total(config, topics)?;
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *count.entry(topic.name).or_default() += 1;
    }
    let mut records = Records::new(image.metadata_version());
    let mut results: CreateResults<'a> = Vec::with_capacity(count.len());
    let mut names = BTreeSet::new();
    for topic in topics {
        let start = records.len();
        let result = match count.remove(topic.name) {
            None => continue,
            Some(2..) => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            Some(_) => create_topic(image, config, rules, topic, &mut names, &mut records, draw),
        };
        if let Err(error) = &result {
            records.truncate(start);
            // Too many records: Kafka then refuses the whole request.
            if error.code == ErrorCode::PolicyViolation {
                return Err(error.clone());
            }
        }
        results.push((topic.name, result));
    }
    if validate_only {
        records.truncate(0);
    }
    Ok((records, results))
}

/// Kafka counts what is asked for before it looks at anything else.
fn check_total(config: &ControllerConfig, topics: &[CreatableTopic<'_>]) -> Result<(), ApiError> {
    let wanted = |topic: &CreatableTopic<'_>| match topic.num_partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len(),
        -1 => usize::try_from(config.num_partitions).unwrap_or(0),
        count => usize::try_from(count).unwrap_or(0),
    };
    if topics.iter().map(wanted).fold(0, usize::saturating_add) > MAX_RECORDS_PER_USER_OP {
        let message = "Excessively large number of partitions per request.";
        return Err(ApiError::new(ErrorCode::PolicyViolation, message));
    }
    Ok(())
}

fn create_topic(
    image: &MetadataImage,
    config: &ControllerConfig,
    rules: &dyn ConfigRules,
    topic: &CreatableTopic<'_>,
    names: &mut BTreeSet<String>,
    records: &mut Records,
    draw: Draw<'_>,
) -> Result<CreatedTopic, ApiError> {
    check_name(image, topic.name, names)?;
    let set = creation_config(topic)?;
    let mut config_records = Records::new(image.metadata_version());
    let ops: Vec<ConfigOp<'_>> = set
        .iter()
        .map(|(key, value)| ConfigOp {
            key,
            op: OpType::Set,
            value: Some(value),
        })
        .collect();
    if !ops.is_empty() {
        alter_resource(
            image,
            rules,
            &ConfigResource::topic(topic.name),
            &ops,
            &mut config_records,
        )?;
    }
    let partitions = new_partitions(image, config, topic, draw)?;
    let topic_id = new_topic_id(image, draw)?;
    records.push(&MetadataRecord::Topic(TopicRecord {
        name: topic.name,
        topic_id,
    }))?;
    records.append(&config_records)?;
    push_partitions(image, topic_id, 0, &partitions, records)?;
    names.insert(unified(topic.name));
    Ok(CreatedTopic {
        topic_id,
        num_partitions: partitions.len() as i32,
        replication_factor: partitions
            .first()
            .map_or(0, |placed| placed.replicas.len() as i16),
        config: set,
    })
}

/// `names` holds the names that this request has given already, as [`unified`] spells them.
fn check_name(image: &MetadataImage, name: &str, names: &BTreeSet<String>) -> Result<(), ApiError> {
    if name == METADATA_TOPIC {
        let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if image.topics().by_name(name).is_some() {
        return Err(ApiError::new(
            ErrorCode::TopicAlreadyExists,
            format!("Topic '{name}' already exists."),
        ));
    }
    let illegal = |message: String| Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    if let Err(message) = validate_topic_name(name) {
        return illegal(message);
    }
    if let Some(other) = collision(image, name) {
        return illegal(format!("Topic '{name}' collides with existing topic: {other}"));
    }
    if names.contains(&unified(name)) {
        return illegal(format!(
            "Topic '{name}' collides with another topic of this request"
        ));
    }
    Ok(())
}

fn creation_config(topic: &CreatableTopic<'_>) -> Result<Config, ApiError> {
    let nulls: Vec<&str> = topic
        .configs
        .iter()
        .filter(|c| c.1.is_none())
        .map(|c| c.0)
        .collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(ApiError::new(ErrorCode::InvalidConfig, message));
    }
    let given = topic
        .configs
        .iter()
        .filter_map(|(key, value)| Some((key.to_string(), (*value)?.to_string())));
    Ok(given.collect())
}

fn new_partitions(
    image: &MetadataImage,
    config: &ControllerConfig,
    topic: &CreatableTopic<'_>,
    draw: Draw<'_>,
) -> Result<Vec<Placed>, ApiError> {
    if !topic.assignments.is_empty() {
        return assigned_partitions(image, topic);
    }
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        return Err(ApiError::new(
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        return Err(ApiError::new(
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ));
    }
    let count = if topic.num_partitions == -1 {
        config.num_partitions
    } else {
        topic.num_partitions
    };
    let factor = match topic.replication_factor {
        -1 => config.default_replication_factor,
        factor => factor,
    };
    let count = usize::try_from(count).unwrap_or(0);
    let factor = usize::try_from(factor).unwrap_or(0);
    place(image, count, factor, draw).map_err(|message| {
        let message = format!("Unable to replicate the partition {factor} time(s): {message}");
        ApiError::new(ErrorCode::InvalidReplicationFactor, message)
    })
}

fn assigned_partitions(image: &MetadataImage, topic: &CreatableTopic<'_>) -> Result<Vec<Placed>, ApiError> {
    let refuse = |code: ErrorCode, message: &str| Err(ApiError::new(code, message));
    if topic.replication_factor != -1 {
        return refuse(
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        );
    }
    if topic.num_partitions != -1 {
        return refuse(
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        );
    }
    let mut partitions: BTreeMap<i32, Placed> = BTreeMap::new();
    let mut factor = None;
    for assignment in &topic.assignments {
        let index = assignment.partition;
        if partitions.contains_key(&index) {
            let message = format!("Found multiple manual partition assignments for partition {index}");
            return refuse(ErrorCode::InvalidReplicaAssignment, &message);
        }
        partitions.insert(
            index,
            check_assignment(image, index, &assignment.brokers, factor)?,
        );
        factor = Some(assignment.brokers.len());
    }
    if !partitions.keys().copied().eq(0..partitions.len() as i32) {
        return refuse(
            ErrorCode::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        );
    }
    Ok(partitions.into_values().collect())
}

/// An id that no topic has. A generator that only repeats itself gets an error, not a loop.
fn new_topic_id(image: &MetadataImage, draw: Draw<'_>) -> Result<Uuid, ApiError> {
    for _ in 0..64 {
        let bits = u128::from(draw()) << 64 | u128::from(draw());
        let drawn = Uuid::from_random(bits.to_be_bytes());
        if let Some(id) = drawn.filter(|id| image.topics().by_id(*id).is_none()) {
            return Ok(id);
        }
    }
    Err(ErrorCode::UnknownServerError.into())
}

/// A topic to delete: by name, or by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicSelector<'a> {
    /// By name.
    Name(&'a str),
    /// By id.
    Id(Uuid),
}

/// What each selector is answered: the id of the topic that the records remove.
pub type DeleteResults<'a> = Vec<(TopicSelector<'a>, Result<Uuid, ApiError>)>;

/// DeleteTopics, for the topics that the caller may delete.
pub fn delete_topics<'a>(
    image: &MetadataImage,
    topics: &[TopicSelector<'a>],
) -> Result<(Records, DeleteResults<'a>), ApiError> {
    let found: Vec<Result<Uuid, ApiError>> = topics.iter().map(|topic| find(image, topic)).collect();
    let mut count: BTreeMap<Uuid, usize> = BTreeMap::new();
    for id in found.iter().flatten() {
        *count.entry(*id).or_default() += 1;
    }
    let mut records = Records::new(image.metadata_version());
    let mut results = Vec::with_capacity(topics.len());
    for (selector, found) in topics.iter().zip(found) {
        let result = match found {
            Ok(id) if count.get(&id) == Some(&1) => {
                records.push(&MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id }))?;
                Ok(id)
            }
            Ok(_) => Err(ApiError::new(ErrorCode::InvalidRequest, duplicate(selector))),
            Err(error) => Err(error),
        };
        results.push((*selector, result));
    }
    Ok((records, results))
}

fn duplicate(selector: &TopicSelector<'_>) -> &'static str {
    match selector {
        TopicSelector::Name(_) => "Duplicate topic name.",
        TopicSelector::Id(_) => "Duplicate topic id.",
    }
}

fn find(image: &MetadataImage, selector: &TopicSelector<'_>) -> Result<Uuid, ApiError> {
    match selector {
        TopicSelector::Id(id) if id.is_zero() => {
            let message = "Neither topic name nor id were specified.";
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        TopicSelector::Id(id) => image
            .topics()
            .by_id(*id)
            .map(|topic| topic.id)
            .ok_or(ErrorCode::UnknownTopicId.into()),
        TopicSelector::Name(name) => image
            .topics()
            .by_name(name)
            .map(|topic| topic.id)
            .ok_or(ErrorCode::UnknownTopicOrPartition.into()),
    }
}
