//! The controller: pure functions from a request and an image to the records that carry it out and an answer for each item.
//! Nothing here changes state; the node appends the records, and replay changes the image.
//!
//! Names, error codes and messages are Kafka's (Kafka class `QuorumController` and the managers behind it). What is not
//! here: authorisation and quotas, which the node applies to a request's items before it calls; broker sessions and
//! heartbeats, which are time; the meaning of configuration keys, which comes in as [`ConfigRules`].

mod alter_partition;
mod bootstrap;
mod brokers;
mod configs;
mod elections;
mod features;
mod partitions;
mod placement;
mod producer_ids;
mod topic_names;
mod topics;

pub use alter_partition::{AlterPartition, AlterPartitionResults, alter_partition};
pub use bootstrap::{DEFAULT_FEATURES, bootstrap_records, format_records};
pub use brokers::{
    BrokerRegistrationRequest, ControllerRegistrationRequest, Registered, controlled_shutdown,
    cordon_log_dirs, fence_broker, register_broker, register_controller, unfence_broker, unregister_broker,
};
pub use configs::{
    ConfigOp, ConfigResults, ConfigRules, LegacyAlter, OpType, ResourceOps, alter_configs,
    incremental_alter_configs,
};
pub use elections::{Election, elect_leader};
pub use features::{FeatureUpdate, UpgradeType, update_features};
pub use partitions::{CreatePartitionsTopic, PartitionResults, create_partitions};
pub use placement::{PlacementError, UsableBroker, place_replicas};
pub use producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdBlock, allocate_producer_ids};
pub use topic_names::{MAX_NAME_LENGTH, METADATA_TOPIC, validate_topic_name};
pub use topics::{
    Assignment, CreatableTopic, CreateResults, CreatedTopic, DeleteResults, TopicSelector, create_topics,
    delete_topics,
};

use crate::image::{ConfigResource, ELR_VERSION, MetadataImage};
use crate::records::PushError;
use ottla_types::ErrorCode;

/// A random 64-bit number whenever it is asked. Topic ids and where placement begins depend on it, so the caller owns it.
pub type Draw<'a> = &'a mut dyn FnMut() -> u64;

/// What the node's own configuration says to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfig {
    /// The cluster's id.
    pub cluster_id: String,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `min.insync.replicas`, unless a topic or the cluster says otherwise.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`, unless a topic or the cluster says otherwise.
    pub unclean_leader_election_enable: bool,
}

impl ControllerConfig {
    /// The `min.insync.replicas` that holds for a topic.
    pub fn min_isr(&self, image: &MetadataImage, topic: &str) -> usize {
        let set = effective(image, topic, MIN_ISR).and_then(|value| value.trim().parse::<i32>().ok());
        usize::try_from(set.unwrap_or(self.min_insync_replicas))
            .unwrap_or(0)
            .max(1)
    }

    /// Whether a topic prefers an unclean leader to none.
    pub fn unclean_election(&self, image: &MetadataImage, topic: &str) -> bool {
        let set = effective(image, topic, "unclean.leader.election.enable");
        set.map_or(self.unclean_leader_election_enable, |value| {
            value.trim().eq_ignore_ascii_case("true")
        })
    }
}

const MIN_ISR: &str = "min.insync.replicas";

/// The value set on a topic, or else on all brokers.
fn effective<'a>(image: &'a MetadataImage, topic: &str, key: &str) -> Option<&'a str> {
    let on_topic = image.configs().get(&ConfigResource::topic(topic), key);
    on_topic.or_else(|| image.configs().get(&ConfigResource::default_broker(), key))
}

fn elr_enabled(image: &MetadataImage) -> bool {
    image.feature(ELR_VERSION) > 0
}

/// Why an item, or a whole request, was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The protocol error.
    pub code: ErrorCode,
    /// What Kafka says in words; `None` leaves it to the code.
    pub message: Option<String>,
}

impl ApiError {
    /// An error with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError {
            code,
            message: Some(message.into()),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        ApiError { code, message: None }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::TooMany => ApiError::new(
                ErrorCode::PolicyViolation,
                "Unable to perform excessively large batch operation.",
            ),
            PushError::Encode(error) => ApiError::new(ErrorCode::InvalidRequest, format!("{error}")),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code.name()),
            None => self.code.fmt(f),
        }
    }
}

impl std::error::Error for ApiError {}

/// Kafka refuses an operation of one broker for another incarnation of it.
fn check_broker_epoch(image: &MetadataImage, id: i32, epoch: i64) -> Result<(), ApiError> {
    match image.cluster().broker(id) {
        None => Err(ApiError::new(
            ErrorCode::StaleBrokerEpoch,
            format!("No broker registration found for broker id {id}"),
        )),
        Some(registration) if registration.epoch != epoch => Err(ApiError::new(
            ErrorCode::StaleBrokerEpoch,
            format!(
                "Expected broker epoch {}, but got broker epoch {epoch}",
                registration.epoch
            ),
        )),
        Some(_) => Ok(()),
    }
}
