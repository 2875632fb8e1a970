//! `full`: the production node while its disk runs full and gets room again, with `flush.messages=1` and retention by size. It must not
//! stop, must keep what it acknowledged as far as retention goes, must not let retention wait for room, and must take records and
//! topics again when there is some, without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_io::mem::{MemDisk, Profile};
use ottla_io::{Env, timeout_at};
use ottla_types::event::StartMove;
use ottla_types::{Event, Violation};

use super::broker::produce_to;
use super::{Scenario, node};
use crate::locked;
use crate::plan::{Fault, Plan, Step};
use crate::swarm::Swarm;
use crate::world::World;

/// The scenario.
pub const FULL: Scenario = Scenario {
    name: "full",
    about: "a full disk refuses what it can't take, stops nothing, and is over when there is room",
    swarm: || Swarm {
        others: vec!["c0".into(), "c1".into()],
        horizon: Duration::from_secs(8),
        most: 12,
        power_loss: false,
        ..Swarm::new(&["n1"])
    },
    story: |world, plan| Box::pin(story(world, plan)),
    limit: Duration::from_secs(300),
};

const CLIENTS: u64 = 2;
const TOPIC: &str = "t";
/// A value's size, so that segments of the least size that Kafka allows fill up in seconds.
const VALUE: usize = 90_000;
const SEGMENT: u64 = 1 << 20;
const RETENTION: u64 = 2 << 20;
/// Kafka's KAFKA_STORAGE_ERROR.
const STORAGE_ERROR: i16 = 56;
/// Room below which the node takes its disk for full.
const ROOM: u64 = 1 << 20;
/// After the node has started.
const BEGIN_MS: u64 = 2_000;

#[derive(Default)]
struct Tally {
    acknowledged: BTreeMap<String, i64>,
    sent: BTreeSet<String>,
    /// Topics that were asked for.
    topics: BTreeSet<String>,
    refused: u64,
    topics_refused: u64,
    /// Acknowledgements after a refusal, while the disk was still small: retention had made room.
    resumed: u64,
    /// By client, since faults ended.
    late: BTreeMap<u64, u64>,
}

#[derive(Clone, Default)]
struct Trial {
    tally: Arc<Mutex<Tally>>,
    calm: Arc<AtomicBool>,
    small: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

async fn story(world: World, mut plan: Plan) {
    fit(&mut plan);
    let server = world.add_node("n1");
    let clients: Vec<_> = (0..CLIENTS).map(|c| world.add_node(&format!("c{c}"))).collect();
    let disk = world.disk(server);
    let retention = count_retention(&world, disk.clone());
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, serve);
    let trial = Trial::default();
    for (number, client) in clients.iter().enumerate() {
        let trial = trial.clone();
        world.boot(*client, move |env| work(env, number as u64, trial.clone()));
    }
    let mut stopped = false;
    let mut watch = |calm: bool| {
        trial
            .small
            .store(!calm && free(&disk) < 1 << 40, Ordering::Relaxed);
        if !stopped && !world.is_up(server) {
            stopped = true;
            world.violation(Violation::new("a-full-disk-stops-no-node", "the node exited"));
        }
    };
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(50)).await;
        watch(false);
    }
    world.calm();
    trial.calm.store(true, Ordering::Relaxed);
    let deadline = world.now() + Duration::from_secs(60);
    while !all_served(&trial) && world.now() < deadline {
        world.sleep(Duration::from_millis(50)).await;
        watch(true);
    }
    if !all_served(&trial) {
        let text = format!(
            "{:?} records a minute after there is room",
            locked(&trial.tally).late
        );
        world.violation(Violation::new("a-full-disk-is-over-when-there-is-room", text));
    }
    trial.stop.store(true, Ordering::Relaxed);
    world.sleep(Duration::from_secs(5)).await;
    watch(true);
    world.power_loss(server, Profile::Strict);
    (0..retention.load(Ordering::Relaxed)).for_each(|_| world.count("full.retention"));
    check(
        &world,
        &disk,
        &node::log(&world, server, TOPIC, 0),
        &locked(&trial.tally),
    );
}

/// Leaves a plan the faults that a node outlives, moves them behind its start, and sees to it that the disk runs full.
fn fit(plan: &mut Plan) {
    plan.faults.retain(|step| {
        !matches!(
            step.fault,
            Fault::Crash { .. } | Fault::PowerLoss { .. } | Fault::PowerLossBefore { .. }
        )
    });
    for step in &mut plan.faults {
        step.at_ms += BEGIN_MS;
        if let Fault::Disk { disk, .. } = &mut step.fault {
            (disk.read_error, disk.write_error, disk.sync_error) = (0.0, 0.0, 0.0);
        }
    }
    let mut rng = ottla_io::Rng::from_number(plan.seed, "full");
    for at_ms in [BEGIN_MS + rng.below(3_000), BEGIN_MS + 5_000 + rng.below(5_000)] {
        // Room for some values, or not even for a topic.
        let most = if rng.chance(0.5) { 300 } else { 3 * SEGMENT };
        let fault = Fault::Full {
            node: "n1".into(),
            free: rng.below(most),
            ms: rng.between(1_000, 9_000),
        };
        plan.faults.push(Step { at_ms, fault });
    }
    plan.faults.sort_by_key(|step| step.at_ms);
}

async fn serve(env: Env) {
    let (segment, retention) = (SEGMENT.to_string(), RETENTION.to_string());
    let settings = [
        ("log.flush.interval.messages", "1"),
        ("log.segment.bytes", segment.as_str()),
        ("log.retention.bytes", retention.as_str()),
        ("log.retention.check.interval.ms", "500"),
        ("log.initial.task.delay.ms", "500"),
        ("log.segment.delete.delay.ms", "500"),
    ];
    if let Some(node) = node::start(env, &settings).await {
        node.failed().await;
    }
}

fn free(disk: &MemDisk) -> u64 {
    match disk.handle().free_space(Path::new("/")).into_ready() {
        Ok(Ok(free)) => free,
        _ => 0,
    }
}

/// Counts how often retention deletes by size while the disk is full.
fn count_retention(world: &World, disk: MemDisk) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    world.on_event(move |_, _, event| {
        let by_size = matches!(
            event,
            Event::LogStartMoved {
                cause: StartMove::RetentionSize,
                ..
            }
        );
        if by_size && free(&disk) < ROOM {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    count
}

/// Whether, since faults ended, every client had records acknowledged, and every topic that was asked for takes them.
fn all_served(trial: &Trial) -> bool {
    let tally = locked(&trial.tally);
    (0..CLIENTS).all(|c| tally.late.get(&c).is_some_and(|n| *n >= 5)) && tally.topics.is_empty()
}

async fn work(env: Env, client: u64, trial: Trial) {
    let mut rng = env.entropy.stream("work");
    let mut refused = false;
    for number in 0_u64.. {
        if trial.stop.load(Ordering::Relaxed) {
            return;
        }
        let calm = trial.calm.load(Ordering::Relaxed);
        let value = format!("client {client} value {number} {}", "x".repeat(VALUE));
        locked(&trial.tally).sent.insert(value.clone());
        match send(&env, TOPIC, &value).await {
            Some(Ok(offset)) => {
                let mut tally = locked(&trial.tally);
                tally.acknowledged.insert(value, offset);
                tally.resumed += u64::from(refused && trial.small.load(Ordering::Relaxed));
                refused = false;
                if calm {
                    *tally.late.entry(client).or_default() += 1;
                }
            }
            Some(Err(STORAGE_ERROR)) => {
                refused = true;
                locked(&trial.tally).refused += 1;
            }
            _ => {}
        }
        if client == 0 {
            topics(&env, number, calm, &trial).await;
        }
        env.clock.sleep(Duration::from_millis(rng.below(150))).await;
    }
}

/// Asks for a new topic now and then, and uses those that were asked for until they take a record.
async fn topics(env: &Env, number: u64, calm: bool, trial: &Trial) {
    if !calm && number % 4 == 3 {
        locked(&trial.tally).topics.insert(format!("extra-{number}"));
    }
    let asked: Vec<String> = locked(&trial.tally).topics.iter().cloned().collect();
    for topic in asked {
        match send(env, &topic, "a value").await {
            Some(Ok(_)) => drop(locked(&trial.tally).topics.remove(&topic)),
            Some(Err(STORAGE_ERROR)) => locked(&trial.tally).topics_refused += 1,
            _ => {}
        }
    }
}

async fn send(env: &Env, topic: &str, value: &str) -> Option<Result<i64, i16>> {
    let deadline = env.clock.now().after(Duration::from_secs(4));
    let sent = timeout_at(&*env.clock, deadline, produce_to(env, topic, value)).await;
    sent?.ok()
}

fn check(world: &World, disk: &MemDisk, found: &BTreeMap<i64, String>, tally: &Tally) {
    world.count("checked.acknowledged-is-kept");
    for (what, n) in [
        ("full.refused", tally.refused),
        ("full.topics_refused", tally.topics_refused),
        ("full.resumed", tally.resumed),
    ] {
        (0..n).for_each(|_| world.count(what));
    }
    let complain = |name, text| world.violation(Violation::new(name, text));
    let short = |value: &str| value.trim_end_matches('x').to_string();
    let start = found.keys().next().copied().unwrap_or(0);
    for (value, offset) in tally.acknowledged.iter().filter(|(_, at)| **at >= start) {
        if found.get(offset) != Some(value) {
            let there = found.get(offset).map(|v| short(v));
            let text = format!(
                "{} was acknowledged at {offset}, where there is {there:?}",
                short(value)
            );
            complain("acknowledged-is-kept", text);
        }
    }
    let log = |path: &String| path.contains("/t-0/") && path.ends_with(".log");
    let logs = disk.paths().into_iter().filter(log);
    let kept: u64 = logs
        .filter_map(|p| disk.peek(p))
        .map(|bytes| bytes.len() as u64)
        .sum();
    if start > 0 && kept < RETENTION {
        complain("retention-keeps-its-bytes", format!("{kept} bytes are left"));
    }
    for (offset, value) in found.iter().filter(|(_, value)| !tally.sent.contains(*value)) {
        complain("nothing-is-invented", format!("{offset} holds {}", short(value)));
    }
    if let Some((expected, (offset, _))) = (start..).zip(found).find(|(n, (offset, _))| n != *offset) {
        complain(
            "offsets-are-dense",
            format!("expected {expected}, found {offset}"),
        );
    }
}
