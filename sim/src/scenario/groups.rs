//! `groups`: members of one consumer group against the production node, all under faults. Members crash, leave, stop polling for too
//! long; one is static and comes back. Nobody reads what is another's, no acknowledged commit is taken back, no record is passed
//! over, and once the faults stop the group settles and reads everything (`group_history` holds the oracle).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::admin::NewTopic;
use ottla_client::consumer::OffsetReset;
use ottla_client::group::RebalanceListener;
use ottla_client::group::assign::assignor;
use ottla_client::{
    Admin, ClientConfig, ConsumerConfig, GroupConfig, GroupConsumer, Producer, ProducerConfig, Record, Result,
};
use ottla_io::{BoxFuture, Env, Rng};
use ottla_types::{ErrorCode, TopicPartition, Violation};

use super::group_history::GroupHistory;
use super::{Scenario, node};
use crate::locked;
use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::world::{Host, World};

/// The scenario, with a node that flushes before it acknowledges.
pub const GROUPS: Scenario = Scenario {
    name: "groups",
    about: "members of a group share, commit and go on with a node that flushes, under every fault",
    swarm,
    story: |world, plan| Box::pin(story(world, plan)),
    limit: Duration::from_secs(1800),
};

const TOPIC: &str = "shared";
const GROUP: &str = "g";
const PARTITIONS: i32 = 4;
const RECORDS: u64 = 60;
const MEMBERS: [&str; 4] = ["g0", "g1", "g2", "g3"];
/// This member is static.
const STATIC: &str = "g2";
/// This one forgets to poll now and then.
const SLEEPY: &str = "g3";
/// The ways to share out, of which a run has one.
const ASSIGNORS: [&[&str]; 5] = [
    &["range"],
    &["roundrobin"],
    &["sticky"],
    &["cooperative-sticky"],
    &["range", "cooperative-sticky"],
];

type Shared = Arc<Mutex<GroupHistory>>;

fn swarm() -> Swarm {
    let others = MEMBERS.iter().chain(&["p0", "w0"]);
    Swarm {
        others: others.map(|name| (*name).to_owned()).collect(),
        horizon: Duration::from_secs(12),
        most: 24,
        ..Swarm::new(&["n1"])
    }
}

async fn story(world: World, plan: Plan) {
    let server = world.add_node("n1");
    let members = MEMBERS.map(|name| (name, world.add_node(name)));
    let (producer, watcher) = (world.add_node("p0"), world.add_node("w0"));
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, serve);
    let history = Shared::default();
    let mut rng = world.rng("group");
    let ways = ASSIGNORS[rng.below(ASSIGNORS.len() as u64) as usize];
    for (name, host) in members {
        let (history, world, lives) = (history.clone(), world.clone(), Arc::new(AtomicU64::new(0)));
        world.clone().boot(host, move |env| {
            let life = lives.fetch_add(1, Ordering::Relaxed);
            member(env, world.clone(), name, life, ways, history.clone())
        });
    }
    world.boot(producer, produce);
    let watching = history.clone();
    world.boot(watcher, move |env| watch(env, watching.clone()));
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
        tell(&world, &history);
        if rng.chance(0.02) {
            crash_a_member(&world, &members, &mut rng, &history);
        }
    }
    world.calm();
    settle(&world, server, producer, &history).await;
    // Everything that was acknowledged is there after the worst that may happen.
    for (_, host) in members {
        world.crash(host);
    }
    world.power_loss(server, ottla_io::mem::Profile::Strict);
    world.restart(server);
    let reads = locked(&history).reads();
    let patience = world.now() + Duration::from_secs(60);
    while locked(&history).reads() < reads + 2 && world.now() < patience {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
    }
    if locked(&history).reads() < reads + 2 {
        world.violation(Violation::new(
            "commits-are-read-back",
            "a minute after the last start the committed offsets can't be read",
        ));
    }
    tell(&world, &history);
}

/// Waits until the group has read everything and has said so, with equal generations and every partition at one member.
async fn settle(world: &World, server: Host, producer: Host, history: &Shared) {
    let mut patience = None;
    loop {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(world);
        tell(world, history);
        if world.is_up(producer) {
            continue;
        }
        let patience = *patience.get_or_insert(world.now() + Duration::from_secs(90));
        let ends: Vec<i64> = (0..PARTITIONS)
            .map(|p| node::log(world, server, TOPIC, p).len() as i64)
            .collect();
        let missing = locked(history).missing(&ends, MEMBERS.len());
        match missing {
            None => return,
            Some(missing) if world.now() >= patience => {
                return world.violation(Violation::new("groups-go-on", missing));
            }
            Some(_) => {}
        }
    }
}

/// Reports what the history has found.
fn tell(world: &World, history: &Shared) {
    let (violations, counts) = locked(history).take();
    for violation in violations {
        world.violation(violation);
    }
    for (what, times) in counts {
        (0..times).for_each(|_| world.count(what));
    }
}

fn crash_a_member(world: &World, members: &[(&'static str, Host)], rng: &mut Rng, history: &Shared) {
    if let Some((name, host)) = rng.pick(members).copied().filter(|(_, host)| world.is_up(*host)) {
        world.crash(host);
        locked(history).died(name);
        world.restart(host);
        world.count("sometimes.a_member_died");
    }
}

async fn serve(env: Env) {
    let settings = [
        ("log.flush.interval.messages", "1"),
        ("offsets.topic.num.partitions", "2"),
        ("offsets.topic.replication.factor", "1"),
        ("group.initial.rebalance.delay.ms", "300"),
        ("group.min.session.timeout.ms", "1000"),
    ];
    if let Some(node) = node::start(env, &settings).await {
        node.failed().await;
    }
}

fn client() -> ClientConfig {
    ClientConfig {
        request_timeout: Duration::from_secs(4),
        connection_setup_timeout: Duration::from_secs(3),
        api_timeout: Duration::from_secs(20),
        ..ClientConfig::new("n1:9092")
    }
}

/// Creates the topic, as long as it takes.
async fn create_topic(env: &Env) {
    let Ok(admin) = Admin::new(env, client()) else {
        return;
    };
    loop {
        let wanted = [NewTopic::new(TOPIC, PARTITIONS)];
        let each = admin.create_topics(&wanted, false).await;
        match each.get(TOPIC) {
            Some(Err(e)) if e.code() == Some(ErrorCode::TopicAlreadyExists) => return,
            Some(Ok(_)) => return,
            _ => env.clock.sleep(Duration::from_millis(300)).await,
        }
    }
}

async fn produce(env: Env) {
    create_topic(&env).await;
    let config = ProducerConfig {
        client: client(),
        linger: Duration::from_millis(5),
        max_block: Duration::from_secs(600),
        delivery_timeout: Duration::from_secs(600),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&env, config).unwrap_or_else(|e| panic!("{e}"));
    let mut rng = env.entropy.stream("workload");
    for number in 0..RECORDS {
        let partition = rng.below(PARTITIONS as u64) as i32;
        let value = number.to_string();
        let record = Record::new(TOPIC, value.as_bytes()).partition(partition);
        drop(producer.send(record).await);
        env.clock.sleep(Duration::from_millis(rng.below(400))).await;
    }
    let _ = producer.close(Duration::from_secs(600)).await;
}

/// Reads what is committed, all the time.
async fn watch(env: Env, history: Shared) {
    create_topic(&env).await;
    let Ok(admin) = Admin::new(&env, client()) else {
        return;
    };
    loop {
        let begun = locked(&history).tick();
        if let Ok(committed) = admin.group_offsets(GROUP, None).await {
            locked(&history).read(begun, &committed);
        }
        env.clock.sleep(Duration::from_millis(700)).await;
    }
}

/// Tells the history what a member has.
struct Told {
    history: Shared,
    name: String,
}

impl RebalanceListener for Told {
    fn assigned<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        fresh: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        let generation = consumer.member().map(|(_, generation)| generation);
        locked(&self.history).assigned(&self.name, generation, fresh, &consumer.assignment());
        Box::pin(async { Ok(()) })
    }

    fn revoked<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        gone: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            commit(consumer, &self.history, None).await;
            locked(&self.history).gone(&self.name, gone);
            Ok(())
        })
    }

    fn lost<'a>(&'a self, _: &'a mut GroupConsumer, gone: &'a [TopicPartition]) -> BoxFuture<'a, Result<()>> {
        locked(&self.history).lost(&self.name, gone);
        Box::pin(async { Ok(()) })
    }
}

/// Commits all positions; waits for the answer unless there is somebody who does it beside.
async fn commit(consumer: &mut GroupConsumer, history: &Shared, beside: Option<&Env>) {
    let offsets = consumer.positions();
    let generation = consumer.member().map_or(-1, |(_, generation)| generation);
    let begun = locked(history).commit_begins(generation, &offsets);
    let commit = consumer.commit_in_background(offsets);
    let history = history.clone();
    let end = async move {
        let result = commit.await;
        locked(&history).commit_ends(begun, result);
    };
    match beside {
        Some(env) => drop(env.tasks.spawn("await a commit", Box::pin(end))),
        None => end.await,
    }
}

fn config(name: &str, ways: &[&str]) -> GroupConfig {
    GroupConfig {
        consumer: ConsumerConfig {
            client: client(),
            auto_offset_reset: OffsetReset::Earliest,
            max_poll_records: 5,
            ..ConsumerConfig::default()
        },
        group_instance_id: (name == STATIC).then(|| "fixed".to_owned()),
        session_timeout: Duration::from_secs(3),
        heartbeat_interval: Duration::from_millis(500),
        max_poll_interval: Duration::from_secs(5),
        auto_commit: false,
        assignors: ways.iter().filter_map(|name| assignor(name)).collect(),
        allow_auto_create_topics: false,
        ..GroupConfig::new("", GROUP)
    }
}

/// One life of a host's member: it may leave and come back as another.
async fn member(
    env: Env,
    world: World,
    host: &'static str,
    life: u64,
    ways: &'static [&'static str],
    history: Shared,
) {
    create_topic(&env).await;
    let mut rng = Rng::from_number(world.rng(host).next_u64() ^ life, "member");
    for round in 0u64.. {
        let name = if host == STATIC {
            host.to_owned()
        } else {
            format!("{host}.{life}.{round}")
        };
        let mut consumer = GroupConsumer::new(&env, config(host, ways)).unwrap_or_else(|e| panic!("{e}"));
        consumer.set_listener(Arc::new(Told {
            history: history.clone(),
            name: name.clone(),
        }));
        consumer.subscribe([TOPIC]);
        while !(host != STATIC && rng.chance(0.01)) {
            match consumer.poll(Duration::from_millis(300)).await {
                Ok(records) => {
                    let mut history = locked(&history);
                    for record in records {
                        history.consumed(&name, record.partition, record.offset);
                    }
                }
                // A join of its own that was delayed may have fenced it.
                Err(error) if error.code() == Some(ErrorCode::FencedInstanceId) => {
                    world.count("sometimes.a_member_was_fenced");
                }
                Err(error) => world.violation(Violation::new("members-go-on", error.to_string())),
            }
            locked(&history).holds(host, consumer.member().map(|(_, g)| g), &consumer.assignment());
            if rng.chance(0.4) {
                let beside = rng.chance(0.5).then_some(&env);
                commit(&mut consumer, &history, beside).await;
            }
            if host == SLEEPY && rng.chance(0.02) && world.now() < Duration::from_secs(20) {
                world.count("sometimes.a_member_did_not_poll");
                env.clock.sleep(Duration::from_secs(7)).await;
            }
        }
        let _ = consumer.close().await;
        locked(&history).died(host);
        world.count("sometimes.a_member_left");
    }
}
