//! `metadata`: the production node's metadata log under crashes, power losses and bad disks, with snapshots every few changes and a log that
//! is cut behind them all the time. Clients create, grow and delete topics; what was acknowledged must be what the next start finds. The
//! oracle reads the simulated disk: the newest snapshot with the log behind it must say what clients were told, and every older one, and
//! the whole log if it is there, must say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::admin::NewTopic;
use ottla_client::{Admin, ClientConfig};
use ottla_io::mem::{MemDisk, Profile};
use ottla_io::{Env, timeout_at};
use ottla_metadata::snapshot::{FileName, SnapshotState};
use ottla_metadata::{Loader, MetadataImage, Snapshot, SnapshotId};
use ottla_types::event::StartMove;
use ottla_types::{Event, Offset, Violation};
use ottla_wire::records::Batches;

use super::{Scenario, node};
use crate::locked;
use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::world::{Host, World};

/// The scenario.
pub const METADATA: Scenario = Scenario {
    name: "metadata",
    about: "what was acknowledged of topics outlives crashes around snapshots and cuts of the metadata log",
    swarm: || Swarm {
        others: vec!["c0".into(), "c1".into()],
        horizon: Duration::from_secs(10),
        most: 40,
        ..Swarm::new(&["n1"])
    },
    story: |world, plan| Box::pin(story(world, plan)),
    limit: Duration::from_secs(900),
};

const CLIENTS: u64 = 2;
const CHANGES: u64 = 40;
const FOLDER: &str = "data/__cluster_metadata-0/";

/// How many partitions a topic may have, `None` for no topic: one answer after an acknowledgement, several while a change is in doubt.
type Possible = BTreeMap<String, BTreeSet<Option<usize>>>;

#[derive(Clone, Default)]
struct Trial {
    possible: Arc<Mutex<Possible>>,
    stop: Arc<AtomicBool>,
}

async fn story(world: World, plan: Plan) {
    let server = world.add_node("n1");
    let clients: Vec<_> = (0..CLIENTS).map(|c| world.add_node(&format!("c{c}"))).collect();
    count(&world);
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    let dynamic = plan.seed.is_multiple_of(2);
    world.boot(server, move |env| serve(env, dynamic));
    let trial = Trial::default();
    for (number, client) in clients.iter().enumerate() {
        let trial = trial.clone();
        world.boot(*client, move |env| change_all(env, number as u64, trial.clone()));
    }
    let mut down = false;
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        let died = !world.is_up(server) && !down;
        down = !world.is_up(server);
        if died && files(&world.disk(server)).any(|f| f.state == SnapshotState::Partial) {
            world.count("metadata.half_written");
        }
        node::supervise(&world);
    }
    world.calm();
    let deadline = world.now() + Duration::from_secs(200);
    while clients.iter().any(|c| world.is_up(*c)) {
        world.sleep(Duration::from_millis(100)).await;
        node::supervise(&world);
        if world.now() > deadline {
            trial.stop.store(true, Ordering::Relaxed);
            world.violation(Violation::new("changes-come-to-an-end", "clients still wait"));
            break;
        }
    }
    world.power_loss(server, Profile::Strict);
    check(&world, server, &locked(&trial.possible));
}

fn count(world: &World) {
    let counting = world.clone();
    world.on_event(move |_, _, event| match event {
        Event::SnapshotWritten { .. } => counting.count("metadata.snapshot"),
        Event::SnapshotLoaded { offset, .. } if *offset > 0 => counting.count("metadata.loaded"),
        Event::LogStartMoved {
            cause: StartMove::Snapshot,
            ..
        } => counting.count("metadata.cut"),
        _ => {}
    });
}

async fn serve(env: Env, dynamic: bool) {
    let mut settings = vec![
        ("metadata.log.max.record.bytes.between.snapshots", "700"),
        ("metadata.log.max.snapshot.interval.ms", "1500"),
        ("metadata.log.segment.ms", "300"),
        ("metadata.max.retention.bytes", "6000"),
        ("log.segment.delete.delay.ms", "300"),
    ];
    if dynamic {
        settings.push(("controller.quorum.voters", ""));
        settings.push(("controller.quorum.bootstrap.servers", "n1:9093"));
    }
    let clock = env.clock.clone();
    let until = clock.now().after(Duration::from_millis(
        env.entropy.stream("stop").between(500, 8_000),
    ));
    let Some(node) = node::start(env, &settings).await else {
        return;
    };
    if timeout_at(&*clock, until, node.failed()).await.is_none() {
        node.stop().await;
    }
}

async fn change_all(env: Env, client: u64, trial: Trial) {
    let config = ClientConfig {
        request_timeout: Duration::from_secs(3),
        api_timeout: Duration::from_secs(10),
        connection_setup_timeout: Duration::from_secs(2),
        ..ClientConfig::new("n1:9092")
    };
    let Ok(admin) = Admin::new(&env, config) else {
        return;
    };
    let mut rng = env.entropy.stream("changes");
    for number in 0..CHANGES {
        if trial.stop.load(Ordering::Relaxed) {
            return;
        }
        let ours = format!("c{client}-");
        let old: Vec<(String, usize)> = locked(&trial.possible)
            .iter()
            .filter(|(name, _)| name.starts_with(&ours))
            .filter_map(|(name, states)| match states.iter().collect::<Vec<_>>()[..] {
                [Some(partitions)] => Some((name.clone(), *partitions)),
                _ => None,
            })
            .collect();
        let some = (!old.is_empty()).then(|| old[rng.below(old.len() as u64) as usize].clone());
        match (rng.below(4), some) {
            (0, Some((name, before))) => {
                let after = before + 1;
                let counts = BTreeMap::from([(name.clone(), after as i32)]);
                attempt(&trial, &name, Some(after), async {
                    let each = admin.create_partitions(&counts, false).await;
                    each.get(&name).is_some_and(Result::is_ok)
                })
                .await;
            }
            (1, Some((name, _))) => {
                let names = [name.clone()];
                attempt(&trial, &name, None, async {
                    let each = admin.delete_topics(&names).await;
                    each.get(&name).is_some_and(Result::is_ok)
                })
                .await;
            }
            _ => {
                let (name, partitions) = (format!("{ours}{number}"), 1 + rng.below(3) as i32);
                locked(&trial.possible).insert(name.clone(), BTreeSet::from([None]));
                let topic = [NewTopic::new(&name, partitions)];
                attempt(&trial, &name, Some(partitions as usize), async {
                    let each = admin.create_topics(&topic, false).await;
                    each.get(&name).is_some_and(Result::is_ok)
                })
                .await;
            }
        }
        env.clock.sleep(Duration::from_millis(rng.below(200))).await;
    }
}

/// Makes a change. Until it is acknowledged, and for ever if it is not, it may have happened or not.
async fn attempt(trial: &Trial, topic: &str, after: Option<usize>, change: impl Future<Output = bool>) {
    locked(&trial.possible)
        .entry(topic.to_string())
        .or_default()
        .insert(after);
    if change.await {
        locked(&trial.possible).insert(topic.to_string(), BTreeSet::from([after]));
    }
}

fn files(disk: &MemDisk) -> impl Iterator<Item = FileName> {
    let names = disk.paths().into_iter();
    names.filter_map(|path| FileName::parse(path.trim_start_matches('/').strip_prefix(FOLDER)?))
}

/// What the disk says after all: by the newest snapshot, by every older one, by the log alone.
fn check(world: &World, server: Host, possible: &Possible) {
    let complain = |name, text| world.violation(Violation::new(name, text));
    let disk = world.disk(server);
    let batches = log(&disk);
    let begin = batches.first().map_or(0, |(base, _)| *base);
    let mut ids: Vec<SnapshotId> = files(&disk)
        .filter(|f| f.state == SnapshotState::Whole && f.id.offset >= begin)
        .map(|f| f.id)
        .collect();
    ids.sort_unstable();
    let mut images: Vec<(String, MetadataImage)> = Vec::new();
    for id in ids.into_iter().rev() {
        let state = SnapshotState::Whole;
        let path = format!("/{FOLDER}{}", FileName { id, state });
        match Snapshot::read(&disk.peek(&path).unwrap_or_default()) {
            Ok(snapshot) => match replay(Some((id, &snapshot)), &batches) {
                Ok(image) => images.push((id.to_string(), image)),
                Err(violation) => complain("snapshots-fit-the-log", format!("{id}: {violation}")),
            },
            Err(error) => complain("snapshots-are-whole", format!("{id}: {error}")),
        }
    }
    if begin == 0 {
        match replay(None, &batches) {
            Ok(image) => images.push(("the log".into(), image)),
            Err(violation) => complain("snapshots-fit-the-log", violation.to_string()),
        }
    }
    let Some((newest, image)) = images.first() else {
        return complain("the-metadata-is-there", format!("the log begins at {begin}"));
    };
    world.count("checked.metadata");
    for (name, other) in &images {
        if other != image {
            complain(
                "snapshots-agree",
                format!("{name} and {newest} lead to different images"),
            );
        } else if name != newest {
            world.count("metadata.compared");
        }
    }
    for (topic, states) in possible {
        let found = image.topics().by_name(topic).map(|t| t.partitions.size());
        if !states.contains(&found) {
            complain(
                "acknowledged-metadata-is-kept",
                format!("{topic}: {found:?} partitions, possible are {states:?}"),
            );
        }
    }
    if let Some(topic) = image.topics().iter().find(|t| !possible.contains_key(&*t.name)) {
        complain("nothing-is-invented", topic.name.to_string());
    }
}

/// The data batches of the metadata log: base offset and values.
fn log(disk: &MemDisk) -> Vec<(Offset, Vec<Vec<u8>>)> {
    let mut all = Vec::new();
    for path in disk.paths() {
        let name = path
            .trim_start_matches('/')
            .strip_prefix(FOLDER)
            .unwrap_or_default()
            .to_string();
        if !name.ends_with(".log") {
            continue;
        }
        let bytes = disk.peek(&path).unwrap_or_default();
        for batch in Batches::tolerant(&bytes).map_while(Result::ok) {
            if batch.verify_crc().is_err() {
                return all;
            }
            let control = batch.header().attributes.is_control();
            let values = batch.records().map_while(Result::ok);
            let values = values
                .filter(|_| !control)
                .map(|r| r.value.unwrap_or_default().to_vec());
            all.push((batch.header().base_offset, values.collect()));
        }
    }
    all
}

fn replay(
    snapshot: Option<(SnapshotId, &Snapshot)>,
    batches: &[(Offset, Vec<Vec<u8>>)],
) -> Result<MetadataImage, Violation> {
    let mut loader = Loader::new();
    let mut from = 0;
    if let Some((id, snapshot)) = snapshot {
        loader.load_snapshot(snapshot.values(), id.offset - 1)?;
        from = id.offset;
    }
    for (base, values) in batches.iter().filter(|(base, _)| *base >= from) {
        for (offset, value) in (*base..).zip(values) {
            loader.replay(value, offset)?;
        }
    }
    loader.image().verify()?;
    Ok(loader.image().clone())
}
