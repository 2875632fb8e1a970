//! A log directory as a node leaves it: appends, transactions, epochs, flushes, checkpoints, then a clean stop, a death of the
//! process or a loss of power. All of it through the store, so that it is Kafka's layout byte for byte.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::BytesMut;
use ottla_io::mem::{MemDisk, Profile};
use ottla_log::{AppendInfo, Appended, BatchMeta, EndTxn, LogConfig, Origin};
use ottla_store::{Append, AppendError, Format, LogManager, LogWriter, StoreConfig, format_dir};
use ottla_types::{NodeId, Offset, TopicPartition, Uuid};
use ottla_wire::records::{BatchBuilder, BatchOptions, BatchRef, Codec, Compressor, EndTxnMarker};

use crate::env::{NOW, env, run};
use crate::input::Input;

/// The log directory.
pub const DIR: &str = "/data";
/// The partition's folder, as [`MemDisk::export`] names it.
pub const FOLDER: &str = "data/orders-0/";

/// The files of a disk, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A log directory before anything happened to it.
pub struct Built {
    /// The log's settings.
    pub cfg: LogConfig,
    /// Everything on the disk.
    pub files: Files,
    /// Everything below it had been flushed when the node ended.
    pub flushed: Offset,
}

/// The partition.
pub fn partition() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

/// The topic's id.
pub fn topic_id() -> Uuid {
    Uuid::from_random([9; 16]).expect("not a reserved id")
}

/// Opens the directory.
pub fn open(disk: &MemDisk) -> Result<LogManager, ottla_store::OpenError> {
    let cfg = StoreConfig::new(vec![PathBuf::from(DIR)], NodeId(1));
    run(LogManager::open(&env(disk), cfg))
}

fn config(input: &mut Input) -> LogConfig {
    let segment_bytes = [500, 800, 2000, 1 << 20][input.below(4)];
    LogConfig {
        segment_bytes,
        index_interval_bytes: [0, 150, 4096][input.below(3)],
        compact: input.one_in(8),
        flush_messages: input.one_in(8).then_some(3),
        ..LogConfig::default()
    }
}

/// A node at work.
struct Node {
    disk: MemDisk,
    manager: LogManager,
    writer: LogWriter,
    cfg: LogConfig,
    epoch: i32,
    sequences: [i32; 6],
    open_txn: [bool; 6],
}

/// Builds one as `input` says.
pub fn build(input: &mut Input) -> Built {
    let cfg = config(input);
    let disk = MemDisk::new();
    let format = Format {
        cluster_id: "cluster".into(),
        node_id: NodeId(1),
        directory_id: Uuid::from_random([1; 16]).expect("not a reserved id"),
        bootstrap: None,
    };
    run(format_dir(&env(&disk), &PathBuf::from(DIR), format)).expect("an empty disk can be formatted");
    let manager = open(&disk).expect("a formatted directory opens");
    let writer =
        run(manager.create(&partition(), topic_id(), cfg.clone(), NOW)).expect("a new log can be made");
    let mut node = Node {
        disk,
        manager,
        writer,
        cfg,
        epoch: 3,
        sequences: [0; 6],
        open_txn: [false; 6],
    };
    for _ in 0..input.below(30) {
        node = node.step(input);
    }
    node.end(input)
}

impl Node {
    fn step(mut self, input: &mut Input) -> Node {
        match input.byte() % 16 {
            0..=4 => self.append(input, None),
            5 | 6 => {
                let producer = input.below(3);
                self.append(input, Some(producer));
            }
            7 | 8 => {
                let producer = 3 + input.below(3);
                self.append(input, Some(producer));
            }
            9 | 10 => self.end_txn(3 + input.below(3), input.one_in(2)),
            11 => self.epoch += 1,
            12 => {
                run(self.writer.flush()).expect("the disk is sound");
            }
            13 => run(self.manager.checkpoint()).expect("the disk is sound"),
            14 => {
                let end = self.writer.log().end();
                self.writer.set_high_watermark(end);
                if input.one_in(4) {
                    run(self.writer.delete_records(end / 2, NOW)).expect("below the high watermark");
                }
            }
            _ => return self.restart(),
        }
        self
    }

    fn append(&mut self, input: &mut Input, producer: Option<usize>) {
        let (records, body) = (1 + input.below(3), input.below(120));
        let codec = if input.one_in(4) { Codec::Lz4 } else { Codec::None };
        let timestamp = NOW.as_millis() + input.below(20) as i64 - 10;
        let mut builder = BatchBuilder::new();
        for _ in 0..records {
            let value = vec![timestamp as u8; body];
            builder
                .append(timestamp, Some(b"key"), Some(&value), &[])
                .expect("small records fit");
        }
        let mut options = BatchOptions::default().with_codec(codec);
        if let Some(producer) = producer {
            options.producer_id = producer as i64;
            options.producer_epoch = 0;
            options.base_sequence = self.sequences[producer];
            options.transactional = producer >= 3;
            self.sequences[producer] += records as i32;
            self.open_txn[producer] = true;
        }
        let bytes = builder
            .finish(&options, &mut Compressor::new())
            .expect("it can be compressed");
        let batch = BatchMeta::from_header(BatchRef::first(&bytes).expect("a batch").header(), None);
        append(
            &mut self.writer,
            &bytes,
            AppendInfo::client(batch, self.epoch, NOW),
        )
        .expect("a good batch");
    }

    fn end_txn(&mut self, producer: usize, committed: bool) {
        if !std::mem::take(&mut self.open_txn[producer]) {
            return;
        }
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 0,
        };
        let bytes = marker
            .to_batch(NOW.as_millis(), producer as i64, 0, 0, self.epoch)
            .expect("a marker");
        let control = Some(EndTxn::from(marker));
        let batch = BatchMeta::from_header(BatchRef::first(&bytes).expect("a batch").header(), control);
        let info = AppendInfo {
            origin: Origin::Coordinator {
                transaction_version: 0,
            },
            ..AppendInfo::client(batch, self.epoch, NOW)
        };
        append(&mut self.writer, &bytes, info).expect("a good marker");
    }

    fn restart(self) -> Node {
        run(self.manager.close(vec![self.writer], 1)).expect("the disk is sound");
        let manager = open(&self.disk).expect("it was closed");
        let loaded = run(manager.load(&partition(), self.cfg.clone(), NOW)).expect("it is sound");
        let (_, writer) = loaded.expect("the folder is there");
        Node {
            manager,
            writer,
            ..self
        }
    }

    fn end(self, input: &mut Input) -> Built {
        let Node {
            disk,
            manager,
            writer,
            cfg,
            ..
        } = self;
        let end = writer.log().end();
        let mut flushed = writer.reader().offsets().recovery_point;
        match input.byte() % 4 {
            0 => {
                run(manager.close(vec![writer], 1)).expect("the disk is sound");
                flushed = end;
            }
            1 => drop((manager, writer)),
            _ => {
                drop((manager, writer));
                let profile = [Profile::Strict, Profile::Ext4Ordered, Profile::Adversarial][input.below(3)];
                let mut choose = |n: u64| input.below(usize::try_from(n.min(60_000)).unwrap_or(1)) as u64;
                disk.power_loss(profile, &mut choose);
            }
        }
        Built {
            cfg,
            files: disk.export(),
            flushed,
        }
    }
}

/// Appends a batch.
pub fn append(writer: &mut LogWriter, bytes: &[u8], info: AppendInfo) -> Result<Offset, AppendError> {
    let Append { appended, .. } = run(writer.append(BytesMut::from(bytes), info))?;
    match appended {
        Appended::Written { base_offset, .. } | Appended::Duplicate { base_offset, .. } => Ok(base_offset),
    }
}
