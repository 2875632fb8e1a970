//! A world for one task: a disk in memory, a clock that jumps over every wait, nothing else.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ottla_connect::config::Props;
use ottla_connect::connector::{Services, Task};
use ottla_connect::data::{SchemaAndValue, Value};
use ottla_connect::offsets::{FileOffsetStore, OffsetReader, OffsetStore, offset_json, partition_key};
use ottla_connect::sink::{SinkContext, SinkRecord, SinkTask};
use ottla_connect::source::{SourceContext, SourceRecord, SourceTask};
use ottla_connect::{Result, StandardStreams, plugins};
use ottla_io::mem::MemDisk;
use ottla_io::{
    BoxFuture, Clock, Disk, Entropy, Env, Listener, Mono, Net, NoObserver, Op, OpenOptions, Rng, Sleep,
    Stream, Task as Spawned, Tasks, write_all_at,
};
use ottla_types::Time;

/// Runs what never really waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a task waits for something that never comes"),
    }
}

#[derive(Default)]
struct Jumping(AtomicU64);

impl Clock for Jumping {
    fn now(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Time {
        Time(1_700_000_000_000)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        self.0.fetch_max(at.0, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

struct Nothing;

impl Net for Nothing {
    fn listen(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Listener>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn connect(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Stream>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Tasks for Nothing {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Spawned {
        panic!("{name} is spawned")
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        work();
        Op::ready(())
    }

    fn parallelism(&self) -> usize {
        1
    }
}

impl Entropy for Nothing {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(1, purpose)
    }
}

/// An environment on this disk.
pub fn env(disk: &MemDisk) -> Env {
    Env {
        clock: Arc::new(Jumping::default()),
        net: Arc::new(Nothing),
        disk: disk.handle(),
        entropy: Arc::new(Nothing),
        tasks: Arc::new(Nothing),
        observer: Arc::new(NoObserver),
    }
}

/// stdin in pieces, and what stdout was given.
#[derive(Default)]
pub struct Console {
    pub input: Mutex<VecDeque<Bytes>>,
    pub output: Mutex<Vec<u8>>,
}

impl StandardStreams for Console {
    fn read(&self) -> Op<io::Result<Bytes>> {
        Op::ready(Ok(self.input.lock().unwrap().pop_front().unwrap_or_default()))
    }

    fn write(&self, bytes: Bytes) -> Op<io::Result<()>> {
        self.output.lock().unwrap().extend_from_slice(&bytes);
        Op::ready(Ok(()))
    }
}

pub fn props(pairs: &[(&str, &str)]) -> Props {
    pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect()
}

/// Writes at the end of a file.
pub fn append(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) {
    let file = now(disk.open(Path::new(path), OpenOptions::Append)).unwrap();
    now(write_all_at(&*file, 0, vec![Bytes::copy_from_slice(bytes)]))
        .0
        .unwrap();
}

/// Writes a file anew, in place.
pub fn rewrite(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) {
    let file = now(disk.open(Path::new(path), OpenOptions::Truncate)).unwrap();
    now(write_all_at(&*file, 0, vec![Bytes::copy_from_slice(bytes)]))
        .0
        .unwrap();
}

/// A source task of the file connector, and its offsets.
pub struct Source {
    pub disk: Arc<dyn Disk>,
    store: Arc<FileOffsetStore>,
    task: Box<dyn SourceTask>,
}

pub const OFFSETS: &str = "/offsets";

impl Source {
    /// Starts one after what was committed.
    pub fn start(disk: &MemDisk, console: Arc<Console>, pairs: &[(&str, &str)]) -> Result<Self> {
        let (env, props) = (env(disk), props(pairs));
        let store = Arc::new(now(FileOffsetStore::open(&env, Path::new(OFFSETS)))?);
        let services = Services {
            env: env.clone(),
            standard: console,
        };
        let connector = (plugins::connector("FileStreamSource").unwrap().start)(&services, &props)?;
        assert_eq!(connector.task_configs(7).len(), 1, "one reader");
        let Task::Source(mut task) = connector.task() else {
            panic!("no source")
        };
        let context = SourceContext {
            offsets: OffsetReader::new(store.clone(), "s"),
        };
        now(task.start(context, &props))?;
        Ok(Source {
            disk: env.disk,
            store,
            task,
        })
    }

    /// One on `/f`.
    pub fn on_file(disk: &MemDisk) -> Self {
        Self::start(disk, Arc::default(), &[("file", "/f"), ("topic", "t")]).unwrap()
    }

    pub fn poll_records(&mut self) -> Result<Vec<SourceRecord>> {
        now(self.task.poll())
    }

    /// Lines and positions of one poll.
    pub fn poll(&mut self) -> Vec<(String, i64)> {
        self.poll_records().unwrap().iter().map(line).collect()
    }

    /// Polls until nothing comes any more, a second waited out each time.
    pub fn all(&mut self) -> Vec<(String, i64)> {
        let (mut out, mut idle) = (Vec::new(), 0);
        while idle < 3 {
            let lines = self.poll();
            idle = if lines.is_empty() { idle + 1 } else { 0 };
            out.extend(lines);
        }
        out
    }

    /// The lines of [`Source::all`].
    pub fn lines(&mut self) -> Vec<String> {
        self.all().into_iter().map(|(line, _)| line).collect()
    }

    pub fn append(&self, text: impl AsRef<[u8]>) {
        append(&self.disk, "/f", text.as_ref());
    }

    /// Commits a position of `/f`.
    pub fn commit(&self, position: i64) {
        let partition = [("filename".to_owned(), Value::String("/f".into()))].into();
        let offset = [("position".to_owned(), Value::Int64(position))].into();
        let key = Arc::new(partition_key("s", &partition).unwrap());
        let value = offset_json(&offset).unwrap().into_bytes();
        now(self.store.set([(key, Some(value))].into())).unwrap();
    }
}

/// A record's line and the position behind it; -1 if it has none.
pub fn line(record: &SourceRecord) -> (String, i64) {
    assert_eq!((&*record.topic, record.partition), ("t", None));
    assert_eq!(record.key, SchemaAndValue::NULL);
    assert_eq!(record.timestamp, Some(1_700_000_000_000));
    let Value::String(text) = &record.value.value else {
        panic!("{record:?}")
    };
    match record.source_offset.get("position") {
        Some(Value::Int64(position)) => (text.clone(), *position),
        _ => (text.clone(), -1),
    }
}

/// A sink task of the file connector.
pub struct Sink {
    pub task: Box<dyn SinkTask>,
    pub context: SinkContext,
    next: i64,
}

impl Sink {
    pub fn start(disk: &MemDisk, console: Arc<Console>, pairs: &[(&str, &str)]) -> Result<Self> {
        let props = props(pairs);
        let services = Services {
            env: env(disk),
            standard: console,
        };
        let connector = (plugins::connector("FileStreamSink").unwrap().start)(&services, &props)?;
        assert_eq!(connector.task_configs(3).len(), 3);
        let Task::Sink(mut task) = connector.task() else {
            panic!("no sink")
        };
        now(task.start(&props))?;
        Ok(Sink {
            task,
            context: SinkContext::default(),
            next: 0,
        })
    }

    pub fn put(&mut self, values: impl IntoIterator<Item = Value>) -> Result<()> {
        let records: Vec<SinkRecord> = values
            .into_iter()
            .map(|value| {
                self.next += 1;
                SinkRecord {
                    topic: "t".into(),
                    partition: 0,
                    offset: self.next - 1,
                    key: SchemaAndValue::NULL,
                    value: SchemaAndValue::schemaless(value),
                    headers: Vec::new(),
                    timestamp: None,
                }
            })
            .collect();
        now(self.task.put(&mut self.context, &records))
    }
}

pub fn text(text: &str) -> Value {
    Value::String(text.into())
}
