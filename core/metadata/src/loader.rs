//! Replaying a metadata log for publication: records move a private image, and what is shown jumps from one complete state
//! to the next, never into a metadata transaction (Kafka class `MetadataLoader`, KIP-868).

use crate::image::{Changes, MetadataDelta, MetadataImage};
use crate::records;
use ottla_types::{Offset, Violation};
use ottla_wire::{DecodeError, DecodeErrorKind};

/// Replays records and tells what to publish.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Loader {
    image: MetadataImage,
    published: MetadataImage,
    delta: MetadataDelta,
}

impl Loader {
    /// Nothing replayed, nothing published.
    pub fn new() -> Self {
        Loader::default()
    }

    /// The image with every record replayed so far: what the active controller works on. Inside a transaction it holds
    /// that transaction's records.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The image as last published.
    pub fn published(&self) -> &MetadataImage {
        &self.published
    }

    /// Replays the value of the record at `offset`; control records are not for here. After an error nothing more may be
    /// replayed or published: the log holds what cannot be.
    pub fn replay(&mut self, value: &[u8], offset: Offset) -> Result<(), Violation> {
        if offset <= self.image.offset() {
            let detail = format!("offset {offset} after {}", self.image.offset());
            return Err(Violation::new("metadata-offsets-grow", detail));
        }
        self.replay_any(value, offset)
    }

    /// Starts anew from a snapshot's records, which stand for all records up to `last`. What is published stays until the
    /// next [`Loader::publish`].
    pub fn load_snapshot<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a [u8]>,
        last: Offset,
    ) -> Result<(), Violation> {
        self.image = MetadataImage::default();
        for value in values {
            self.replay_any(value, last)?;
        }
        if self.image.in_transaction() {
            return Err(Violation::new(
                "metadata-snapshot-is-complete",
                "it ends inside a metadata transaction",
            ));
        }
        // The old image may hold what the snapshot does not mention: look everywhere.
        self.image.verify()?;
        let changes = Changes::between(&self.published, &self.image);
        self.delta.touch(&changes);
        Ok(())
    }

    /// Publishes what has been replayed, and says what is different; `None` while a transaction is open or nothing new was
    /// replayed.
    pub fn publish(&mut self) -> Result<Option<Changes>, Violation> {
        if self.image.in_transaction() || self.image.offset() == self.published.offset() {
            return Ok(None);
        }
        let delta = std::mem::take(&mut self.delta);
        let changes = delta.changes(&self.published, &self.image);
        for change in changes.partitions.iter().filter(|change| change.before.is_none()) {
            let previous = change.partition.saturating_sub(1).max(0);
            if self.image.topics().partition(change.topic_id, previous).is_none() {
                let detail = format!("{}-{previous} is missing", change.topic);
                return Err(Violation::new("metadata-partitions-without-gap", detail));
            }
        }
        self.published = self.image.clone();
        Ok(Some(changes))
    }

    fn replay_any(&mut self, value: &[u8], offset: Offset) -> Result<(), Violation> {
        let record = records::decode(value).map_err(|error| {
            Violation::new(
                "metadata-record-is-readable",
                format!(
                    "the record at offset {offset} can't be read: {}",
                    unreadable(&error)
                ),
            )
        })?;
        self.image.replay(&record, offset, &mut self.delta)
    }
}

fn unreadable(error: &DecodeError) -> String {
    let most = crate::MAX_METADATA_VERSION;
    match &error.kind {
        DecodeErrorKind::UnknownRecord { id } => {
            format!("no record has type {id} up to metadata.version {most}")
        }
        DecodeErrorKind::UnsupportedVersion { message, version } => {
            format!("{message} has no version {version} up to metadata.version {most}")
        }
        _ => format!("{error:?}"),
    }
}
