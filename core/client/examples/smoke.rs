//! Tries the clients against a real broker: `cargo run -p ottla-client --example smoke -- HOST:PORT`.
//!
//! Makes topics of its own and deletes them: every codec, keys, headers, timestamps, idempotence, seeks, sessions, admin.
#![allow(
    clippy::disallowed_methods,
    reason = "a program that a person runs reads its arguments"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::admin::{AlterConfig, ConfigResource, NewTopic};
use ottla_client::consumer::{ConsumerRecord, OffsetReset};
use ottla_client::producer::{Acks, Delivery, Header, partition_for_key};
use ottla_client::{
    Admin, ClientConfig, Consumer, ConsumerConfig, Error, IsolationLevel, OffsetSpec, Producer,
    ProducerConfig, Record,
};
use ottla_io::{Env, NoObserver};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions, env};
use ottla_rpc::CallError;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::records::Codec;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PARTITIONS: i32 = 3;
const RECORDS: usize = 3_000;

fn main() -> Outcome<()> {
    let servers = std::env::args().nth(1).ok_or("give a broker's host:port")?;
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let env = env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    runtime.block_on(run(&env, &servers))
}

async fn run(env: &Env, servers: &str) -> Outcome<()> {
    let admin = Admin::new(env, ClientConfig::new(servers))?;
    let cluster = admin.describe_cluster().await?;
    println!(
        "cluster {} with {} brokers",
        cluster.cluster_id,
        cluster.brokers.len()
    );
    let suffix = env.entropy.stream("smoke").below(1_000_000);
    for codec in Codec::ALL {
        let topic = format!("smoke-{}-{suffix}", codec.name());
        administer(env, &admin, &topic).await?;
        produce(env, servers, &topic, codec).await?;
        consume(env, servers, &topic, IsolationLevel::ReadCommitted).await?;
        seek(env, servers, &topic).await?;
        delete(&admin, &topic).await?;
        println!("{}: {RECORDS} records there and back", codec.name());
    }
    without_acks(env, servers, &admin, &format!("smoke-acks-{suffix}")).await?;
    throughput(env, servers, &admin, &format!("smoke-speed-{suffix}")).await
}

fn ensure(holds: bool, what: &str) -> Outcome<()> {
    if holds {
        Ok(())
    } else {
        Err(format!("this does not hold: {what}").into())
    }
}

fn only<K: Ord, T>(mut each: BTreeMap<K, ottla_client::Result<T>>) -> Outcome<T> {
    Ok(each.pop_first().ok_or("no result")?.1?)
}

async fn administer(env: &Env, admin: &Admin, topic: &str) -> Outcome<()> {
    // The records are from 2023: without this, retention deletes them whenever it next looks.
    let new = NewTopic {
        configs: BTreeMap::from([("retention.ms".into(), "-1".into())]),
        ..NewTopic::new(topic, 1)
    };
    only(admin.create_topics(std::slice::from_ref(&new), true).await)?;
    let made = only(admin.create_topics(std::slice::from_ref(&new), false).await)?;
    let again = only(admin.create_topics(&[new], false).await).unwrap_err();
    let again = again.downcast::<Error>()?;
    ensure(
        again.code() == Some(ErrorCode::TopicAlreadyExists),
        "a topic can't be made twice",
    )?;
    only(
        admin
            .create_partitions(&[(topic.to_owned(), PARTITIONS)].into(), false)
            .await,
    )?;
    // A broker learns of changes a moment after the controller has made them.
    let mut described = only(admin.describe_topics(&[topic.to_owned()]).await)?;
    for _ in 0..100 {
        if described.partitions.len() == PARTITIONS as usize {
            break;
        }
        env.clock.sleep(Duration::from_millis(20)).await;
        described = only(admin.describe_topics(&[topic.to_owned()]).await)?;
    }
    ensure(
        described.id == made.id && described.partitions.len() == PARTITIONS as usize,
        "it is described as made",
    )?;
    ensure(
        admin.list_topics(false).await?.iter().any(|t| t.name == topic),
        "it is listed",
    )?;
    configure(env, admin, topic).await?;
    let missing = only(admin.describe_topics(&["smoke-missing".to_owned()]).await)
        .unwrap_err()
        .downcast::<Error>()?;
    ensure(
        missing.code() == Some(ErrorCode::UnknownTopicOrPartition),
        "a missing topic is told at once",
    )
}

async fn configure(env: &Env, admin: &Admin, topic: &str) -> Outcome<()> {
    let resource = ConfigResource::Topic(topic.to_owned());
    let change = BTreeMap::from([(
        "max.message.bytes".to_owned(),
        AlterConfig::Set("1234567".to_owned()),
    )]);
    match admin
        .alter_configs(&[(resource.clone(), change)].into(), false)
        .await
        .pop_first()
    {
        // Not every broker serves it yet; what was set when the topic was made must be told in any case.
        Some((
            _,
            Err(Error::Call {
                error: CallError::Unsupported { .. },
                ..
            }),
        )) => {
            let configs = only(admin.describe_configs(std::slice::from_ref(&resource)).await)?;
            let value = configs
                .into_iter()
                .find(|c| c.name == "retention.ms")
                .and_then(|c| c.value);
            return ensure(value.as_deref() == Some("-1"), "configurations are described");
        }
        Some((_, result)) => result?,
        None => return ensure(false, "there is an answer"),
    }
    let mut value = None;
    for _ in 0..100 {
        let configs = only(admin.describe_configs(std::slice::from_ref(&resource)).await)?;
        value = configs
            .into_iter()
            .find(|c| c.name == "max.message.bytes")
            .and_then(|c| c.value);
        if value.as_deref() == Some("1234567") {
            break;
        }
        env.clock.sleep(Duration::from_millis(20)).await;
    }
    ensure(value.as_deref() == Some("1234567"), "a configuration was changed")
}

fn value(i: usize) -> Vec<u8> {
    // Sizes from nothing to 20 KB, some of it repetitive.
    let size = (i * 7919) % if i.is_multiple_of(50) { 20_000 } else { 300 };
    (0..size)
        .map(|b| if i.is_multiple_of(2) { b'x' } else { (b * i) as u8 })
        .collect()
}

async fn produce(env: &Env, servers: &str, topic: &str, codec: Codec) -> Outcome<()> {
    let config = ProducerConfig {
        compression: codec,
        ..ProducerConfig::new(servers)
    };
    let producer = Producer::new(env, config)?;
    let mut deliveries: Vec<(usize, Delivery)> = Vec::new();
    for i in 0..RECORDS {
        let (key, value) = (format!("key {i}"), value(i));
        let headers = [
            Header {
                key: b"number",
                value: Some(key.as_bytes()),
            },
            Header {
                key: b"null",
                value: None,
            },
        ];
        let mut record = Record::new(topic, &value)
            .timestamp(1_700_000_000_000 + i as i64)
            .headers(&headers);
        if !i.is_multiple_of(5) {
            record = record.key(key.as_bytes());
        }
        if i.is_multiple_of(97) {
            record.value = None;
        }
        deliveries.push((i, producer.send(record).await?));
    }
    producer.flush().await?;
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    for (i, delivery) in deliveries {
        let at = delivery.await?;
        let expected = next.entry(at.partition).or_default();
        ensure(at.offset == *expected, "offsets follow the order of sending")?;
        ensure(
            at.timestamp == 1_700_000_000_000 + i as i64,
            "timestamps are kept",
        )?;
        if !i.is_multiple_of(5) {
            let key = format!("key {i}");
            ensure(
                at.partition == partition_for_key(key.as_bytes(), PARTITIONS as usize),
                "keys choose partitions",
            )?;
        }
        *expected += 1;
    }
    let big = vec![0; 2 << 20];
    let refused = producer.send(Record::new(topic, &big)).await;
    ensure(
        matches!(refused, Err(Error::RecordTooLarge { .. })),
        "too large a record is refused",
    )?;
    let nowhere = producer.send(Record::new(topic, b"").partition(99)).await;
    ensure(
        matches!(nowhere, Err(Error::NoPartition { count: 3, .. })),
        "a partition that is not there is refused",
    )?;
    producer.close(Duration::from_secs(10)).await?;
    Ok(())
}

fn partitions(topic: &str) -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|p| TopicPartition::new(topic, p)).collect()
}

async fn read_all(consumer: &mut Consumer, count: usize) -> Outcome<Vec<ConsumerRecord>> {
    let mut records = Vec::new();
    let mut idle = 0;
    while records.len() < count {
        let more = consumer.poll(Duration::from_secs(2)).await?;
        idle = if more.is_empty() { idle + 1 } else { 0 };
        if idle > 5 {
            return Err(format!(
                "only {} of {count} records came; {:?}",
                records.len(),
                consumer.trouble()
            )
            .into());
        }
        records.extend(more);
    }
    Ok(records)
}

async fn consume(env: &Env, servers: &str, topic: &str, isolation_level: IsolationLevel) -> Outcome<()> {
    // Small fetches, so that sessions and cut batches are part of it.
    let config = ConsumerConfig {
        auto_offset_reset: OffsetReset::Earliest,
        max_partition_fetch_bytes: 20_000,
        isolation_level,
        ..ConsumerConfig::new(servers)
    };
    let mut consumer = Consumer::new(env, config)?;
    consumer.assign(partitions(topic));
    let records = read_all(&mut consumer, RECORDS).await?;
    ensure(
        consumer.poll(Duration::from_millis(700)).await?.is_empty(),
        "nothing comes twice",
    )?;
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let mut seen = vec![false; RECORDS];
    for record in &records {
        let expected = next.entry(record.partition).or_default();
        ensure(record.offset == *expected, "offsets have no gaps")?;
        *expected += 1;
        let i = (record.timestamp - 1_700_000_000_000) as usize;
        ensure(!std::mem::replace(&mut seen[i], true), "each record comes once")?;
        let expected = (!i.is_multiple_of(97)).then(|| value(i));
        ensure(record.value.as_deref() == expected.as_deref(), "values are kept")?;
        let key = format!("key {i}");
        ensure(
            record.key.as_deref() == (!i.is_multiple_of(5)).then_some(key.as_bytes()),
            "keys are kept",
        )?;
        ensure(
            record.headers[0].value.as_deref() == Some(key.as_bytes()),
            "headers are kept",
        )?;
        ensure(record.headers[1].value.is_none(), "null headers are kept")?;
    }
    for partition in partitions(topic) {
        let end = next[&partition.partition];
        ensure(
            consumer.position(&partition).await? == end,
            "positions are at the end",
        )?;
        ensure(
            consumer.high_watermark(&partition) == Some(end),
            "the high watermark is known",
        )?;
    }
    let ends = consumer.end_offsets(&partitions(topic)).await?;
    ensure(ends.values().sum::<i64>() == RECORDS as i64, "end offsets add up")
}

async fn seek(env: &Env, servers: &str, topic: &str) -> Outcome<()> {
    let config = ConsumerConfig {
        auto_offset_reset: OffsetReset::None,
        ..ConsumerConfig::new(servers)
    };
    let mut consumer = Consumer::new(env, config)?;
    let first = TopicPartition::new(topic, 0);
    consumer.assign([first.clone()]);
    let refused = consumer.poll(Duration::from_secs(5)).await;
    ensure(
        matches!(refused, Err(Error::OffsetOutOfRange { .. })),
        "without a position and a policy there is an error",
    )?;
    consumer.seek(&first, 100)?;
    ensure(
        read_all(&mut consumer, 1).await?[0].offset == 100,
        "seek to an offset",
    )?;
    consumer.seek_to_beginning(&first)?;
    ensure(
        read_all(&mut consumer, 1).await?[0].offset == 0,
        "seek to the beginning",
    )?;
    consumer.seek(&first, 1_000_000)?;
    let out = consumer.poll(Duration::from_secs(5)).await;
    ensure(
        matches!(
            out,
            Err(Error::OffsetOutOfRange {
                offset: 1_000_000,
                ..
            })
        ),
        "out of range is told",
    )?;
    let time = 1_700_000_000_000 + RECORDS as i64 / 2;
    let found = consumer
        .offsets_for_times(&[
            (first.clone(), time),
            (TopicPartition::new(topic, 1), i64::MAX / 2),
        ])
        .await?;
    let at = found[&first].ok_or("a record is that late")?;
    ensure(
        at.timestamp >= time && found[&TopicPartition::new(topic, 1)].is_none(),
        "offsets are found by time",
    )?;
    consumer.seek_to_timestamp(&first, time)?;
    let record = &read_all(&mut consumer, 1).await?[0];
    ensure(
        record.offset == at.offset && record.timestamp == at.timestamp,
        "seek to a time",
    )?;
    consumer.seek_to_end(&first)?;
    let end = consumer.position(&first).await?;
    ensure(
        end == consumer.end_offsets(std::slice::from_ref(&first)).await?[&first],
        "seek to the end",
    )?;
    consumer.pause(&first)?;
    consumer.seek(&first, 0)?;
    ensure(
        consumer.poll(Duration::from_millis(300)).await?.is_empty(),
        "a paused partition is quiet",
    )?;
    consumer.resume(&first)?;
    ensure(
        read_all(&mut consumer, 1).await?[0].offset == 0,
        "a resumed one is not",
    )
}

async fn delete(admin: &Admin, topic: &str) -> Outcome<()> {
    let first = TopicPartition::new(topic, 0);
    let start = only(admin.delete_records(&[(first.clone(), 7)].into()).await)?;
    ensure(start == 7, "records are deleted")?;
    let earliest = only(
        admin
            .list_offsets(&[(first, OffsetSpec::Earliest)], IsolationLevel::ReadUncommitted)
            .await,
    )?;
    ensure(earliest.map(|o| o.offset) == Some(7), "the log start has moved")?;
    only(admin.delete_topics(&[topic.to_owned()]).await)
}

async fn without_acks(env: &Env, servers: &str, admin: &Admin, topic: &str) -> Outcome<()> {
    only(admin.create_topics(&[NewTopic::new(topic, 1)], false).await)?;
    for acks in [Acks::None, Acks::Leader] {
        let producer = Producer::new(
            env,
            ProducerConfig {
                acks,
                ..ProducerConfig::new(servers)
            },
        )?;
        for i in 0..100 {
            producer
                .send(Record::new(topic, format!("{i}").as_bytes()))
                .await?;
        }
        producer.close(Duration::from_secs(10)).await?;
    }
    let config = ConsumerConfig {
        auto_offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::new(servers)
    };
    let mut consumer = Consumer::new(env, config)?;
    consumer.assign([TopicPartition::new(topic, 0)]);
    read_all(&mut consumer, 200).await?;
    println!("acks 0 and 1: 200 records");
    only(admin.delete_topics(&[topic.to_owned()]).await)
}

async fn throughput(env: &Env, servers: &str, admin: &Admin, topic: &str) -> Outcome<()> {
    only(admin.create_topics(&[NewTopic::new(topic, 4)], false).await)?;
    let config = ProducerConfig {
        batch_size: 128 << 10,
        ..ProducerConfig::new(servers)
    };
    let producer = Producer::new(env, config)?;
    let (value, count) = ([b'v'; 1024], 200_000u32);
    let begun = env.clock.now();
    for _ in 0..count {
        producer.send(Record::new(topic, &value)).await?;
    }
    producer.close(Duration::from_secs(60)).await?;
    let took = env.clock.now().since(begun).as_secs_f64();
    println!("produced {:.0} MiB/s", f64::from(count) / 1024.0 / took);
    let config = ConsumerConfig {
        auto_offset_reset: OffsetReset::Earliest,
        max_poll_records: 10_000,
        ..ConsumerConfig::new(servers)
    };
    let mut consumer = Consumer::new(env, config)?;
    consumer.assign((0..4).map(|p| TopicPartition::new(topic, p)));
    let begun = env.clock.now();
    let mut seen = 0;
    while seen < count {
        seen += consumer.poll(Duration::from_secs(10)).await?.len() as u32;
    }
    let took = env.clock.now().since(begun).as_secs_f64();
    println!("consumed {:.0} MiB/s", f64::from(count) / 1024.0 / took);
    only(admin.delete_topics(&[topic.to_owned()]).await)
}
