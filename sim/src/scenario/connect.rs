//! `connect`: the file pipeline under faults. A program writes lines to a file, now and then half a line; a worker with Kafka's two
//! file connectors brings them through a topic into another file. Worker and broker crash, lose power, stand still, are cut off;
//! their disks fail. Every line must arrive, and in order, whatever is repeated.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_connect::config::{Props, WorkerConfig, parse_connector};
use ottla_connect::offsets::FileOffsetStore;
use ottla_connect::{NoStreams, Services, Status, Worker};
use ottla_io::{Env, OpenOptions, write_all_at};
use ottla_types::Violation;

use super::{Scenario, node};
use crate::plan::{Fault, Plan};
use crate::swarm::Swarm;
use crate::world::{Host, World};

/// The scenario.
pub const CONNECT: Scenario = Scenario {
    name: "connect",
    about: "every line of a file arrives in another one through connectors and a topic, under every fault",
    swarm,
    story: |world, plan| Box::pin(story(world, plan)),
    limit: Duration::from_secs(3600),
};

const LINES: usize = 150;
const SOURCE: &str = "/w/test.txt";
const SINK: &str = "/w/test.sink.txt";

fn swarm() -> Swarm {
    Swarm {
        horizon: Duration::from_secs(20),
        ..Swarm::new(&["n1", "w1"])
    }
}

async fn story(world: World, plan: Plan) {
    let server = world.add_node("n1");
    let worker = world.add_node("w1");
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, |env| node::serve(env, true));
    let witness = world.clone();
    world.boot(worker, move |env| work(env, witness.clone()));
    let lines = write_lines(&world, worker).await;
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        supervise(&world, worker);
    }
    world.calm();
    let patience = world.now() + Duration::from_secs(600);
    while missing(&world, worker, &lines) > 0 && world.now() < patience {
        world.sleep(Duration::from_millis(500)).await;
        supervise(&world, worker);
    }
    check(&world, worker, &plan, &lines);
}

/// Starts again what has ended by itself.
fn supervise(world: &World, worker: Host) {
    node::supervise(world);
    if !world.is_up(worker)
        && world
            .rng(&format!("supervisor of w1 {:?}", world.now()))
            .chance(0.1)
    {
        world.restart(worker);
    }
}

/// The worker's process: until a task has failed, or for a while, so that clean stops occur too.
async fn work(env: Env, world: World) {
    let props = |text: &str| -> Props {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let settings = props(
        "bootstrap.servers=n1:9092\nkey.converter=JsonConverter\nvalue.converter=JsonConverter\n\
         offset.storage.file.filename=/w/offsets\noffset.flush.interval.ms=400\n\
         producer.request.timeout.ms=4000\nconsumer.request.timeout.ms=8000\nconsumer.session.timeout.ms=6000\n\
         consumer.heartbeat.interval.ms=1000",
    );
    let config = WorkerConfig::parse(&settings).unwrap_or_else(|e| panic!("{e}"));
    if env.disk.create_dir_all(Path::new("/w")).await.is_err() {
        return;
    }
    let Ok(store) = FileOffsetStore::open(&env, &config.offset_file).await else {
        return;
    };
    let services = Services {
        env: env.clone(),
        standard: Arc::new(NoStreams),
    };
    let Ok((mut worker, _)) = Worker::start(services, config, Arc::new(store)).await else {
        return;
    };
    for text in [
        format!(
            "name=source\nconnector.class=FileStreamSource\nfile={SOURCE}\ntopic=connect-test\nbatch.size=7\n"
        ),
        format!("name=sink\nconnector.class=FileStreamSink\nfile={SINK}\ntopics=connect-test\n"),
    ] {
        let connector = parse_connector(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        worker
            .start_connector(&connector)
            .unwrap_or_else(|e| panic!("{e}"));
    }
    let mut rng = env.entropy.stream("workload");
    while !rng.chance(0.005) {
        env.clock.sleep(Duration::from_millis(100)).await;
        if worker
            .status()
            .iter()
            .any(|task| matches!(task.status, Status::Failed(_)))
        {
            world.count("sometimes.a_task_failed");
            break;
        }
    }
    worker.stop().await;
    world.count("sometimes.a_worker_stopped");
}

/// Another program on the worker's machine, whose disk is kind to it: it appends and syncs. Returns the lines.
async fn write_lines(world: &World, worker: Host) -> Vec<String> {
    let mut rng = world.rng("writer");
    let mut lines = Vec::new();
    for number in 0..LINES {
        let line = format!("{number:04} {} end", "é".repeat(rng.below(40) as usize));
        let (text, cut) = (format!("{line}\n"), rng.chance(0.3));
        let half = if cut { text.len() / 2 } else { text.len() };
        append(world, worker, &text.as_bytes()[..half]).await;
        if cut {
            world.sleep(Duration::from_millis(rng.below(1500))).await;
            append(world, worker, &text.as_bytes()[half..]).await;
        }
        lines.push(line);
        if rng.chance(0.5) {
            world.sleep(Duration::from_millis(rng.below(300))).await;
        }
        supervise(world, worker);
    }
    lines
}

async fn append(world: &World, worker: Host, bytes: &[u8]) {
    let disk = world.disk(worker).handle();
    let work = async {
        disk.create_dir_all(Path::new("/w")).await?;
        let file = disk.open(Path::new(SOURCE), OpenOptions::Append).await?;
        write_all_at(&*file, 0, vec![Bytes::copy_from_slice(bytes)])
            .await
            .0?;
        file.sync_data().await?;
        disk.sync_dir(Path::new("/")).await?;
        disk.sync_dir(Path::new("/w")).await
    };
    work.await
        .unwrap_or_else(|e: std::io::Error| panic!("the writer: {e}"));
}

/// The numbers of the lines that arrived whole, in their order, repetitions included.
fn arrived(world: &World, worker: Host, lines: &[String]) -> Vec<usize> {
    let content = world.disk(worker).peek(SINK).unwrap_or_default();
    let content = String::from_utf8_lossy(&content);
    let number = |line: &str| line.get(..4).and_then(|n| n.parse::<usize>().ok());
    let whole = content.lines().filter_map(|line| {
        let number = number(line)?;
        (lines.get(number).map(String::as_str) == Some(line)).then_some(number)
    });
    whole.collect()
}

fn missing(world: &World, worker: Host, lines: &[String]) -> usize {
    let mut found = arrived(world, worker, lines);
    found.sort_unstable();
    found.dedup();
    lines.len() - found.len()
}

fn check(world: &World, worker: Host, plan: &Plan, lines: &[String]) {
    world.count("checked.pipeline");
    let lost = missing(world, worker, lines);
    if lost > 0 {
        let text = format!("{lost} of {} lines have not arrived", lines.len());
        world.violation(Violation::new("every-line-arrives", text));
    }
    let arrived = arrived(world, worker, lines);
    if arrived.len() > lines.len() {
        world.count("sometimes.a_line_came_twice");
    }
    // A loss of power may keep a later line that was not committed and lose an earlier one.
    let any = |step: &crate::plan::Step| match &step.fault {
        Fault::PowerLoss { node, .. } | Fault::PowerLossBefore { node, .. } => node == "w1",
        _ => false,
    };
    if plan.faults.iter().any(any) {
        return;
    }
    world.count("checked.order");
    let mut next = 0;
    for number in arrived {
        if number > next {
            let text = format!("line {number} came where {next} was due");
            world.violation(Violation::new("lines-come-in-order", text));
            return;
        }
        next = next.max(number + 1);
    }
}
