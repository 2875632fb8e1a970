//! A folder that somebody else has made: `kafka-storage format --standalone` leaves the metadata log's with a snapshot and nothing
//! else.

use ottla_types::{TopicPartition, Uuid};

use crate::errors::StoreError;
use crate::folder;
use crate::manager::LogManager;
use crate::names;

impl LogManager {
    /// Gives the folder of `tp` its topic id, if it has neither that nor a segment but something in it: from now on it holds an
    /// empty log. Without this, loading it takes it for a folder that a crash left unfinished, and removes it.
    pub async fn adopt(&self, tp: &TopicPartition, topic_id: Uuid) -> Result<(), StoreError> {
        for dir in self.dirs().iter().filter(|dir| dir.holds(tp)) {
            let folder = dir.folder(tp);
            let found = dir.io("listing a folder", dir.disk().list(&folder).await)?;
            let foreign = |name: &str| !name.ends_with(".tmp");
            let known = |name: &str| name == names::PARTITION_METADATA || name.ends_with(".log");
            if found.iter().any(|e| foreign(&e.name)) && !found.iter().any(|e| known(&e.name)) {
                folder::write_partition_metadata(dir, &folder, topic_id).await?;
            }
        }
        Ok(())
    }
}
