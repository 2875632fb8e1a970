//! The store on the disk in memory, through its public interface. Here: a node's environment, and batches. What is tested is in the
//! modules below.

mod clean;
mod disk;
mod faults;
mod full;
mod kafka;
mod log;
mod manager;
mod recovery;
mod regressions;
mod repair;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ottla_io::mem::{MemDisk, Profile};
use ottla_io::{
    BoxFuture, Clock, Entropy, Env, Listener, Mono, Net, NoObserver, Op, OpenOptions, Rng, Sleep, Stream,
    Task, Tasks, read_exact_at,
};
use ottla_log::{AppendInfo, Appended, BatchMeta, LogConfig};
use ottla_types::{NodeId, Offset, Time, TopicPartition, Uuid};
use ottla_wire::records::{BatchBuilder, BatchOptions, BatchRef, Batches, Codec, Compressor};

use crate::{
    Append, AppendError, Batch, Format, LogManager, LogReader, LogWriter, OpenError, StoreConfig, Upto,
    format_dir,
};
use disk::{Faults, FaultyDisk};

/// The present.
const NOW: Time = Time(1_700_000_000_000);
/// The log directory.
const DIR: &str = "/data";

/// Runs a future of which every effect is ready, but for writes that were slowed down.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("it waits for something that never comes");
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Time {
        NOW
    }

    fn sleep_until(&self, _: Mono) -> Sleep {
        Box::pin(std::future::ready(()))
    }
}

impl Net for Still {
    fn listen(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Listener>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn connect(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Stream>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Tasks for Still {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Task {
        panic!("the store spawns nothing, but it spawned {name}");
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        work();
        Op::ready(())
    }

    fn parallelism(&self) -> usize {
        1
    }
}

struct Seed(u64);

impl Entropy for Seed {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(self.0, purpose)
    }
}

/// A disk, and the node that uses it.
struct World {
    disk: MemDisk,
    faults: Arc<Faults>,
}

impl World {
    /// With one formatted log directory.
    fn new() -> World {
        let world = World {
            disk: MemDisk::new(),
            faults: Arc::default(),
        };
        world.format(DIR, 1);
        world
    }

    fn format(&self, dir: &str, id: u8) {
        let format = Format {
            cluster_id: "cluster".into(),
            node_id: NodeId(1),
            directory_id: uuid(id),
            bootstrap: None,
        };
        run(format_dir(&self.env(), &PathBuf::from(dir), format)).unwrap();
    }

    fn env(&self) -> Env {
        Env {
            clock: Arc::new(Still),
            net: Arc::new(Still),
            disk: Arc::new(FaultyDisk::new(self.disk.handle(), self.faults.clone())),
            entropy: Arc::new(Seed(1)),
            tasks: Arc::new(Still),
            observer: Arc::new(NoObserver),
        }
    }

    fn try_open(&self, dirs: &[&str]) -> Result<LogManager, OpenError> {
        let cfg = StoreConfig::new(dirs.iter().map(PathBuf::from).collect(), NodeId(1));
        run(LogManager::open(&self.env(), cfg))
    }

    fn open(&self) -> LogManager {
        self.try_open(&[DIR]).unwrap()
    }

    /// A new log.
    fn create(&self, cfg: &LogConfig) -> (LogManager, LogWriter) {
        let manager = self.open();
        let writer = run(manager.create(&tp(0), uuid(9), cfg.clone(), NOW)).unwrap();
        (manager, writer)
    }

    /// The log of an earlier start.
    fn reopen(&self, cfg: &LogConfig) -> (LogManager, LogWriter) {
        let manager = self.open();
        let (id, writer) = run(manager.load(&tp(0), cfg.clone(), NOW)).unwrap().unwrap();
        assert_eq!(id, uuid(9));
        (manager, writer)
    }

    fn power_loss(&self, profile: Profile, seed: u64) {
        let mut rng = Rng::from_number(seed, "power");
        self.disk.power_loss(profile, &mut |n| rng.below(n));
    }

    /// The files of the log's folder that end like this.
    fn files(&self, end: &str) -> Vec<String> {
        let of_log = |path: &String| path.contains("orders-0") && path.ends_with(end);
        self.disk.paths().into_iter().filter(of_log).collect()
    }
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn uuid(n: u8) -> Uuid {
    Uuid::from_random([n; 16]).unwrap()
}

/// Segments of few batches, an index entry for each batch.
fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 0,
        ..LogConfig::default()
    }
}

/// A batch of records with these timestamps.
fn batch_with(timestamps: &[i64], options: &BatchOptions) -> (BytesMut, AppendInfo) {
    let mut builder = BatchBuilder::new();
    for at in timestamps {
        builder.append(*at, Some(b"key"), Some(&[7; 100]), &[]).unwrap();
    }
    let bytes = builder.finish(options, &mut Compressor::new()).unwrap();
    let meta = BatchMeta::from_header(BatchRef::first(&bytes).unwrap().header(), None);
    (BytesMut::from(&bytes[..]), AppendInfo::client(meta, 3, NOW))
}

fn try_append(writer: &mut LogWriter, timestamps: &[i64]) -> Result<Append, AppendError> {
    let (bytes, info) = batch_with(timestamps, &BatchOptions::default());
    run(writer.append(bytes, info))
}

/// Appends a batch and returns its base offset.
fn append(writer: &mut LogWriter, timestamps: &[i64]) -> Offset {
    match try_append(writer, timestamps).unwrap().appended {
        Appended::Written { base_offset, .. } => base_offset,
        other => panic!("{other:?}"),
    }
}

/// Base and last offset of every batch from `from` on, checksums verified, as a reader of everything sees them.
fn read_all(reader: &LogReader, mut from: Offset) -> Vec<(Offset, Offset)> {
    let mut found = Vec::new();
    loop {
        let slice = run(reader.read(from, 1 << 20, Upto::LogEnd, true)).unwrap();
        let Some(file) = slice.file else { return found };
        let (read, bytes) = run(read_exact_at(&*file, slice.position, BytesMut::new(), slice.len));
        assert_eq!(read.unwrap(), slice.len);
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            found.push((batch.header().base_offset, batch.header().last_offset()));
        }
        from = found.last().unwrap().1 + 1;
    }
}

/// That the log holds batches of one record each for `from..to`.
fn assert_holds(reader: &LogReader, from: Offset, to: Offset) {
    let expected: Vec<_> = (from..to).map(|at| (at, at)).collect();
    assert_eq!(read_all(reader, from), expected);
    assert_eq!(reader.offsets().end, to);
}

/// Compressed options.
fn compressed(codec: Codec) -> BatchOptions {
    BatchOptions::default().with_codec(codec)
}
