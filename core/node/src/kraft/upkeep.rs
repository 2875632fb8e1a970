//! When a snapshot is due, and what it makes superfluous (Kafka classes `SnapshotGenerator`, `KafkaRaftLog`).

use std::time::Duration;

use ottla_log::StartCause;
use ottla_metadata::snapshot::SnapshotState;
use ottla_metadata::{MetadataImage, SnapshotId};
use ottla_store::StoreError;
use ottla_types::Event;
use ottla_types::config::BrokerConfig;

use super::MetadataLog;
use super::snapshots::{Job, Kept, Retention};
use crate::start::StartError;

/// How long the next try waits after a snapshot could not be written.
const PAUSE: Duration = Duration::from_secs(10);

/// What the configuration says about snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for 0, never by time.
    interval: Option<Duration>,
    retention: Retention,
}

impl Policy {
    /// From the configuration.
    pub fn of(broker: &BrokerConfig) -> Self {
        let limit = |value: i64| u64::try_from(value).ok();
        let interval = limit(broker.metadata_log_max_snapshot_interval_ms()).unwrap_or(0);
        Policy {
            bytes: limit(broker.metadata_log_max_record_bytes_between_snapshots())
                .unwrap_or(u64::MAX)
                .max(1),
            interval: (interval > 0).then(|| Duration::from_millis(interval)),
            retention: Retention {
                bytes: limit(broker.metadata_max_retention_bytes()),
                ms: limit(broker.metadata_max_retention_ms()),
            },
        }
    }

    /// How often to look whether something is due when nothing happens: as often as Kafka's cleaner does, or as snapshots want it.
    pub fn look_every(&self) -> Duration {
        let least = Duration::from_millis(100);
        let minute = Duration::from_secs(60);
        self.interval
            .map_or(minute, |interval| interval.clamp(least, minute))
    }
}

/// What came of a [`Job`].
pub type Written = Result<(SnapshotId, Kept), String>;

impl MetadataLog {
    /// A snapshot of `image`, which holds all records up to now, if one is due. Until its [`Written`] comes, none is due again.
    pub fn snapshot_if_due(&mut self, image: &MetadataImage) -> Option<Job> {
        let now = self.env.clock.now();
        let waited = now.since(self.snapshot_at);
        let by_time = self.policy.interval.is_some_and(|interval| waited >= interval);
        let again = self.retry_at.is_some_and(|at| now >= at);
        if self.bytes_since == 0 || !(self.bytes_since >= self.policy.bytes || by_time || again) {
            return None;
        }
        let id = SnapshotId {
            offset: image.offset() + 1,
            // This node's own registration at least is of its own epoch.
            epoch: self.epoch,
        };
        // A record behind the image, such as one that a metadata transaction holds back: later.
        if id.offset != self.next_offset() || self.snapshots.contains(id) {
            return None;
        }
        (self.bytes_since, self.snapshot_at, self.retry_at) = (0, now, None);
        let path = |state| self.snapshots.path(id, state);
        Some(Job {
            id,
            image: image.clone(),
            quorum: self.quorum.clone(),
            newest: self.newest,
            paths: (path(SnapshotState::Partial), path(SnapshotState::Whole)),
        })
    }

    /// A snapshot was written, or could not be. Then the log stays as long as it is, and a later one is tried.
    pub async fn written(&mut self, written: Written) -> Result<(), StartError> {
        match written {
            Ok((id, kept)) => {
                tracing::info!(snapshot = %id, bytes = kept.bytes, "wrote a snapshot of the metadata");
                let (offset, epoch) = (id.offset, id.epoch);
                self.env.observe(|| Event::SnapshotWritten { offset, epoch });
                self.snapshots.insert(id, kept);
                self.clean().await
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "a snapshot of the metadata could not be written; it is tried again"
                );
                self.retry_at = Some(self.env.clock.now().after(PAUSE));
                self.bytes_since = self.bytes_since.max(1);
                Ok(())
            }
        }
    }

    /// Cuts the log, and removes snapshots, as far as retention says: from the oldest on, the newest snapshot stays.
    pub async fn clean(&mut self) -> Result<(), StartError> {
        loop {
            let (now, bytes) = (self.env.clock.wall(), self.reader().size_bytes());
            let Some(next) = self.snapshots.next_start(self.policy.retention, bytes, now) else {
                return Ok(());
            };
            tracing::info!(snapshot = %next, "the metadata before this snapshot is removed");
            let cut = async {
                self.writer
                    .move_start(next.offset, StartCause::Snapshot, now)
                    .await?;
                self.writer.maintain(now).await
            };
            match cut.await {
                Err(StoreError::DiskFull { .. }) => return Ok(()),
                other => other?,
            }
            if let Err(error) = self.snapshots.remove_before(&self.env, next).await {
                tracing::warn!(%error, "an old snapshot could not be removed; the next start does it");
            }
        }
    }
}
