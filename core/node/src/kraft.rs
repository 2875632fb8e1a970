//! The metadata log of a quorum with one voter: this node. It elects itself in a new epoch at every start, and what it has synced
//! is committed. The full protocol is `core/quorum`'s to come; the files are Kafka's already.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, OpenOptions, write_all_at};
use ottla_log::{AppendInfo, Appended, BatchMeta, Origin};
use ottla_metadata::Records;
use ottla_store::{LogManager, LogReader, LogWriter, Upto};
use ottla_types::config::BrokerConfig;
use ottla_types::{Epoch, NodeId, Offset, Time, TopicPartition, Uuid};
use ottla_wire::control_records::leader_change_message::{LeaderChangeMessage, Voter};
use ottla_wire::records::{
    BatchBuilder, BatchHeader, BatchOptions, Batches, Compressor, ControlType, control_batch,
};

use crate::log_config::metadata_log_config;
use crate::start::StartError;

/// The metadata log's name.
pub const TOPIC: &str = "__cluster_metadata";
/// How much is read at once when the log is replayed.
const READ: usize = 1 << 20;

/// The log of `__cluster_metadata-0`, led by this node.
pub struct MetadataLog {
    writer: LogWriter,
    epoch: Epoch,
    env: Env,
}

/// A record's value, as it is replayed.
pub type Replay<'a> = &'a mut (dyn FnMut(Offset, &[u8]) -> Result<(), StartError> + Send);

impl MetadataLog {
    /// Opens or creates the log, replays its records, and takes the lead in a new epoch.
    pub async fn open(
        env: &Env,
        manager: &LogManager,
        broker: &BrokerConfig,
        replay: Replay<'_>,
    ) -> Result<Self, StartError> {
        let name = TopicPartition::new(TOPIC, 0);
        let config = metadata_log_config(broker);
        let now = env.clock.wall();
        let writer = match manager.load(&name, config.clone(), now).await? {
            Some((_, writer)) => writer,
            None => manager.create(&name, Uuid::METADATA_TOPIC, config, now).await?,
        };
        // A record that was replayed is acted upon, so it must be as durable as one that was acknowledged.
        writer.renew().await?;
        let folder = manager.folder_of(&name).unwrap_or_default();
        replay_log(&writer, replay).await?;
        let quorum = QuorumState::read(env, &folder).await?;
        let newest = writer.reader().offsets().epoch;
        let epoch = quorum.map_or(0, |q| q.leader_epoch).max(newest).max(0) + 1;
        let node = NodeId(broker.node_id());
        QuorumState {
            leader_id: node.0,
            leader_epoch: epoch,
        }
        .write(env, &folder, node)
        .await?;
        let mut log = MetadataLog {
            writer,
            epoch,
            env: env.clone(),
        };
        log.announce(node).await?;
        Ok(log)
    }

    /// The offset that the next record will get.
    pub fn next_offset(&self) -> Offset {
        self.writer.reader().offsets().end
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
        self.commit(batch, now).await
    }

    /// Gives the log back for a clean stop.
    pub fn into_writer(self) -> LogWriter {
        self.writer
    }

    /// The control record that begins an epoch.
    async fn announce(&mut self, node: NodeId) -> Result<Offset, StartError> {
        let now = self.env.clock.wall();
        let voter = || {
            vec![Voter {
                voter_id: node.0,
                ..Default::default()
            }]
        };
        let message = LeaderChangeMessage {
            version: 0,
            leader_id: node.0,
            voters: voter(),
            granting_voters: voter(),
        };
        let mut value = Vec::new();
        message.encode(&mut value, 0)?;
        let batch = control_batch(
            now.as_millis(),
            &[(ControlType::LeaderChange, &value)],
            &self.options(),
        )?;
        self.commit(batch, now).await
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

/// Every data record of the log, in order.
async fn replay_log(writer: &LogWriter, replay: Replay<'_>) -> Result<(), StartError> {
    let reader = writer.reader();
    let (mut at, end) = (reader.offsets().start, reader.offsets().end);
    while at < end {
        let slice = reader.read(at, READ, Upto::LogEnd, true).await?;
        let Some(file) = &slice.file else { break };
        let (read, bytes) =
            ottla_io::read_exact_at(file.as_ref(), slice.position, BytesMut::new(), slice.len).await;
        read.map_err(|e| StartError::MetadataLog(e.to_string()))?;
        let mut moved = false;
        for batch in Batches::tolerant(&bytes) {
            let batch = batch?;
            let header = batch.header();
            if header.last_offset() >= at {
                at = header.last_offset() + 1;
                moved = true;
                if !header.attributes.is_control() {
                    for record in batch.records() {
                        let record = record?;
                        replay(
                            header.base_offset + i64::from(record.offset_delta),
                            record.value.unwrap_or_default(),
                        )?;
                    }
                }
            }
        }
        if !moved {
            return Err(StartError::MetadataLog(format!(
                "no batch at offset {at}, below the end {end}"
            )));
        }
    }
    Ok(())
}

/// Kafka's `quorum-state` file, of which one voter needs only who leads and since when.
struct QuorumState {
    leader_id: i32,
    leader_epoch: Epoch,
}

impl QuorumState {
    async fn read(env: &Env, folder: &Path) -> Result<Option<Self>, StartError> {
        let path = folder.join("quorum-state");
        let file = match env.disk.open(&path, OpenOptions::Read).await {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StartError::MetadataLog(e.to_string())),
        };
        let (read, bytes) = ottla_io::read_exact_at(file.as_ref(), 0, BytesMut::new(), 1 << 16).await;
        read.map_err(|e| StartError::MetadataLog(e.to_string()))?;
        let bad = || {
            StartError::MetadataLog(format!(
                "{} is not Kafka's JSON; remove it only if this is the sole voter",
                path.display()
            ))
        };
        let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let number = |key: &str| {
            json.get(key)
                .and_then(serde_json::Value::as_i64)
                .and_then(|n| i32::try_from(n).ok())
        };
        let (leader_id, leader_epoch) = (
            number("leaderId").ok_or_else(bad)?,
            number("leaderEpoch").ok_or_else(bad)?,
        );
        Ok(Some(QuorumState {
            leader_id,
            leader_epoch,
        }))
    }

    /// Written aside, synced and renamed, so that a crash leaves the old or the new state.
    async fn write(&self, env: &Env, folder: &Path, node: NodeId) -> Result<(), StartError> {
        let text = format!(
            "{{\"clusterId\":\"\",\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":-1,\"appliedOffset\":0,\
             \"currentVoters\":[{{\"voterId\":{}}}],\"data_version\":0}}",
            self.leader_id, self.leader_epoch, node.0
        );
        let (path, aside): (PathBuf, PathBuf) =
            (folder.join("quorum-state"), folder.join("quorum-state.tmp"));
        let io = |e: std::io::Error| StartError::MetadataLog(e.to_string());
        let file: Arc<dyn ottla_io::File> = env.disk.open(&aside, OpenOptions::Truncate).await.map_err(io)?;
        write_all_at(file.as_ref(), 0, vec![Bytes::from(text)])
            .await
            .0
            .map_err(io)?;
        file.sync_data().await.map_err(io)?;
        env.disk.rename(&aside, &path).await.map_err(io)?;
        env.disk.sync_dir(folder).await.map_err(io)
    }
}
