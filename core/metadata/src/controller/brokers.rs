//! Brokers and controllers as they come, change and go (Kafka class `ClusterControlManager`, and the broker's part of
//! `ReplicationControlManager`). Whether a session has expired is the caller's knowledge: it is time.

use super::elections::{Subject, update_partitions};
use super::{ApiError, ControllerConfig, check_broker_epoch};
use crate::image::{
    BrokerRegistration, ControllerRegistration, Endpoint, FeatureRange, METADATA_VERSION, MetadataImage,
};
use crate::records::{CONTROLLED_SHUTDOWN_SINCE, CONTROLLERS_SINCE, CORDONING_SINCE, Records};
use ottla_types::{ErrorCode, Offset, Uuid};
use ottla_wire::metadata_records::{BrokerRegistrationChangeRecord, MetadataRecord, UnregisterBrokerRecord};

/// A broker that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistrationRequest {
    /// The cluster that it believes to be in.
    pub cluster_id: String,
    /// Its `node.id`.
    pub broker_id: i32,
    /// Drawn when its process started.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// The ids of its log directories.
    pub log_dirs: Vec<Uuid>,
    /// The epoch that its clean-shutdown marker vouches for; −1 after a crash.
    pub previous_broker_epoch: i64,
}

/// A controller that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerRegistrationRequest {
    /// Its `node.id`.
    pub controller_id: i32,
    /// Drawn when its process started.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it can work at.
    pub features: Vec<FeatureRange>,
}

/// A broker's registration is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The records.
    pub records: Records,
    /// The epoch that the broker has to show from now on.
    pub epoch: i64,
}

/// Registers a broker. `next_offset` is the offset that the first record will get, from which a new incarnation takes its
/// epoch. `has_session` says whether the incarnation now registered still sends heartbeats.
pub fn register_broker(
    image: &MetadataImage,
    config: &ControllerConfig,
    request: &BrokerRegistrationRequest,
    next_offset: Offset,
    has_session: bool,
) -> Result<Registered, ApiError> {
    let known = image.cluster().broker(request.broker_id);
    let same_incarnation = known.filter(|broker| broker.incarnation_id == request.incarnation_id);
    check_registration(image, config, request)?;
    if known.is_some() && same_incarnation.is_none() && has_session {
        return Err(ApiError::new(
            ErrorCode::DuplicateBrokerRegistration,
            "Another broker is registered with that broker id. If the broker was recently restarted this should \
             self-resolve once the heartbeat manager expires the broker's session.",
        ));
    }
    check_features(image, &request.features)?;
    let mut records = Records::unbounded(image.metadata_version());
    if let (Some(before), None) = (known, same_incarnation) {
        // A broker that did not stop cleanly may have lost what it had not synced (KIP-966).
        let id = request.broker_id;
        let clean = request.previous_broker_epoch == before.epoch;
        let subject = match clean {
            true => Subject {
                remove: Some(id),
                ..Subject::default()
            },
            false => Subject {
                unclean: Some(id),
                ..Subject::default()
            },
        };
        update_partitions(
            image,
            config,
            subject,
            |p| p.isr.contains(&id) || (!clean && p.elr.contains(&id)),
            &mut records,
        )?;
    }
    let registration = BrokerRegistration {
        id: request.broker_id,
        epoch: same_incarnation.map_or(next_offset, |broker| broker.epoch),
        incarnation_id: request.incarnation_id,
        endpoints: request.endpoints.clone(),
        features: request.features.clone(),
        rack: request.rack.clone(),
        fenced: same_incarnation.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same_incarnation.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: request.log_dirs.clone(),
        cordoned_log_dirs: None,
    };
    let epoch = registration.epoch;
    let record = registration.to_record(image.metadata_version());
    records.push(&MetadataRecord::RegisterBroker(record))?;
    Ok(Registered { records, epoch })
}

fn check_registration(
    image: &MetadataImage,
    config: &ControllerConfig,
    request: &BrokerRegistrationRequest,
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidRegistration, message));
    if request.cluster_id != config.cluster_id {
        let message = format!(
            "Expected cluster ID {}, but got cluster ID {}",
            config.cluster_id, request.cluster_id
        );
        return Err(ApiError::new(ErrorCode::InconsistentClusterId, message));
    }
    if request.log_dirs.is_empty() {
        return refuse("No directories specified in request".to_string());
    }
    if request.log_dirs.iter().any(is_reserved) {
        return refuse("Reserved directory ID in request".to_string());
    }
    let mut sorted = request.log_dirs.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("Duplicate directory ID in request".to_string());
    }
    let others = image
        .cluster()
        .brokers()
        .filter(|broker| broker.id != request.broker_id);
    for broker in others {
        if let Some(dir) = broker.log_dirs.iter().find(|dir| request.log_dirs.contains(dir)) {
            return refuse(format!(
                "Broker {} is already registered with directory {dir}",
                broker.id
            ));
        }
    }
    Ok(())
}

/// The lowest hundred ids have a meaning or are kept for one (Kafka class `DirectoryId`).
fn is_reserved(dir: &Uuid) -> bool {
    u128::from_be_bytes(*dir.as_bytes()) < 100
}

/// Every finalised level must lie in the range that the node can work at.
fn check_features(image: &MetadataImage, features: &[FeatureRange]) -> Result<(), ApiError> {
    if !features.iter().any(|feature| feature.name == METADATA_VERSION) {
        let message = "Request features do not contain 'metadata.version'";
        return Err(ApiError::new(ErrorCode::InvalidRegistration, message));
    }
    let unlisted = |name: &String| !features.iter().any(|feature| feature.name == *name);
    let unlisted = image
        .features()
        .keys()
        .filter(|name| unlisted(name))
        .map(|name| (name.as_str(), 0, 0));
    let listed = features
        .iter()
        .map(|feature| (feature.name.as_str(), feature.min, feature.max));
    for (name, min, max) in listed.chain(unlisted) {
        let level = if name == METADATA_VERSION {
            image.metadata_version()
        } else {
            image.feature(name)
        };
        // Level 0 means that the feature is off, which any node can live with.
        if !(min..=max).contains(&level) && level != 0 {
            let message = format!(
                "Unable to register because the broker does not support finalized version {level} of {name}. \
                 The broker wants a version between {min} and {max}, inclusive."
            );
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, message));
        }
    }
    Ok(())
}

/// Registers a controller. No records below 3.7-IV0, where controllers are not known yet.
pub fn register_controller(
    image: &MetadataImage,
    request: &ControllerRegistrationRequest,
) -> Result<Records, ApiError> {
    let registration = ControllerRegistration {
        id: request.controller_id,
        incarnation_id: request.incarnation_id,
        endpoints: request.endpoints.clone(),
        features: request.features.clone(),
    };
    let mut records = Records::unbounded(image.metadata_version());
    if image.metadata_version() >= CONTROLLERS_SINCE {
        records.push(&MetadataRecord::RegisterController(registration.to_record()))?;
    }
    Ok(records)
}

/// A broker has caught up with the metadata log: it may serve, and lead what nobody leads. No records when it is not fenced,
/// or has asked to leave: from there only another incarnation comes back.
pub fn unfence_broker(
    image: &MetadataImage,
    config: &ControllerConfig,
    id: i32,
    epoch: i64,
) -> Result<Records, ApiError> {
    check_broker_epoch(image, id, epoch)?;
    let mut records = Records::unbounded(image.metadata_version());
    let registration = registered(image, id)?;
    if !registration.fenced || registration.in_controlled_shutdown {
        return Ok(records);
    }
    push_change(
        &mut records,
        BrokerRegistrationChangeRecord {
            fenced: -1,
            ..change(id, epoch)
        },
    )?;
    let subject = Subject {
        add: Some(id),
        ..Subject::default()
    };
    update_partitions(image, config, subject, |p| p.leader < 0, &mut records)?;
    Ok(records)
}

/// A broker's session has expired, or it has shut down: it leaves every ISR and leads nothing.
pub fn fence_broker(image: &MetadataImage, config: &ControllerConfig, id: i32) -> Result<Records, ApiError> {
    let epoch = registered(image, id)?.epoch;
    let mut records = Records::unbounded(image.metadata_version());
    leave(image, config, id, &mut records)?;
    push_change(
        &mut records,
        BrokerRegistrationChangeRecord {
            fenced: 1,
            ..change(id, epoch)
        },
    )?;
    Ok(records)
}

/// A broker wants to stop: its partitions get other leaders while it can still hand them over.
pub fn controlled_shutdown(
    image: &MetadataImage,
    config: &ControllerConfig,
    id: i32,
    epoch: i64,
) -> Result<Records, ApiError> {
    check_broker_epoch(image, id, epoch)?;
    let mut records = Records::unbounded(image.metadata_version());
    let known = image.metadata_version() >= CONTROLLED_SHUTDOWN_SINCE;
    if known && !registered(image, id)?.in_controlled_shutdown {
        push_change(
            &mut records,
            BrokerRegistrationChangeRecord {
                in_controlled_shutdown: 1,
                ..change(id, epoch)
            },
        )?;
    }
    leave(image, config, id, &mut records)?;
    Ok(records)
}

/// A broker will not come back (UnregisterBroker).
pub fn unregister_broker(
    image: &MetadataImage,
    config: &ControllerConfig,
    id: i32,
) -> Result<Records, ApiError> {
    let epoch = registered(image, id)?.epoch;
    let mut records = Records::unbounded(image.metadata_version());
    leave(image, config, id, &mut records)?;
    let record = UnregisterBrokerRecord {
        broker_id: id,
        broker_epoch: epoch,
    };
    records.push(&MetadataRecord::UnregisterBroker(record))?;
    Ok(records)
}

/// A heartbeat names the log directories that take no new replicas (KIP-1066); no records when that is known.
pub fn cordon_log_dirs(
    image: &MetadataImage,
    id: i32,
    epoch: i64,
    cordoned: &[Uuid],
) -> Result<Records, ApiError> {
    check_broker_epoch(image, id, epoch)?;
    let mut records = Records::unbounded(image.metadata_version());
    let as_known = registered(image, id)?.cordoned_log_dirs.as_deref() == Some(cordoned);
    if !as_known && image.metadata_version() >= CORDONING_SINCE {
        let cordoned_log_dirs = Some(cordoned.to_vec());
        push_change(
            &mut records,
            BrokerRegistrationChangeRecord {
                cordoned_log_dirs,
                ..change(id, epoch)
            },
        )?;
    }
    Ok(records)
}

fn leave(
    image: &MetadataImage,
    config: &ControllerConfig,
    id: i32,
    records: &mut Records,
) -> Result<(), ApiError> {
    let subject = Subject {
        remove: Some(id),
        ..Subject::default()
    };
    update_partitions(image, config, subject, |p| p.isr.contains(&id), records)
}

fn registered(image: &MetadataImage, id: i32) -> Result<&BrokerRegistration, ApiError> {
    let missing = || {
        let message = format!("Broker ID {id} is not currently registered");
        ApiError::new(ErrorCode::BrokerIdNotRegistered, message)
    };
    Ok(image.cluster().broker(id).ok_or_else(missing)?)
}

fn change(broker_id: i32, broker_epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id,
        broker_epoch,
        ..Default::default()
    }
}

fn push_change(records: &mut Records, change: BrokerRegistrationChangeRecord) -> Result<(), ApiError> {
    Ok(records.push(&MetadataRecord::BrokerRegistrationChange(change))?)
}
