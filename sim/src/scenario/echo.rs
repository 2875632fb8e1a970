//! `echo`: the smallest program that makes a promise. A server appends what clients send to a file, syncs it and answers; what
//! was answered must be in the file in the end, once per answer, whatever was crashed and lost. It shows how scenarios are
//! made, and that the simulator finds what it must: [`story_without_sync`] breaks the promise.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_io::{Disk, Env, File, OpenOptions, Stream, read_exact_at, timeout_at, write_all_at};
use ottla_types::Violation;

use super::{Scenario, Story};
use crate::locked;
use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::trace::Fnv;
use crate::world::World;

/// The scenario.
pub const ECHO: Scenario = Scenario {
    name: "echo",
    about: "a server that appends, syncs and answers loses nothing that it answered",
    swarm,
    story: |world, plan| Box::pin(story(world, plan, true)),
    limit: Duration::from_secs(600),
};

const PORT: u16 = 7;
const CLIENTS: u64 = 2;
const MESSAGES: u64 = 30;
/// A message: client, number.
const MESSAGE: usize = 16;
/// A frame in the file: a message and its checksum.
const FRAME: usize = MESSAGE + 8;

type Answered = Arc<Mutex<BTreeMap<(u64, u64), u64>>>;

fn swarm() -> Swarm {
    Swarm {
        others: vec!["c0".into(), "c1".into()],
        horizon: Duration::from_secs(10),
        ..Swarm::new(&["n1"])
    }
}

/// The same server without the sync: power losses must uncover it.
pub fn story_without_sync(world: World, plan: Plan) -> Story {
    Box::pin(story(world, plan, false))
}

async fn story(world: World, plan: Plan, sync: bool) {
    let server = world.add_node("n1");
    let clients: Vec<_> = (0..CLIENTS).map(|c| world.add_node(&format!("c{c}"))).collect();
    world.start_plan(&plan).unwrap_or_else(|e| panic!("{e}"));
    world.boot(server, move |env| serve(env, sync));
    let answered = Answered::default();
    for (number, client) in clients.iter().enumerate() {
        let answered = answered.clone();
        world.boot(*client, move |env| send_all(env, number as u64, answered.clone()));
    }
    // A server that gave up because of its disk is started again, as a supervisor would.
    while world.now() < plan.end() {
        world.sleep(Duration::from_millis(100)).await;
        supervise(&world);
    }
    world.calm();
    while clients.iter().any(|c| world.is_up(*c)) {
        world.sleep(Duration::from_millis(100)).await;
        supervise(&world);
    }
    world.power_loss(server, ottla_io::mem::Profile::Strict);
    check(
        &world,
        &world.disk(server).peek("/log").unwrap_or_default(),
        &locked(&answered),
    );
}

/// Starts the server if it ended by itself more than a moment ago; a plan's own restarts come first.
fn supervise(world: &World) {
    let Some(server) = world.host("n1") else { return };
    if !world.is_up(server) && world.rng(&format!("supervisor {:?}", world.now())).chance(0.05) {
        world.restart(server);
    }
}

fn check(world: &World, log: &[u8], answered: &BTreeMap<(u64, u64), u64>) {
    world.count("checked.answered-is-durable");
    let mut found = BTreeMap::new();
    for (index, frame) in log.chunks_exact(FRAME).enumerate() {
        if let Some(message) = unframe(frame) {
            found.insert((index * FRAME) as u64, message);
        }
    }
    for (message, offset) in answered {
        if found.get(offset) != Some(message) {
            let got = found.get(offset);
            let text = format!("{message:?} was answered with offset {offset}, where there is {got:?}");
            world.violation(Violation::new("answered-is-durable", text));
        }
    }
    if answered.len() as u64 != CLIENTS * MESSAGES {
        world.violation(Violation::new(
            "all-answered",
            format!("{} answers", answered.len()),
        ));
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut hash = Fnv::default();
    hash.add(message);
    let mut out = BytesMut::from(message);
    out.put_u64(hash.0);
    out.freeze()
}

fn unframe(bytes: &[u8]) -> Option<(u64, u64)> {
    let message = bytes.get(..MESSAGE)?;
    let (mut fields, whole) = (message, frame(message));
    (whole == bytes).then(|| (fields.get_u64(), fields.get_u64()))
}

async fn serve(env: Env, sync: bool) {
    if let Err(e) = try_serve(&env, sync).await {
        // Its supervisor starts it again.
        let _why = e;
    }
}

async fn try_serve(env: &Env, sync: bool) -> io::Result<()> {
    let mut end = recover(&*env.disk).await?;
    let file = env.disk.open(Path::new("/log"), OpenOptions::Write).await?;
    let mut listener = env.net.listen("", PORT).await?;
    let failed = Arc::new(Mutex::new(None));
    // One connection at a time: the file has one writer.
    loop {
        let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        let idle = env.clock.now().after(Duration::from_secs(2));
        let session = session(&*file, &mut *stream, &mut end, sync, &failed);
        let _a_client_that_left_is_no_error = timeout_at(&*env.clock, idle, session).await;
        if let Some(e) = locked(&failed).take() {
            return Err(e);
        }
    }
}

/// Copies the whole frames of the log into a new one and puts it in place. After a failed sync the old file's pages are not to be
/// trusted, so nothing less will do.
async fn recover(disk: &dyn Disk) -> io::Result<u64> {
    let (log, tmp) = (Path::new("/log"), Path::new("/log.tmp"));
    let old = disk.open(log, OpenOptions::Create).await?;
    let len = old.len().await? as usize;
    let (result, bytes) = read_exact_at(&*old, 0, BytesMut::new(), len).await;
    result?;
    let whole = bytes
        .chunks_exact(FRAME)
        .take_while(|frame| unframe(frame).is_some())
        .count()
        * FRAME;
    let new = disk.open(tmp, OpenOptions::Truncate).await?;
    write_all_at(&*new, 0, vec![bytes.freeze().slice(..whole)])
        .await
        .0?;
    new.sync_data().await?;
    disk.rename(tmp, log).await?;
    disk.sync_dir(Path::new("/")).await?;
    Ok(whole as u64)
}

/// Serves one client until it leaves. A disk that failed is told in `failed`: the file is not to be trusted then.
async fn session(
    file: &dyn File,
    stream: &mut dyn Stream,
    end: &mut u64,
    sync: bool,
    failed: &Mutex<Option<io::Error>>,
) -> io::Result<()> {
    loop {
        let message = read_exact(stream, MESSAGE).await?;
        // Set before the first await, so that a session that is cut off here leaves the file untrusted too.
        *locked(failed) = Some(io::Error::new(ErrorKind::TimedOut, "cut off while writing"));
        let written = write_all_at(file, *end, vec![frame(&message)]).await.0;
        let synced = if sync && written.is_ok() {
            file.sync_data().await
        } else {
            written
        };
        *locked(failed) = synced.err();
        if locked(failed).is_some() {
            return Ok(());
        }
        let offset = *end;
        *end += FRAME as u64;
        write_all(stream, &offset.to_be_bytes()).await?;
    }
}

async fn send_all(env: Env, client: u64, answered: Answered) {
    for number in 0..MESSAGES {
        loop {
            let deadline = env.clock.now().after(Duration::from_secs(3));
            let sent = timeout_at(&*env.clock, deadline, send(&env, client, number)).await;
            if let Some(Ok(offset)) = sent {
                locked(&answered).insert((client, number), offset);
                break;
            }
            env.clock.sleep(Duration::from_millis(200)).await;
        }
        env.clock
            .sleep(Duration::from_millis(
                env.entropy.stream(&format!("pause {number}")).below(600),
            ))
            .await;
    }
}

async fn send(env: &Env, client: u64, number: u64) -> io::Result<u64> {
    let mut stream = env.net.connect("n1", PORT).await?;
    let mut message = BytesMut::new();
    message.put_u64(client);
    message.put_u64(number);
    write_all(&mut *stream, &message).await?;
    let answer = read_exact(&mut *stream, 8).await?;
    Ok(answer.freeze().get_u64())
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

async fn write_all(stream: &mut dyn Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[n..];
    }
    Ok(())
}
