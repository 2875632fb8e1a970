//! `clients`: our own clients against the production node, both under faults. Two idempotent producers (one gives up early, one
//! compresses) and one that may write twice send in pipelined batches; one consumer follows, one jumps about. Everything that was
//! acknowledged or read must be in the log in the end, each idempotent record once and in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::admin::NewTopic;
use ottla_client::consumer::OffsetReset;
use ottla_client::{Admin, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, Record};
use ottla_io::{Env, Rng};
use ottla_types::{ErrorCode, TopicPartition, Violation};
use ottla_wire::records::Codec;

use super::history::{History, Sent};
use super::{Scenario, node};
use crate::locked;
use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::world::{Host, World};

/// The scenario, with a node that flushes before it acknowledges.
pub const CLIENTS: Scenario = Scenario {
    name: "clients",
    about: "Ottla's clients keep their promises with a node that flushes, under every fault",
    swarm,
    story: |world, plan| Box::pin(story(world, plan, true)),
    limit: Duration::from_secs(1800),
};

/// The same with Kafka's defaults: processes die, machines do not.
pub const CLIENTS_CACHED: Scenario = Scenario {
    name: "clients-cached",
    about: "Ottla's clients keep their promises with a node that does not flush, while processes crash",
    swarm: || Swarm {
        power_loss: false,
        ..swarm()
    },
    story: |world, plan| Box::pin(story(world, plan, false)),
    limit: Duration::from_secs(1800),
};

const TOPIC: &str = "events";
const PARTITIONS: i32 = 2;
const RECORDS: u64 = 80;

/// What distinguishes the producers.
#[derive(Debug, Clone, Copy)]
struct Kind {
    host: &'static str,
    idempotent: bool,
    /// `delivery.timeout.ms`, in seconds.
    patience: u64,
    codec: Codec,
    batch_size: usize,
}

const PRODUCERS: [Kind; 3] = [
    Kind {
        host: "p0",
        idempotent: true,
        patience: 600,
        codec: Codec::Lz4,
        batch_size: 200,
    },
    Kind {
        host: "p1",
        idempotent: true,
        patience: 6,
        codec: Codec::None,
        batch_size: 100,
    },
    Kind {
        host: "p2",
        idempotent: false,
        patience: 600,
        codec: Codec::None,
        batch_size: 16 << 10,
    },
];

type Shared = Arc<Mutex<History>>;

fn swarm() -> Swarm {
    Swarm {
        others: ["p0", "p1", "p2", "c0", "c1"].map(str::to_owned).into(),
        horizon: Duration::from_secs(15),
        most: 40,
        ..Swarm::new(&["n1"])
    }
}

async fn story(world: World, plan: Plan, flush: bool) {
    let server = world.add_node("n1");
    let producers = PRODUCERS.map(|kind| world.add_node(kind.host));
    let consumers = ["c0", "c1"].map(|name| world.add_node(name));
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, move |env| node::serve(env, flush));
    let history = Shared::default();
    for (host, kind) in producers.into_iter().zip(PRODUCERS) {
        let (history, world, lives) = (history.clone(), world.clone(), Arc::new(AtomicU64::new(0)));
        world.clone().boot(host, move |env| {
            let life = lives.fetch_add(1, Ordering::Relaxed);
            produce(env, world.clone(), kind, life, history.clone())
        });
    }
    for (host, jumps) in consumers.into_iter().zip([false, true]) {
        let (history, world) = (history.clone(), world.clone());
        world.clone().boot(host, move |env| {
            consume(env, world.clone(), jumps, history.clone())
        });
    }
    let mut rng = world.rng("client crashes");
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
        if rng.chance(0.005) {
            crash_a_client(&world, &producers, &consumers, &mut rng);
        }
    }
    world.calm();
    while producers.iter().any(|p| world.is_up(*p)) {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    let logs = || [0, 1].map(|partition| node::log(&world, server, TOPIC, partition));
    // The consumers have to get to the end, and what they read is then held against what power loss leaves.
    let patience = world.now() + Duration::from_secs(60);
    while !locked(&history).saw_all(&logs()) && world.now() < patience {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    if !locked(&history).saw_all(&logs()) {
        world.violation(Violation::new(
            "consumers-arrive",
            "a minute after all faults they have not read everything",
        ));
    }
    for consumer in consumers {
        world.crash(consumer);
    }
    if flush {
        world.power_loss(server, ottla_io::mem::Profile::Strict);
    } else {
        world.crash(server);
    }
    let history = locked(&history);
    history.check(&world, &logs());
    let (acknowledged, failed) = history.ends();
    world.note(
        "history",
        &format!("{acknowledged} acknowledged, {failed} given up"),
    );
    if failed > 0 {
        world.count("sometimes.a_record_was_given_up");
    }
}

/// Ends a client's process and starts it again at once; a producer's next life is another producer.
fn crash_a_client(world: &World, producers: &[Host], consumers: &[Host], rng: &mut Rng) {
    let all: Vec<Host> = producers.iter().chain(consumers).copied().collect();
    if let Some(host) = rng.pick(&all).copied().filter(|host| world.is_up(*host)) {
        world.crash(host);
        world.restart(host);
        world.count("sometimes.a_client_crashed");
    }
}

fn client() -> ClientConfig {
    ClientConfig {
        request_timeout: Duration::from_secs(4),
        connection_setup_timeout: Duration::from_secs(3),
        ..ClientConfig::new("n1:9092")
    }
}

/// Creates the topic, as long as it takes.
async fn create_topic(env: &Env) {
    let Ok(admin) = Admin::new(env, client()) else {
        return;
    };
    loop {
        let each = admin
            .create_topics(&[NewTopic::new(TOPIC, PARTITIONS)], false)
            .await;
        match each.get(TOPIC) {
            Some(Err(e)) if e.code() == Some(ErrorCode::TopicAlreadyExists) => return,
            Some(Ok(_)) => return,
            _ => env.clock.sleep(Duration::from_millis(300)).await,
        }
    }
}

async fn produce(env: Env, world: World, kind: Kind, life: u64, history: Shared) {
    create_topic(&env).await;
    let config = ProducerConfig {
        client: client(),
        enable_idempotence: Some(kind.idempotent),
        batch_size: kind.batch_size,
        compression: kind.codec,
        linger: Duration::from_millis(5),
        max_block: Duration::from_secs(600),
        delivery_timeout: Duration::from_secs(kind.patience),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&env, config).unwrap_or_else(|e| panic!("{e}"));
    let mut rng = env.entropy.stream("workload");
    let name = format!("{}.{life}", kind.host);
    let mut under_way = Vec::new();
    for _ in 0..RECORDS {
        let partition = rng.below(PARTITIONS as u64) as i32;
        let (number, text) = locked(&history).sent(Sent {
            producer: name.clone(),
            partition,
            idempotent: kind.idempotent,
        });
        match producer
            .send(Record::new(TOPIC, text.as_bytes()).partition(partition))
            .await
        {
            Ok(delivery) => under_way.push((number, delivery)),
            Err(error) => locked(&history).ended(number, Err(error.to_string())),
        }
        if rng.chance(0.4) {
            env.clock.sleep(Duration::from_millis(rng.below(400))).await;
        }
    }
    if producer.close(Duration::from_secs(1200)).await == Err(ottla_client::Error::Closed) {
        world.violation(Violation::new(
            "producers-end",
            format!("{name} could not be closed"),
        ));
    }
    for (number, delivery) in under_way {
        let result = delivery.await;
        if let (600.., Err(error)) = (kind.patience, &result) {
            world.violation(Violation::new(
                "patient-producers-deliver",
                format!("{name}: {number}: {error}"),
            ));
        }
        locked(&history).ended(number, result.map(|m| m.offset).map_err(|e| e.to_string()));
    }
}

/// Follows both partitions from their beginning. One that jumps about seeks now and then.
async fn consume(env: Env, world: World, jumps: bool, history: Shared) {
    create_topic(&env).await;
    let config = ConsumerConfig {
        client: client(),
        auto_offset_reset: OffsetReset::Earliest,
        max_poll_records: 7,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&env, config).unwrap_or_else(|e| panic!("{e}"));
    let partitions = [0, 1].map(|p| TopicPartition::new(TOPIC, p));
    consumer.assign(partitions.clone());
    let mut rng = env.entropy.stream("workload");
    let mut next: [Option<i64>; 2] = [Some(0); 2];
    loop {
        match consumer.poll(Duration::from_millis(700)).await {
            Ok(records) => {
                for record in records {
                    let Some(expected) = next.get_mut(record.partition as usize) else {
                        continue;
                    };
                    if expected.is_some_and(|expected| expected != record.offset) {
                        let text = format!(
                            "{}:{} came where {expected:?} was due",
                            record.partition, record.offset
                        );
                        world.violation(Violation::new("reads-in-order", text));
                    }
                    *expected = Some(record.offset + 1);
                    let value =
                        String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
                    locked(&history).seen(&world, record.partition, record.offset, &value);
                }
            }
            Err(error) => world.violation(Violation::new("consumers-go-on", error.to_string())),
        }
        if jumps && rng.chance(0.1) {
            let partition = rng.below(2) as usize;
            let to = next[partition].map_or(0, |n| rng.below(n as u64 + 1) as i64);
            next[partition] = Some(to);
            if let Err(error) = consumer.seek(&partitions[partition], to) {
                world.violation(Violation::new("consumers-go-on", error.to_string()));
            }
        }
    }
}
