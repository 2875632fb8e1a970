//! `broker`: the production node under crashes, power losses and bad disks, with `flush.messages=1`. Clients produce unique values
//! with acks=all over Kafka's protocol; whatever was acknowledged must be in the log in the end, at the offset that was promised,
//! and nothing must be there that nobody sent. The log is read from the simulated disk, not believed from the node.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_io::{Env, Stream, timeout_at};
use ottla_types::Violation;
use ottla_wire::framing::put_request;
use ottla_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::messages::metadata_response::MetadataResponse;
use ottla_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::messages::produce_response::ProduceResponse;
use ottla_wire::records::{BatchBuilder, BatchOptions, Compressor};
use ottla_wire::{Reader, Request};

use super::{Scenario, node};
use crate::locked;
use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::world::World;

/// The scenario.
pub const BROKER: Scenario = Scenario {
    name: "broker",
    about: "one node with flush.messages=1 keeps what it acknowledged, where it said",
    swarm,
    story: |world, plan| Box::pin(story(world, plan, true)),
    limit: Duration::from_secs(900),
};

/// The same node as Kafka's defaults have it: nothing is flushed for an acknowledgement, which is why only processes die here.
pub const BROKER_CACHED: Scenario = Scenario {
    name: "broker-cached",
    about: "one node without flushes keeps what it acknowledged through crashes of its process",
    swarm: || Swarm {
        power_loss: false,
        ..swarm()
    },
    story: |world, plan| Box::pin(story(world, plan, false)),
    limit: Duration::from_secs(900),
};

const PORT: u16 = 9092;
const CLIENTS: u64 = 2;
const MESSAGES: u64 = 60;
const TOPIC: &str = "t";

/// Acknowledged offsets by value.
type Acknowledged = Arc<Mutex<BTreeMap<String, i64>>>;

fn swarm() -> Swarm {
    Swarm {
        others: vec!["c0".into(), "c1".into()],
        horizon: Duration::from_secs(10),
        most: 40,
        ..Swarm::new(&["n1"])
    }
}

async fn story(world: World, plan: Plan, flush: bool) {
    let server = world.add_node("n1");
    let clients: Vec<_> = (0..CLIENTS).map(|c| world.add_node(&format!("c{c}"))).collect();
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, move |env| node::serve(env, flush));
    let acknowledged = Acknowledged::default();
    for (number, client) in clients.iter().enumerate() {
        let acknowledged = acknowledged.clone();
        world.boot(*client, move |env| {
            produce_all(env, number as u64, acknowledged.clone())
        });
    }
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    world.calm();
    while clients.iter().any(|c| world.is_up(*c)) {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    if flush {
        world.power_loss(server, ottla_io::mem::Profile::Strict);
    } else {
        world.crash(server);
    }
    check(
        &world,
        &node::log(&world, server, TOPIC, 0),
        &locked(&acknowledged),
    );
}

fn check(world: &World, found: &BTreeMap<i64, String>, acknowledged: &BTreeMap<String, i64>) {
    world.count("checked.acknowledged-is-durable");
    for (value, offset) in acknowledged {
        if found.get(offset) != Some(value) {
            let text = format!(
                "{value} was acknowledged at offset {offset}, where there is {:?}",
                found.get(offset)
            );
            world.violation(Violation::new("acknowledged-is-durable", text));
        }
    }
    let sent: BTreeSet<String> = (0..CLIENTS)
        .flat_map(|c| (0..MESSAGES).map(move |n| value(c, n)))
        .collect();
    for (offset, value) in found.iter().filter(|(_, value)| !sent.contains(*value)) {
        world.violation(Violation::new(
            "nothing-is-invented",
            format!("offset {offset} holds {value}"),
        ));
    }
    if let Some((expected, (offset, _))) = (0..).zip(found).find(|(n, (offset, _))| n != *offset) {
        world.violation(Violation::new(
            "offsets-are-dense",
            format!("expected {expected}, found {offset}"),
        ));
    }
    if acknowledged.len() as u64 != CLIENTS * MESSAGES {
        world.violation(Violation::new(
            "all-acknowledged",
            format!("{} acknowledgements", acknowledged.len()),
        ));
    }
}

fn value(client: u64, number: u64) -> String {
    format!("client {client} value {number}")
}

async fn produce_all(env: Env, client: u64, acknowledged: Acknowledged) {
    for number in 0..MESSAGES {
        loop {
            let deadline = env.clock.now().after(Duration::from_secs(4));
            let sent = timeout_at(&*env.clock, deadline, produce(&env, &value(client, number))).await;
            if let Some(Ok(offset)) = sent {
                locked(&acknowledged).insert(value(client, number), offset);
                break;
            }
            env.clock.sleep(Duration::from_millis(200)).await;
        }
        let pause = env.entropy.stream(&format!("pause {number}")).below(250);
        env.clock.sleep(Duration::from_millis(pause)).await;
    }
}

/// Produces one value over a connection of its own and returns its offset.
async fn produce(env: &Env, value: &str) -> io::Result<i64> {
    match produce_to(env, TOPIC, value).await? {
        Ok(offset) => Ok(offset),
        Err(code) => Err(io::Error::other(format!("error {code}"))),
    }
}

/// Produces one value over a connection of its own; its offset, or the node's error.
pub(super) async fn produce_to(env: &Env, topic: &str, value: &str) -> io::Result<Result<i64, i16>> {
    let mut stream = env.net.connect("n1", PORT).await?;
    let topics = Some(vec![MetadataRequestTopic {
        name: Some(topic),
        ..Default::default()
    }]);
    let metadata = MetadataRequest {
        topics,
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let answer = call(&mut *stream, &metadata, 4).await?;
    let known = MetadataResponse::decode(&mut Reader::new(&answer), 4).map_err(invalid)?;
    if let Some(refused) = known.topics.iter().find(|t| t.error_code != 0) {
        return Ok(Err(refused.error_code));
    }
    let mut builder = BatchBuilder::new();
    builder
        .append(1_000, None, Some(value.as_bytes()), &[])
        .map_err(invalid)?;
    let batch = builder
        .finish(&BatchOptions::default(), &mut Compressor::new())
        .map_err(invalid)?;
    let partition_data = vec![PartitionProduceData {
        index: 0,
        records: Some(&batch),
    }];
    let topic_data = vec![TopicProduceData {
        name: topic,
        partition_data,
        ..Default::default()
    }];
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 4_000,
        topic_data,
        ..Default::default()
    };
    let answer = call(&mut *stream, &request, 7).await?;
    let response = ProduceResponse::decode(&mut Reader::new(&answer), 7).map_err(invalid)?;
    let partition = response
        .responses
        .first()
        .and_then(|t| t.partition_responses.first());
    match partition {
        Some(p) if p.error_code == 0 => Ok(Ok(p.base_offset)),
        Some(p) => Ok(Err(p.error_code)),
        None => Err(ErrorKind::InvalidData.into()),
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.to_string())
}

/// Sends a request and returns the body of its answer.
async fn call<'a, R: Request<'a>>(stream: &mut dyn Stream, request: &R, version: i16) -> io::Result<Bytes> {
    let mut frame = Vec::new();
    put_request(&mut frame, version, 1, Some("trial"), request).map_err(invalid)?;
    let mut rest = &frame[..];
    while !rest.is_empty() {
        let n = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(rest)])).await?;
        rest = &rest[n..];
    }
    let len = read_exact(stream, 4).await?.get_i32();
    let mut answer = read_exact(stream, usize::try_from(len).map_err(invalid)?).await?;
    answer.advance(4);
    Ok(answer.freeze())
}

async fn read_exact(stream: &mut dyn Stream, len: usize) -> io::Result<BytesMut> {
    let mut buf = BytesMut::new();
    while buf.len() < len {
        let missing = len - buf.len();
        if poll_fn(|cx| stream.poll_read(cx, &mut buf, missing)).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buf)
}
