//! `compact`: the production node with `flush.messages=1` compacts a topic of small segments while two idempotent producers write keys and
//! tombstones and a consumer reads it from its begin again and again; crashes, losses of power in the middle of a swap, bad and full
//! disks. What must hold is in `compacted.rs`; the log is read from the simulated disk, not believed from the node.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::admin::NewTopic;
use ottla_client::consumer::OffsetReset;
use ottla_client::producer::Header;
use ottla_client::{Admin, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, Record};
use ottla_io::{Env, timeout_at};
use ottla_types::event::BrokerState;
use ottla_types::{ErrorCode, Event, TopicPartition, Violation};

use super::compacted::{Kept, Ledger, log};
use super::{Scenario, node};
use crate::disk::faults::DiskOp;
use crate::locked;
use crate::plan::{Fault, Plan, Step, Survives};
use crate::swarm::Swarm;
use crate::world::{Host, World};

/// The scenario.
pub const COMPACT: Scenario = Scenario {
    name: "compact",
    about: "a compacted topic keeps each key's latest value and its tombstones, whatever ends the cleaner",
    swarm: || Swarm {
        others: ["p0", "p1", "c0"].map(str::to_owned).into(),
        horizon: Duration::from_secs(15),
        most: 30,
        ..Swarm::new(&["n1"])
    },
    story: |world, plan| Box::pin(story(world, plan)),
    limit: Duration::from_secs(1800),
};

const TOPIC: &str = "t";
const RECORDS: u64 = 150;
/// `delete.retention.ms`: some seconds of a run of a minute.
pub(super) const RETENTION: Duration = Duration::from_secs(4);

type Shared = Arc<Mutex<Ledger>>;

async fn story(world: World, mut plan: Plan) {
    fit(&mut plan);
    let server = world.add_node("n1");
    let producers = ["p0", "p1"].map(|name| world.add_node(name));
    let consumer = world.add_node("c0");
    let ledger = Shared::default();
    let rounds = watch(&world, server, ledger.clone());
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, serve);
    for host in producers {
        let (ledger, world) = (ledger.clone(), world.clone());
        world
            .clone()
            .boot(host, move |env| produce(env, world.clone(), ledger.clone()));
    }
    let (read, seen) = (ledger.clone(), world.clone());
    world.boot(consumer, move |env| consume(env, seen.clone(), read.clone()));
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    world.calm();
    while producers.iter().any(|p| world.is_up(*p)) {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    let patience = world.now() + Duration::from_secs(60);
    while !all_clean(&world, server) && world.now() < patience {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    if !all_clean(&world, server) {
        let text = "a minute after all faults there is something left to clean";
        world.violation(Violation::new("the-cleaner-makes-progress", text));
    }
    let passes = locked(&ledger).passes;
    let patience = world.now() + Duration::from_secs(60);
    while locked(&ledger).passes < passes + 2 && world.now() < patience {
        world.sleep(Duration::from_millis(100)).await;
    }
    if locked(&ledger).passes < passes + 2 {
        let text = "a minute after all faults nothing can be read to its end";
        world.violation(Violation::new("consumers-arrive", text));
    }
    world.crash(consumer);
    world.power_loss(server, ottla_io::mem::Profile::Strict);
    locked(&ledger).check(&world, &log(&world.disk(server), TOPIC));
    if rounds.load(Ordering::Relaxed) == 0 {
        world.violation(Violation::new("the-cleaner-cleans", "not one round has ended"));
    }
}

/// Leaves a plan's clocks alone, by which tombstones live, and adds losses of power around the cleaner's files.
fn fit(plan: &mut Plan) {
    let clock = |fault: &Fault| matches!(fault, Fault::WallJump { .. } | Fault::Drift { .. });
    plan.faults.retain(|step| !clock(&step.fault));
    let mut rng = ottla_io::Rng::from_number(plan.seed, "compact");
    for _ in 0..rng.below(4) {
        let (op, path) = *rng
            .pick(&[
                (DiskOp::Rename, ".cleaned"),
                (DiskOp::Rename, ".swap"),
                (DiskOp::Sync, ".cleaned"),
                (DiskOp::Write, ".cleaned"),
                (DiskOp::SyncDir, "t-0"),
                (DiskOp::Rename, "cleaner-offset-checkpoint"),
            ])
            .expect("it is not empty");
        let survives = *rng
            .pick(&[Survives::Strict, Survives::Ext4Ordered, Survives::Adversarial])
            .expect("it is not empty");
        let fault = Fault::PowerLossBefore {
            node: "n1".into(),
            op,
            path: path.into(),
            skip: rng.below(8),
            survives,
            down_ms: rng.between(1, 1_000),
        };
        plan.faults.push(Step {
            at_ms: rng.between(1_000, 15_000),
            fault,
        });
    }
    plan.faults.sort_by_key(|step| step.at_ms);
}

async fn serve(env: Env) {
    let settings = [
        ("log.flush.interval.messages", "1"),
        ("log.cleaner.backoff.ms", "150"),
        ("log.cleaner.threads", "2"),
        // So slow that a round takes a while, so small that some rounds take several.
        ("log.cleaner.io.max.bytes.per.second", "30000"),
        ("log.cleaner.io.buffer.size", "2000"),
        ("log.segment.delete.delay.ms", "500"),
        ("log.initial.task.delay.ms", "500"),
        ("log.retention.check.interval.ms", "500"),
    ];
    if let Some(node) = node::start(env, &settings).await {
        node.failed().await;
    }
}

/// Counts rounds and what interrupts them, and holds each change that the cleaner makes against the ledger.
fn watch(world: &World, server: Host, ledger: Shared) -> Arc<AtomicU64> {
    let (disk, seen) = (world.disk(server), world.clone());
    let (rounds, busy) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
    let counted = rounds.clone();
    world.on_event(move |host, now, event| {
        if host != server {
            return;
        }
        match event {
            Event::CleaningBegan { .. } => busy.store(true, Ordering::Relaxed),
            Event::CleaningFailed { .. } => {
                busy.store(false, Ordering::Relaxed);
                seen.count("compact.failed_round");
            }
            Event::SegmentCleaned { replaced, .. } => {
                seen.count("compact.segment");
                if *replaced > 1 {
                    seen.count("compact.several_segments_became_one");
                }
                locked(&ledger).watch(&seen, now, &log(&disk, TOPIC));
            }
            Event::Cleaned { .. } => {
                busy.store(false, Ordering::Relaxed);
                counted.fetch_add(1, Ordering::Relaxed);
                seen.count("compact.round");
            }
            Event::BrokerState(BrokerState::Starting) => {
                if busy.swap(false, Ordering::Relaxed) {
                    seen.count("compact.died_while_cleaning");
                }
                let left = |end: &str| disk.paths().iter().any(|path| path.ends_with(end));
                if left(".swap") {
                    seen.count("compact.died_in_a_swap");
                }
                if left(".cleaned") {
                    seen.count("compact.died_while_writing");
                }
            }
            _ => {}
        }
    });
    rounds
}

/// Whether everything but the active segment is clean.
fn all_clean(world: &World, server: Host) -> bool {
    let kept = log(&world.disk(server), TOPIC);
    kept.cleaned.is_some_and(|cleaned| cleaned >= kept.active)
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
    let retention = RETENTION.as_millis().to_string();
    let configs = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", "2000"),
        ("index.interval.bytes", "300"),
        ("min.cleanable.dirty.ratio", "0.0"),
        ("delete.retention.ms", retention.as_str()),
    ];
    let mut topic = NewTopic::new(TOPIC, 1);
    topic.configs = configs.map(|(key, value)| (key.into(), value.into())).into();
    loop {
        let each = admin.create_topics(std::slice::from_ref(&topic), false).await;
        match each.get(TOPIC) {
            Some(Err(e)) if e.code() == Some(ErrorCode::TopicAlreadyExists) => return,
            Some(Ok(_)) => return,
            _ => env.clock.sleep(Duration::from_millis(300)).await,
        }
    }
}

async fn produce(env: Env, world: World, ledger: Shared) {
    create_topic(&env).await;
    let config = ProducerConfig {
        client: client(),
        enable_idempotence: Some(true),
        batch_size: 300,
        linger: Duration::from_millis(5),
        max_block: Duration::from_secs(600),
        delivery_timeout: Duration::from_secs(600),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&env, config).unwrap_or_else(|e| panic!("{e}"));
    let mut rng = env.entropy.stream("workload");
    let mut under_way = Vec::new();
    for _ in 0..RECORDS {
        // Keys that are written all the time, and some so seldom that their tombstones live long enough to go.
        let key = match rng.chance(0.3) {
            true => format!("rare {}", rng.below(40)),
            false => format!("key {}", rng.below(4)),
        };
        let tombstone = rng.chance(0.25);
        let number = locked(&ledger).sent(&key, tombstone, world.now());
        let (name, text) = (number.to_string(), format!("value {number}"));
        let header = [Header {
            key: b"number",
            value: Some(name.as_bytes()),
        }];
        let record = Record {
            topic: TOPIC,
            key: Some(key.as_bytes()),
            value: (!tombstone).then_some(text.as_bytes()),
            headers: &header,
            ..Record::default()
        };
        match producer.send(record).await {
            Ok(delivery) => under_way.push((number, delivery)),
            Err(error) => fail(&world, number, &error),
        }
        if rng.chance(0.5) {
            env.clock.sleep(Duration::from_millis(rng.below(300))).await;
        }
    }
    if producer.close(Duration::from_secs(1200)).await.is_err() {
        world.violation(Violation::new("producers-end", "one could not be closed"));
    }
    for (number, delivery) in under_way {
        match delivery.await {
            Ok(written) => locked(&ledger).acknowledged(number, written.offset),
            Err(error) => fail(&world, number, &error),
        }
    }
}

/// With ten minutes a producer has no reason to give up, and a broker none to find its sequence wrong.
fn fail(world: &World, number: u64, error: &ottla_client::Error) {
    let text = format!("{number}: {error}");
    world.violation(Violation::new("patient-producers-deliver", text));
}

/// Reads the topic from its begin to its end, over and over: offsets rise, and an offset shows the same each time.
async fn consume(env: Env, world: World, ledger: Shared) {
    create_topic(&env).await;
    let partition = TopicPartition::new(TOPIC, 0);
    loop {
        let config = ConsumerConfig {
            client: client(),
            auto_offset_reset: OffsetReset::Earliest,
            max_poll_records: 9,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&env, config).unwrap_or_else(|e| panic!("{e}"));
        consumer.assign([partition.clone()]);
        let (mut last, mut keys) = (-1, BTreeSet::new());
        let until = env.clock.now().after(Duration::from_secs(20));
        while let Some(polled) =
            timeout_at(&*env.clock, until, consumer.poll(Duration::from_millis(400))).await
        {
            let records = match polled {
                Ok(records) => records,
                Err(error) => {
                    world.violation(Violation::new("consumers-go-on", error.to_string()));
                    break;
                }
            };
            for record in &records {
                if record.offset <= last {
                    let text = format!("{} came behind {last}", record.offset);
                    world.violation(Violation::new("offsets-ascend", text));
                }
                last = record.offset;
                let number = record.headers.first().and_then(|h| h.value.as_deref());
                keys.extend(record.key.clone());
                locked(&ledger).seen(
                    &world,
                    &Kept::new(
                        record.offset,
                        record.key.as_deref(),
                        record.value.as_deref(),
                        number,
                    ),
                );
            }
            if records.is_empty()
                && consumer
                    .high_watermark(&partition)
                    .is_some_and(|end| last + 1 >= end)
            {
                locked(&ledger).passes += 1;
                break;
            }
        }
    }
}
