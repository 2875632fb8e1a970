//! Formatting a node's log directories (`kafka-storage format`): who they belong to, the records that a fresh cluster begins with, and
//! who votes.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_io::Env;
use ottla_metadata::controller::{DEFAULT_FEATURES, format_records};
use ottla_metadata::snapshot::{Head, write};
use ottla_metadata::{Quorum, Records, Snapshot, SnapshotId};
use ottla_store::{Format, FormatError, format_dir};
use ottla_types::config::BrokerConfig;
use ottla_types::{NodeId, Time};

use crate::kraft;
use crate::start::{StartError, random_uuid};

/// The records that the first controller of a cluster begins with.
const BOOTSTRAP: &str = "bootstrap.checkpoint";

/// Formats each directory of `log.dirs` that isn't formatted. Returns those that were. Without `controller.quorum.voters` the quorum is this
/// node alone, as the log will say (`kafka-storage format --standalone`).
pub async fn format(env: &Env, config: &BrokerConfig, cluster_id: &str) -> Result<Vec<PathBuf>, StartError> {
    let mut formatted = Vec::new();
    let now = env.clock.wall();
    let records = format_records(&DEFAULT_FEATURES).map_err(|e| StartError::MetadataLog(format!("{e:?}")))?;
    for path in config.log_dirs().into_iter().map(PathBuf::from) {
        let directory_id = random_uuid(env, "format");
        let metadata = path == Path::new(&config.metadata_log_dir());
        if metadata && config.quorum_voters().is_empty() {
            let quorum = kraft::initial_quorum(config, directory_id);
            let content = snapshot(now, now, &quorum, &Records::unbounded(0))?;
            kraft::write_first_snapshot(env, &path, content)
                .await
                .map_err(|e| StartError::Format(FormatError::Io(path.clone(), e)))?;
        }
        let format = Format {
            cluster_id: cluster_id.to_string(),
            node_id: NodeId(config.node_id()),
            directory_id,
            bootstrap: Some(snapshot(now, Time(0), &Quorum::default(), &records)?),
        };
        match format_dir(env, &path, format).await {
            Ok(()) => formatted.push(path),
            Err(FormatError::AlreadyFormatted(_)) => {}
            Err(error) => return Err(StartError::Format(error)),
        }
    }
    Ok(formatted)
}

/// A snapshot of nothing that any log has held (Kafka classes `BootstrapDirectory`, `Formatter`).
fn snapshot(now: Time, newest: Time, quorum: &Quorum, records: &Records) -> Result<Bytes, StartError> {
    let head = Head {
        id: SnapshotId { offset: 0, epoch: 0 },
        now: now.as_millis(),
        last_contained_timestamp: newest.as_millis(),
        quorum,
    };
    Ok(write(&head, records)?.into())
}

/// What `storage format` left for the first controller; the usual levels if it left nothing, as in Kafka.
pub async fn bootstrap(env: &Env, config: &BrokerConfig) -> Result<Vec<Vec<u8>>, StartError> {
    let path = Path::new(&config.metadata_log_dir()).join(BOOTSTRAP);
    let bad = |reason: String| {
        StartError::MetadataLog(format!(
            "{} can't be used: {reason}. Format the directory anew: it holds no metadata yet",
            path.display()
        ))
    };
    let read = kraft::read_file(env, &path).await;
    let Some(bytes) = read.map_err(|e| bad(e.to_string()))? else {
        let records = format_records(&DEFAULT_FEATURES).map_err(|e| bad(format!("{e:?}")))?;
        return Ok(records.iter().map(<[u8]>::to_vec).collect());
    };
    let snapshot = Snapshot::read(&bytes).map_err(|e| bad(e.to_string()))?;
    Ok(snapshot.values().map(<[u8]>::to_vec).collect())
}
