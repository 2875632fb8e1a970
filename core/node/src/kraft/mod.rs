//! The metadata log of a quorum with one voter: this node. It elects itself in a new epoch at every start, and what it has synced
//! is committed. The full protocol is `core/quorum`'s to come; the files are Kafka's already.
//!
//! `preflight`: what can't be used is refused before anything is touched. `replay`: from the files to an image. `snapshots`,
//! `upkeep`: snapshots, and what they make superfluous. `quorum_state`, `voters`: who leads, and who may.

mod files;
mod preflight;
mod quorum_state;
mod replay;
mod snapshots;
mod upkeep;
mod voters;

use std::path::PathBuf;

use bytes::BytesMut;
use ottla_io::{Env, Mono};
use ottla_log::{AppendInfo, Appended, BatchMeta, Origin};
use ottla_metadata::{Loader, Quorum, Records, Snapshot, SnapshotId};
use ottla_store::{LogManager, LogReader, LogWriter};
use ottla_types::config::BrokerConfig;
use ottla_types::{Epoch, Event, NodeId, Offset, Time, TopicPartition, Uuid};
use ottla_wire::records::{BatchBuilder, BatchHeader, BatchOptions, Compressor};

use crate::log_config::metadata_log_config;
use crate::start::StartError;
use quorum_state::QuorumState;
use replay::Replayed;
use snapshots::Snapshots;

pub use files::read as read_file;
pub use preflight::preflight;
pub use snapshots::write_first as write_first_snapshot;
pub use upkeep::{Policy, Written};
pub use voters::initial_quorum;

/// The metadata log's name.
pub const TOPIC: &str = "__cluster_metadata";

/// The log of `__cluster_metadata-0`, led by this node.
pub struct MetadataLog {
    writer: LogWriter,
    epoch: Epoch,
    env: Env,
    quorum: Quorum,
    snapshots: Snapshots,
    policy: Policy,
    /// The append time of the last data records.
    newest: Time,
    /// Bytes of data records since the last snapshot.
    bytes_since: u64,
    /// When the last snapshot was written, or this start.
    snapshot_at: Mono,
    /// When one that could not be written is tried again.
    retry_at: Option<Mono>,
}

impl MetadataLog {
    /// Opens or creates the log, replays its newest snapshot and the records behind it, and takes the lead in a new epoch.
    pub async fn open(
        env: &Env,
        manager: &LogManager,
        broker: &BrokerConfig,
    ) -> Result<(Self, Loader), StartError> {
        let name = TopicPartition::new(TOPIC, 0);
        let config = metadata_log_config(broker);
        let now = env.clock.wall();
        // `storage format --standalone` leaves a folder with a snapshot and nothing else.
        manager.adopt(&name, Uuid::METADATA_TOPIC).await?;
        let mut writer = match manager.load(&name, config.clone(), now).await? {
            Some((_, writer)) => writer,
            None => manager.create(&name, Uuid::METADATA_TOPIC, config, now).await?,
        };
        // A record that was replayed is acted upon, so it must be as durable as one that was acknowledged.
        writer.renew().await?;
        let folder = manager.folder_of(&name).unwrap_or_default();
        let start = writer.reader().offsets().start;
        let (snapshots, newest) = Snapshots::open(env, &folder, start).await?;
        let replayed = replay(env, &mut writer, newest.as_ref()).await?;
        let node = NodeId(broker.node_id());
        voters::check(&replayed.quorum, node, directory(manager, &folder))?;
        let mut log = MetadataLog {
            epoch: next_epoch(env, &folder, &writer, newest.as_ref()).await?,
            writer,
            env: env.clone(),
            quorum: replayed.quorum,
            snapshots,
            policy: Policy::of(broker),
            newest: replayed.newest,
            bytes_since: replayed.bytes,
            snapshot_at: env.clock.now(),
            retry_at: None,
        };
        let state = QuorumState {
            leader_id: node.0,
            leader_epoch: log.epoch,
        };
        state.write(env, &folder, node, log.quorum.kraft_version).await?;
        let batch =
            voters::first_of_an_epoch(&log.quorum, node, replayed.voters_in_log, now, &log.options())?;
        log.commit(batch, now).await?;
        Ok((log, replayed.loader))
    }

    /// The offset that the next record will get.
    pub fn next_offset(&self) -> Offset {
        self.writer.reader().offsets().end
    }

    /// The epoch in which this node leads.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What the log says of the quorum.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// For reading; clones share the log.
    pub fn reader(&self) -> LogReader {
        self.writer.reader()
    }

    /// Appends records as one batch and makes them durable: they are committed. Returns the offset of the first.
    pub async fn append(&mut self, records: &Records) -> Result<Offset, StartError> {
        let now = self.env.clock.wall();
        let mut builder = BatchBuilder::new();
        for value in records.iter() {
            builder.append(now.as_millis(), None, Some(value), &[])?;
        }
        let batch = builder.finish(&self.options(), &mut Compressor::new())?;
        let bytes = batch.len() as u64;
        let base = self.commit(batch, now).await?;
        self.newest = now;
        self.bytes_since += bytes;
        Ok(base)
    }

    /// Gives the log back for a clean stop.
    pub fn into_writer(self) -> LogWriter {
        self.writer
    }

    /// A batch of this log carries its offsets and epoch when it comes to be appended.
    fn options(&self) -> BatchOptions {
        BatchOptions {
            base_offset: self.next_offset(),
            leader_epoch: self.epoch,
            ..BatchOptions::default()
        }
    }

    async fn commit(&mut self, batch: Vec<u8>, now: Time) -> Result<Offset, StartError> {
        let header = BatchHeader::parse(&batch).ok_or(StartError::MetadataLog("an empty batch".into()))?;
        let info = AppendInfo {
            batch: BatchMeta::from_header(&header, None),
            origin: Origin::RaftLeader,
            leader_epoch: self.epoch,
            now,
            verification: None,
        };
        let appended = self
            .writer
            .append(BytesMut::from(&batch[..]), info)
            .await?
            .appended;
        let (Appended::Written { base_offset, .. } | Appended::Duplicate { base_offset, .. }) = appended;
        let end = self.writer.reader().flush_to(Offset::MAX).await?;
        self.writer.set_high_watermark(end);
        Ok(base_offset)
    }
}

/// The newest snapshot and the log behind it. A log that ends before the snapshot begins anew there, as in Kafka: everything in it
/// is in the snapshot.
async fn replay(
    env: &Env,
    writer: &mut LogWriter,
    newest: Option<&(SnapshotId, Snapshot)>,
) -> Result<Replayed, StartError> {
    let mut replayed = Replayed::new();
    let mut from = 0;
    if let Some((id, snapshot)) = newest {
        let offsets = writer.reader().offsets();
        let last = offsets.epoch.max(0);
        if id.epoch > last || (id.epoch == last && id.offset > offsets.end) {
            tracing::warn!(
                snapshot = %id, end = offsets.end,
                "the metadata log ends before its newest snapshot: it goes on from there"
            );
            writer.reset(id.offset, env.clock.wall()).await?;
        }
        let values: Vec<&[u8]> = snapshot.values().collect();
        replayed.loader.load_snapshot(values, id.offset - 1)?;
        replayed.quorum = snapshot.quorum.clone();
        replayed.voters_in_log = id.offset > 0 && !snapshot.quorum.voters.is_empty();
        replayed.newest = Time(u64::try_from(snapshot.last_contained_timestamp).unwrap_or(0));
        from = id.offset;
        let (offset, epoch) = (id.offset, id.epoch);
        env.observe(|| Event::SnapshotLoaded { offset, epoch });
    }
    replayed.take_log(&writer.reader(), from).await?;
    Ok(replayed)
}

/// The epoch after every one that log, snapshot and `quorum-state` know.
async fn next_epoch(
    env: &Env,
    folder: &std::path::Path,
    writer: &LogWriter,
    newest: Option<&(SnapshotId, Snapshot)>,
) -> Result<Epoch, StartError> {
    let state = QuorumState::read(env, folder).await?;
    let known = [
        state.map_or(0, |state| state.leader_epoch),
        newest.map_or(0, |(id, _)| id.epoch),
        writer.reader().offsets().epoch,
    ];
    Ok(known.into_iter().max().unwrap_or(0).max(0) + 1)
}

/// The id of the log directory that holds the metadata log.
fn directory(manager: &LogManager, folder: &std::path::Path) -> Option<Uuid> {
    let home: PathBuf = folder.parent()?.to_path_buf();
    let all = manager.directories();
    all.into_iter().find(|dir| dir.path == home).map(|dir| dir.id)
}
