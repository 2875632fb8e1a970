//! A file that is opened when it is first used and can be closed when it was idle: ten thousand quiet partitions hold no
//! descriptor. The bytes in it are the business of `index_file` and `segment`.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ottla_io::{Disk, File, OpenOptions};

use crate::log_dir::lock;

/// A file's open handle, if it has one.
#[derive(Default)]
pub(crate) struct Handle {
    open: Mutex<Option<Arc<dyn File>>>,
    used: AtomicBool,
}

impl Handle {
    /// The file at `path`, opened now if it isn't open. Two callers may open it twice; one handle stays.
    pub(crate) async fn get(
        &self,
        disk: &dyn Disk,
        path: impl Fn() -> PathBuf,
        how: OpenOptions,
    ) -> io::Result<Arc<dyn File>> {
        self.used.store(true, Ordering::Relaxed);
        let open = lock(&self.open).clone();
        if let Some(file) = open {
            return Ok(file);
        }
        let file = disk.open(&path(), how).await?;
        Ok(lock(&self.open).get_or_insert(file).clone())
    }

    /// Lets go of the handle.
    pub(crate) fn close(&self) {
        lock(&self.open).take();
    }

    /// Lets go of the handle if nobody used it since the last call.
    pub(crate) fn close_if_idle(&self) {
        if !self.used.swap(false, Ordering::Relaxed) {
            self.close();
        }
    }
}
