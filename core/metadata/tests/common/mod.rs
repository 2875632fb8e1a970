//! What the tests share: a node's configuration, rules for configuration keys that know a handful of them, a generator of
//! random numbers, and the real log under `data/`.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use ottla_metadata::controller::*;
use ottla_metadata::image::{Config, Endpoint, FeatureRange};
use ottla_metadata::records::{Records, decode};
use ottla_metadata::{ConfigResource, MetadataDelta, MetadataImage, ResourceKind};
use ottla_types::{ErrorCode, Offset, Uuid};
use ottla_wire::records::Batches;

/// The cluster whose log lies under `data/`.
pub fn config() -> ControllerConfig {
    ControllerConfig {
        cluster_id: "5L6g3nShT-eMCtK--X86sw".to_string(),
        num_partitions: 4,
        default_replication_factor: 2,
        min_insync_replicas: 1,
        unclean_leader_election_enable: false,
    }
}

/// Knows `cleanup.policy` as a list and refuses `retention.ms` that is no number, and keys named `no.such`.
pub struct Rules;

impl ConfigRules for Rules {
    fn is_list(&self, _: ResourceKind, key: &str) -> bool {
        key == "cleanup.policy"
    }

    fn default_value(&self, _: ResourceKind, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".to_string())
    }

    fn validate(&self, _: &ConfigResource, next: &Config, _: &Config) -> Result<(), ApiError> {
        for (key, value) in next {
            if key == "no.such" {
                let message = format!("Unknown topic config name: {key}");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
            if key == "retention.ms" && value.parse::<i64>().is_err() {
                let message =
                    format!("Invalid value {value} for configuration {key}: Not a number of type LONG");
                return Err(ApiError::new(ErrorCode::InvalidConfig, message));
            }
        }
        Ok(())
    }
}

/// SplitMix64.
pub fn dice(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A registration of broker `id` with its usual directory, rack and listener; each `incarnation` is another process.
pub fn registration(id: i32, incarnation: u8, previous_epoch: i64) -> BrokerRegistrationRequest {
    let byte = id as u8;
    let features = DEFAULT_FEATURES.iter();
    BrokerRegistrationRequest {
        cluster_id: config().cluster_id,
        broker_id: id,
        incarnation_id: Uuid::from_bytes([incarnation.wrapping_add(1); 16]),
        endpoints: vec![Endpoint {
            name: "PLAINTEXT".to_string(),
            host: "localhost".to_string(),
            port: 9090 + id as u16,
            security_protocol: 0,
        }],
        features: features
            .map(|(name, max)| FeatureRange {
                name: name.to_string(),
                min: 0,
                max: *max,
            })
            .collect(),
        rack: None,
        log_dirs: vec![Uuid::from_bytes([byte; 16])],
        previous_broker_epoch: previous_epoch,
    }
}

/// A cluster just after its first boot with brokers 1 to `brokers`, all unfenced.
pub fn cluster(brokers: i32) -> MetadataImage {
    let mut image = MetadataImage::default();
    replay(
        &mut image,
        &bootstrap_records(&config(), format_records(&DEFAULT_FEATURES).unwrap().iter()).unwrap(),
    );
    for id in 1..=brokers {
        let request = registration(id, 0, -1);
        let registered = register_broker(&image, &config(), &request, image.offset() + 1, false).unwrap();
        replay(&mut image, &registered.records);
        let unfenced = unfence_broker(&image, &config(), id, registered.epoch).unwrap();
        replay(&mut image, &unfenced);
    }
    image
}

/// Replays `records` after what `image` has seen.
pub fn replay(image: &mut MetadataImage, records: &Records) -> MetadataDelta {
    let mut delta = MetadataDelta::default();
    for value in records.iter() {
        let offset = image.offset() + 1;
        image.replay(&decode(value).unwrap(), offset, &mut delta).unwrap();
    }
    delta
}

/// The batches of the real log that hold metadata records: the first record's offset, and the values.
pub fn kafka_log() -> Vec<(Offset, Vec<&'static [u8]>)> {
    let bytes: &'static [u8] = include_bytes!("../data/kafka-4.3.1.log");
    let mut log = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        if !batch.header().attributes.is_control() {
            let values = batch.records().map(|record| record.unwrap().value.unwrap());
            log.push((batch.header().base_offset, values.collect()));
        }
    }
    log
}
