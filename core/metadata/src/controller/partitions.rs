//! New partitions: of a topic that exists (CreatePartitions), and the parts that creating a topic shares with it (Kafka class
//! `ReplicationControlManager`).

use super::placement::usable_brokers;
use super::{ApiError, Draw, place_replicas};
use crate::image::{DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, MetadataImage, Partition};
use crate::records::Records;
use ottla_types::{ErrorCode, Uuid};
use ottla_wire::metadata_records::MetadataRecord;
use std::collections::BTreeMap;

/// A topic that shall have more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePartitionsTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions it shall have.
    pub count: i32,
    /// Where the new ones shall lie, in their order; `None` leaves that to the controller.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// What each topic is answered, in the order of the request, a name given twice once.
pub type PartitionResults<'a> = Vec<(&'a str, Result<(), ApiError>)>;

/// CreatePartitions: each topic as a whole or not at all. The outer error holds for every topic of the request.
pub fn create_partitions<'a>(
    image: &MetadataImage,
    topics: &[CreatePartitionsTopic<'a>],
    validate_only: bool,
    draw: Draw<'_>,
) -> Result<(Records, PartitionResults<'a>), ApiError> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *count.entry(topic.name).or_default() += 1;
    }
    let mut records = Records::new(image.metadata_version());
    let mut results: PartitionResults<'a> = Vec::with_capacity(count.len());
    for topic in topics {
        let start = records.len();
        let result = match count.remove(topic.name) {
            None => continue,
            Some(2..) => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            Some(_) => add_partitions(image, topic, &mut records, draw),
        };
        if let Err(error) = &result {
            records.truncate(start);
            // Kafka answers UNKNOWN_SERVER_ERROR here and keeps the 10,000 partitions that it got to.
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

fn add_partitions(
    image: &MetadataImage,
    topic: &CreatePartitionsTopic<'_>,
    records: &mut Records,
    draw: Draw<'_>,
) -> Result<(), ApiError> {
    let known = image.topics().by_name(topic.name);
    let known = known.ok_or(ApiError::from(ErrorCode::UnknownTopicOrPartition))?;
    let present = known.partitions.size();
    let refuse = |code: ErrorCode, message: String| Err(ApiError::new(code, message));
    let wanted = usize::try_from(topic.count).unwrap_or(0);
    if wanted == present {
        let message = format!("Topic already has {present} partition(s).");
        return refuse(ErrorCode::InvalidPartitions, message);
    }
    let Some(additional) = wanted.checked_sub(present) else {
        let message = format!(
            "The topic {} currently has {present} partition(s); {} would not be an increase.",
            topic.name, topic.count
        );
        return refuse(ErrorCode::InvalidPartitions, message);
    };
    if additional > crate::records::MAX_RECORDS_PER_USER_OP {
        return Err(crate::records::PushError::TooMany.into());
    }
    let factor = known
        .partitions
        .values()
        .next()
        .map_or(0, |partition| partition.replicas.len());
    let placed = match &topic.assignments {
        Some(assignments) if assignments.len() != additional => {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return refuse(ErrorCode::InvalidReplicaAssignment, message);
        }
        Some(assignments) => {
            let indexed = (present as i32..).zip(assignments);
            indexed
                .map(|(index, brokers)| check_assignment(image, index, brokers, Some(factor)))
                .collect::<Result<_, _>>()?
        }
        None => place(image, additional, factor, draw)
            .map_err(|message| ApiError::new(ErrorCode::InvalidReplicationFactor, message))?,
    };
    push_partitions(image, known.id, present as i32, &placed, records)
}

/// Where a new partition lies.
pub(super) struct Placed {
    pub replicas: Vec<i32>,
    isr: Vec<i32>,
}

/// Lets the controller choose; the error is Kafka's message.
pub(super) fn place(
    image: &MetadataImage,
    count: usize,
    factor: usize,
    draw: Draw<'_>,
) -> Result<Vec<Placed>, String> {
    if factor == 0 {
        return Err("Invalid replication factor 0: the replication factor must be positive.".to_string());
    }
    let chosen = place_replicas(&usable_brokers(image), count, factor, draw).map_err(|error| error.0)?;
    let placed = |replicas: Vec<i32>| {
        let isr = active(image, &replicas);
        if isr.is_empty() {
            return Err("All brokers are currently fenced or in controlled shutdown.".to_string());
        }
        Ok(Placed { replicas, isr })
    };
    chosen.into_iter().map(placed).collect()
}

/// Checks replicas that the caller chose. `factor` is how many the topic's other partitions have.
pub(super) fn check_assignment(
    image: &MetadataImage,
    partition: i32,
    brokers: &[i32],
    factor: Option<usize>,
) -> Result<Placed, ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if brokers.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_string());
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    for (at, id) in sorted.iter().enumerate() {
        if image.cluster().broker(*id).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if at > 0 && sorted.get(at - 1) == Some(id) {
            return refuse(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    if let Some(factor) = factor.filter(|factor| *factor != brokers.len()) {
        return refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {factor} replica(s).",
            brokers.len()
        ));
    }
    let isr = active(image, brokers);
    if isr.is_empty() {
        return refuse(format!(
            "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
             controlled shutdown."
        ));
    }
    Ok(Placed {
        replicas: brokers.to_vec(),
        isr,
    })
}

pub(super) fn push_partitions(
    image: &MetadataImage,
    topic_id: Uuid,
    first: i32,
    placed: &[Placed],
    records: &mut Records,
) -> Result<(), ApiError> {
    for (index, place) in (first..).zip(placed) {
        let directories = place
            .replicas
            .iter()
            .map(|id| default_directory(image, *id))
            .collect();
        let partition = Partition::new(place.replicas.clone(), directories, place.isr.clone());
        let record = partition.to_record(topic_id, index, image.metadata_version());
        records.push(&MetadataRecord::Partition(record))?;
    }
    Ok(())
}

/// A broker with one directory needs not be asked where it put the replica (KIP-858).
fn default_directory(image: &MetadataImage, broker: i32) -> Uuid {
    let dirs = image
        .cluster()
        .broker(broker)
        .map(|registration| registration.log_dirs.as_slice());
    match dirs {
        Some([only]) => *only,
        Some([_, ..]) => DIRECTORY_UNASSIGNED,
        Some([]) | None => DIRECTORY_MIGRATING,
    }
}

fn active(image: &MetadataImage, brokers: &[i32]) -> Vec<i32> {
    brokers
        .iter()
        .copied()
        .filter(|id| image.cluster().is_active(*id))
        .collect()
}
