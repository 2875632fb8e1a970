//! Kafka's `quorum-state` file, of which one voter needs only who leads and since when (Kafka class `FileQuorumStateStore`).

use std::path::Path;

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, OpenOptions};
use ottla_types::{Epoch, NodeId, Uuid};

use super::files;
use crate::start::StartError;

const NAME: &str = "quorum-state";

/// Who leads, and since when.
pub struct QuorumState {
    /// The leader's `node.id`.
    pub leader_id: i32,
    /// In this epoch.
    pub leader_epoch: Epoch,
}

impl QuorumState {
    /// What the file says; `None` if there is none. Either version of it is read.
    pub async fn read(env: &Env, folder: &Path) -> Result<Option<Self>, StartError> {
        let path = folder.join(NAME);
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

    /// Written aside, synced and renamed, so that a crash leaves the old or the new state: in version 0 while the voters are
    /// configured, in version 1 when they stand in the log.
    pub async fn write(
        &self,
        env: &Env,
        folder: &Path,
        node: NodeId,
        kraft_version: i16,
    ) -> Result<(), StartError> {
        let (leader, epoch) = (self.leader_id, self.leader_epoch);
        let text = if kraft_version == 0 {
            format!(
                "{{\"clusterId\":\"\",\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":-1,\"appliedOffset\":0,\
                 \"currentVoters\":[{{\"voterId\":{}}}],\"data_version\":0}}",
                node.0
            )
        } else {
            format!(
                "{{\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":-1,\"votedDirectoryId\":\"{}\",\"data_version\":1}}",
                Uuid::ZERO
            )
        };
        let (path, aside) = (folder.join(NAME), folder.join("quorum-state.tmp"));
        let io = |e: std::io::Error| StartError::MetadataLog(e.to_string());
        files::write_new(env, &aside, Bytes::from(text))
            .await
            .map_err(io)?;
        env.disk.rename(&aside, &path).await.map_err(io)?;
        env.disk.sync_dir(folder).await.map_err(io)
    }
}
