//! The clients against a scripted broker: negotiation, lost connections, retries. What a real broker does is tried by
//! `examples/smoke.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_io::Rng;
use ottla_rpc::{CallError, ClientConnection, ClientOptions};
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::header::RequestHeader;
use ottla_wire::messages::create_topics_response::CreatableTopicResult;
use ottla_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use ottla_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use ottla_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use ottla_wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, ProduceRequest, ProduceResponse,
};
use ottla_wire::records::{BatchBuilder, BatchOptions, BatchRef, Compressor, add_sequence};
use ottla_wire::{ApiKey, Reader};

use crate::admin::NewTopic;
use crate::consumer::OffsetReset;
use crate::fake::{Reply, answer, basics, environment};
use crate::{Admin, ClientConfig, Consumer, ConsumerConfig, Error, Producer, ProducerConfig, Record};

const RANGES: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 5),
    (ApiKey::InitProducerId, 0, 4),
];

#[test]
fn versions_are_negotiated_down_to_the_oldest() {
    for newest in [0, 1, 2, 3, 4] {
        let ranges = move || vec![(ApiKey::Metadata, 2, 9), (ApiKey::ApiVersions, 0, newest)];
        let (env, driver) = environment(Box::new(move |h, b| basics(h, b, &ranges()).unwrap()));
        driver.run(async move {
            let connection = ClientConnection::connect(&env, "h", 9092, &ClientOptions::default())
                .await
                .unwrap();
            assert_eq!(connection.version::<MetadataRequest<'_>>(), Ok(9));
            assert_eq!(connection.version_up_to::<MetadataRequest<'_>>(4), Ok(4));
            let none = CallError::Unsupported {
                api: ApiKey::Metadata,
            };
            assert_eq!(connection.version_up_to::<MetadataRequest<'_>>(1), Err(none));
            assert_eq!(
                connection.version::<FetchRequest<'_>>(),
                Err(CallError::Unsupported { api: ApiKey::Fetch })
            );
        });
    }
}

#[test]
fn a_silent_broker_times_out_and_loses_its_connection() {
    let (env, driver) = environment(Box::new(|h, b| match ApiKey::try_from(h.request_api_key) {
        Ok(ApiKey::Metadata) => Reply::Silence,
        _ => basics(h, b, RANGES).unwrap(),
    }));
    driver.run(async move {
        let connection = ClientConnection::connect(&env, "h", 9092, &ClientOptions::default())
            .await
            .unwrap();
        let begun = env.clock.now();
        let result = connection.request(9, &MetadataRequest::default()).await;
        assert_eq!(result, Err(CallError::Timeout { what: "Metadata" }));
        assert_eq!(env.clock.now().since(begun), Duration::from_secs(30));
        assert!(connection.is_closed());
        assert!(matches!(
            connection.request(9, &MetadataRequest::default()).await,
            Err(CallError::Closed(_))
        ));
    });
}

#[test]
fn an_answer_to_another_request_ends_the_connection() {
    let (env, driver) = environment(Box::new(|h, b| {
        let mut other = h.clone();
        other.correlation_id += i32::from(h.request_api_key == ApiKey::Metadata.id());
        basics(&other, b, RANGES).unwrap()
    }));
    driver.run(async move {
        let connection = ClientConnection::connect(&env, "h", 9092, &ClientOptions::default())
            .await
            .unwrap();
        let result = connection.request(9, &MetadataRequest::default()).await;
        assert!(
            matches!(&result, Err(CallError::Closed(why)) if why.contains("was due")),
            "{result:?}"
        );
    });
}

#[test]
fn bootstrap_goes_on_to_the_server_that_answers() {
    let (env, driver) = environment(Box::new(|h, b| basics(h, b, RANGES).unwrap()));
    driver.run(async move {
        let cluster = crate::Cluster::new(&env, ClientConfig::new("x:1,h:9092,y:1")).unwrap();
        let deadline = env.clock.now().after(Duration::from_secs(60));
        let topic = cluster.topic("t", false, deadline).await.unwrap();
        assert_eq!(
            topic.partitions.iter().map(|p| p.partition).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(
            cluster.leader(&TopicPartition::new("t", 1), deadline).await,
            Ok((1, 5))
        );
        let nowhere = crate::Cluster::new(&env, ClientConfig::new("x:1")).unwrap();
        let error = nowhere
            .topic("t", false, env.clock.now().after(Duration::from_secs(5)))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("x:1") && error.to_string().contains("bootstrap.servers"),
            "{error}"
        );
    });
}

/// One partition as a broker keeps it: values, and what it knows about the producer.
#[derive(Default)]
struct Log {
    values: Vec<String>,
    epoch: i16,
    next: i32,
    recent: Vec<(i16, i32, i64)>,
}

impl Log {
    fn append(&mut self, records: &[u8]) -> (ErrorCode, i64) {
        let batch = BatchRef::first(records).unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        let (epoch, sequence) = (header.producer_epoch, header.base_sequence);
        assert_eq!(header.producer_id, 7);
        if let Some((.., offset)) = self
            .recent
            .iter()
            .rev()
            .take(5)
            .find(|(e, s, _)| (*e, *s) == (epoch, sequence))
        {
            return (ErrorCode::None, *offset);
        }
        if epoch < self.epoch {
            return (ErrorCode::InvalidProducerEpoch, -1);
        }
        let expected = if epoch > self.epoch { 0 } else { self.next };
        if sequence != expected {
            return (ErrorCode::OutOfOrderSequenceNumber, -1);
        }
        let offset = self.values.len() as i64;
        self.recent.push((epoch, sequence, offset));
        (self.epoch, self.next) = (epoch, add_sequence(sequence, header.record_count));
        let values = batch
            .records()
            .map(|r| String::from_utf8(r.unwrap().value.unwrap().to_vec()).unwrap());
        self.values.extend(values);
        (ErrorCode::None, offset)
    }
}

type Logs = Arc<Mutex<BTreeMap<i32, Log>>>;

/// Takes a Produce request; `fault` in ten is answered by an error, a lost answer, a lost request or silence.
fn flaky(header: &RequestHeader<'_>, body: &mut Reader<'_>, logs: &Logs, rng: &mut Rng, fault: u64) -> Reply {
    let request = ProduceRequest::decode(body, header.request_api_version).unwrap();
    let fault = if rng.below(10) < fault {
        1 + rng.below(4)
    } else {
        0
    };
    match fault {
        1 => return Reply::Close,
        2 => return Reply::Silence,
        _ => {}
    }
    let mut logs = logs.lock().unwrap();
    let partitions = request.topic_data[0].partition_data.iter().map(|p| {
        let (code, base_offset) = match fault {
            3 => (ErrorCode::NotEnoughReplicas, -1),
            _ => logs.entry(p.index).or_default().append(p.records.unwrap()),
        };
        PartitionProduceResponse {
            index: p.index,
            error_code: code.code(),
            base_offset,
            ..Default::default()
        }
    });
    let topic = TopicProduceResponse {
        name: "t",
        partition_responses: partitions.collect(),
        ..Default::default()
    };
    let response = ProduceResponse {
        responses: vec![topic],
        ..Default::default()
    };
    if fault == 4 {
        Reply::Close
    } else {
        answer(header, &response)
    }
}

#[test]
fn an_idempotent_producer_writes_each_record_once_and_in_order_whatever_happens() {
    for seed in 0..300 {
        let logs = Logs::default();
        let (script, mut rng) = (logs.clone(), Rng::from_number(seed, "faults"));
        let fault = seed % 7;
        let (env, driver) = environment(Box::new(move |h, b| match basics(h, b, RANGES) {
            Some(reply) => reply,
            None => flaky(h, b, &script, &mut rng, fault),
        }));
        let delivered = driver.run(async move {
            let mut config = ProducerConfig {
                batch_size: 200,
                ..ProducerConfig::new("h:9092")
            };
            config.client.request_timeout = Duration::from_secs(2);
            config.delivery_timeout = Duration::from_secs(600);
            config.buffer_memory = 2_000;
            config.max_block = Duration::from_secs(600);
            let producer = Producer::new(&env, config).unwrap();
            let mut deliveries = Vec::new();
            for i in 0..200 {
                let value = format!("{i}");
                let record = Record::new("t", value.as_bytes()).partition(i % 2);
                deliveries.push((value.clone(), producer.send(record).await.unwrap()));
            }
            let mut delivered = Vec::new();
            for (value, delivery) in deliveries {
                delivered.push((value, delivery.await.unwrap()));
            }
            assert_eq!(producer.buffered(), 0);
            producer.close(Duration::from_secs(1)).await.unwrap();
            delivered
        });
        let logs = logs.lock().unwrap();
        for partition in 0..2 {
            let expected: Vec<_> = (0..200)
                .filter(|i| i % 2 == partition)
                .map(|i| i.to_string())
                .collect();
            assert_eq!(logs[&partition].values, expected, "seed {seed}");
        }
        for (value, at) in delivered {
            assert_eq!(
                logs[&at.partition].values[at.offset as usize], value,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn what_cannot_be_delivered_is_reported_in_time_and_the_producer_goes_on() {
    for seed in 0..300 {
        let logs = Logs::default();
        let (script, mut rng) = (logs.clone(), Rng::from_number(seed, "faults"));
        let (env, driver) = environment(Box::new(move |h, b| match basics(h, b, RANGES) {
            Some(reply) => reply,
            None => flaky(h, b, &script, &mut rng, 6),
        }));
        let (acknowledged, failed) = driver.run(async move {
            let mut config = ProducerConfig {
                batch_size: 100,
                ..ProducerConfig::new("h:9092")
            };
            config.client.request_timeout = Duration::from_secs(1);
            config.delivery_timeout = Duration::from_millis(1_500);
            let producer = Producer::new(&env, config).unwrap();
            let (mut acknowledged, mut failed) = (Vec::new(), 0);
            for i in 0..60 {
                let value = format!("{i}");
                let begun = env.clock.now();
                let delivery = producer
                    .send(Record::new("t", value.as_bytes()).partition(0))
                    .await
                    .unwrap();
                match delivery.await {
                    Ok(_) => acknowledged.push(value),
                    Err(error) => {
                        assert!(
                            matches!(
                                error,
                                Error::Timeout { .. } | Error::Broker { .. } | Error::Call { .. }
                            ),
                            "{error}"
                        );
                        failed += 1;
                    }
                }
                assert!(
                    env.clock.now().since(begun) <= Duration::from_millis(1_500),
                    "seed {seed}, record {i}"
                );
            }
            (acknowledged, failed)
        });
        let logs = logs.lock().unwrap();
        let log = &logs[&0].values;
        // No duplicate, in order, and nothing acknowledged is missing.
        assert!(
            log.iter()
                .map(|v| v.parse::<u32>().unwrap())
                .is_sorted_by(|a, b| a < b),
            "seed {seed}: {log:?}"
        );
        assert!(acknowledged.iter().all(|v| log.contains(v)), "seed {seed}");
        assert_eq!(acknowledged.len() + failed, 60, "seed {seed}");
        assert!(
            !acknowledged.is_empty(),
            "seed {seed}: nothing was acknowledged, the log is {log:?}"
        );
    }
}

fn batch(base: i64, count: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    (0..count).for_each(|i| {
        builder
            .append(base + i, None, Some(format!("{}", base + i).as_bytes()), &[])
            .unwrap()
    });
    let options = BatchOptions {
        base_offset: base,
        ..BatchOptions::default()
    };
    builder.finish(&options, &mut Compressor::new()).unwrap()
}

/// A broker with 100 records of partition 0 from offset 50 on, whose sessions and connections end now and then.
fn fetchable(
    header: &RequestHeader<'_>,
    body: &mut Reader<'_>,
    known: &mut BTreeMap<i32, i64>,
    rng: &mut Rng,
) -> Reply {
    let request = FetchRequest::decode(body, header.request_api_version).unwrap();
    match rng.below(10) {
        0 => return Reply::Close,
        1 => {
            let error_code = ErrorCode::FetchSessionIdNotFound.code();
            return answer(
                header,
                &FetchResponse {
                    error_code,
                    ..Default::default()
                },
            );
        }
        _ => {}
    }
    if request.session_epoch == 0 {
        known.clear();
    }
    let asked = request.topics.iter().flat_map(|t| &t.partitions);
    known.extend(asked.map(|p| (p.partition, p.fetch_offset)));
    let offset = known[&0];
    let records = (50..150)
        .contains(&offset)
        .then(|| batch(offset - offset % 10, 10));
    let error_code = if (50..=150).contains(&offset) {
        0
    } else {
        ErrorCode::OffsetOutOfRange.code()
    };
    let data = PartitionData {
        error_code,
        high_watermark: 150,
        records: records.as_deref(),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        topic: "t",
        partitions: vec![data],
        ..Default::default()
    };
    answer(
        header,
        &FetchResponse {
            session_id: 9,
            responses: vec![topic],
            ..Default::default()
        },
    )
}

fn offsets(header: &RequestHeader<'_>, body: &mut Reader<'_>) -> Reply {
    let request = ListOffsetsRequest::decode(body, header.request_api_version).unwrap();
    let offset = match request.topics[0].partitions[0].timestamp {
        -2 => 50,
        -1 => 150,
        at => at,
    };
    let partition = ListOffsetsPartitionResponse {
        offset,
        ..Default::default()
    };
    let topic = ListOffsetsTopicResponse {
        name: "t",
        partitions: vec![partition],
    };
    answer(
        header,
        &ListOffsetsResponse {
            topics: vec![topic],
            ..Default::default()
        },
    )
}

#[test]
fn a_consumer_reads_each_record_once_over_lost_sessions_and_connections() {
    for seed in 0..300 {
        let (mut known, mut rng) = (BTreeMap::new(), Rng::from_number(seed, "faults"));
        let (env, driver) = environment(Box::new(move |h, b| match ApiKey::try_from(h.request_api_key) {
            Ok(ApiKey::Fetch) => fetchable(h, b, &mut known, &mut rng),
            Ok(ApiKey::ListOffsets) => offsets(h, b),
            _ => basics(h, b, RANGES).unwrap(),
        }));
        driver.run(async move {
            let config = ConsumerConfig {
                auto_offset_reset: OffsetReset::Earliest,
                max_poll_records: 7,
                ..ConsumerConfig::new("h:9092")
            };
            let mut consumer = Consumer::new(&env, config).unwrap();
            let partition = TopicPartition::new("t", 0);
            assert_eq!(
                consumer.seek(&partition, 0),
                Err(Error::NotAssigned {
                    partition: partition.clone()
                })
            );
            consumer.assign([partition.clone()]);
            // Below the log start: the policy decides.
            consumer.seek(&partition, 3).unwrap();
            let mut next = 50;
            while next < 150 {
                for record in consumer.poll(Duration::from_secs(60)).await.unwrap() {
                    assert_eq!((record.offset, record.timestamp), (next, next), "seed {seed}");
                    next += 1;
                }
                assert_eq!(consumer.position(&partition).await, Ok(next));
            }
            consumer.seek_to_timestamp(&partition, 77).unwrap();
            assert_eq!(consumer.position(&partition).await, Ok(77));
            let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
            assert_eq!(records.first().map(|r| r.offset), Some(77));
            assert_eq!(consumer.lag(&partition), Some(150 - 77 - records.len() as i64));
        });
    }
}

#[test]
fn admin_tries_again_when_the_controller_has_moved() {
    let mut attempts = 0;
    let (env, driver) = environment(Box::new(move |h, b| {
        if let Some(reply) = basics(h, b, RANGES) {
            return reply;
        }
        attempts += 1;
        let request = CreateTopicsRequest::decode(b, h.request_api_version).unwrap();
        let code = |name: &str| match (attempts, name) {
            (1, _) => ErrorCode::NotController,
            (_, "taken") => ErrorCode::TopicAlreadyExists,
            (2, _) => ErrorCode::RequestTimedOut,
            _ => ErrorCode::None,
        };
        let result = |name| CreatableTopicResult {
            name,
            error_code: code(name).code(),
            ..Default::default()
        };
        let topics = request.topics.iter().map(|t| result(t.name)).collect();
        answer(
            h,
            &CreateTopicsResponse {
                topics,
                ..Default::default()
            },
        )
    }));
    driver.run(async move {
        let admin = Admin::new(&env, ClientConfig::new("h:9092")).unwrap();
        let results = admin
            .create_topics(&[NewTopic::new("new", 1), NewTopic::new("taken", 1)], false)
            .await;
        assert!(results["new"].is_ok());
        assert_eq!(
            results["taken"].as_ref().unwrap_err().code(),
            Some(ErrorCode::TopicAlreadyExists)
        );
    });
}
