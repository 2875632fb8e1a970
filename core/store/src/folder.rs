//! A partition's folder: making one, its `partition.metadata`, and one whose making a crash interrupted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_log::{Log, SegmentState};
use ottla_types::{TopicPartition, Uuid};

use crate::checkpoint;
use crate::errors::{LoadError, StorageError, StoreError};
use crate::files;
use crate::load::Terms;
use crate::log_dir::LogDir;
use crate::names;
use crate::segment::{Home, Segment};
use crate::shared::Shared;
use crate::writer::LogWriter;

/// Whether a crash interrupted the making of this folder: it has no `partition.metadata`, which comes before the first batch, and
/// no batch either.
pub(crate) async fn is_unfinished(dir: &LogDir, tp: &TopicPartition) -> Result<bool, StorageError> {
    let names = dir.io("listing a folder", dir.disk().list(&dir.folder(tp)).await)?;
    let batches = |name: &str, len: u64| name.ends_with(".log") && len > 0;
    Ok(!names
        .iter()
        .any(|e| e.name == names::PARTITION_METADATA || batches(&e.name, e.len)))
}

/// Makes the writer of a new, empty log in a folder that is there.
pub(crate) async fn create(
    dir: &Arc<LogDir>,
    tp: &TopicPartition,
    topic_id: Uuid,
    terms: Terms,
) -> Result<LogWriter, StoreError> {
    let home = Arc::new(Home::new(dir.clone(), dir.folder(tp)));
    let mut effects = Vec::new();
    let log = Log::create(0, terms.now, &mut effects);
    let nothing = Arc::new(Segment::found(home.clone(), &SegmentState::new(0, terms.now), 0));
    let shared = Arc::new(Shared::new(tp.clone(), topic_id, home, &log, Vec::new()));
    let mut writer = LogWriter::new(shared.clone(), log, terms.cfg, nothing, terms.delete_delay_ms);
    writer.effects = effects;
    writer.carry_out_plain(terms.now).await?;
    dir.register(&shared);
    Ok(writer)
}

/// The topic id of a folder's `partition.metadata`.
pub(crate) async fn topic_id(dir: &LogDir, folder: &Path) -> Result<Uuid, LoadError> {
    let read = files::read_text(dir.disk(), &folder.join(names::PARTITION_METADATA)).await;
    let bad = |reason: String| LoadError::NoTopicId {
        folder: folder.to_path_buf(),
        reason,
    };
    let text = match read {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(bad(e.to_string())),
        other => dir.io("reading partition.metadata", other)?,
    };
    let text = text.ok_or_else(|| bad("it is missing".into()))?;
    checkpoint::read_partition_metadata(&text).map_err(bad)
}

/// The content of `partition.metadata`, written before the first append, without which Kafka takes a folder for a stray.
pub(crate) async fn write_partition_metadata(
    dir: &LogDir,
    folder: &Path,
    topic_id: Uuid,
) -> Result<(), StoreError> {
    let text = Bytes::from(checkpoint::write_partition_metadata(topic_id));
    let written = files::replace(dir.disk(), &folder.join(names::PARTITION_METADATA), text).await;
    dir.io_or_full("writing partition.metadata", written)
}
