//! Why a log directory can't be checked or repaired.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a log directory could not be checked or repaired. Where it was being repaired, it can be tried again.
#[derive(Debug)]
pub enum RepairError {
    /// There is no such directory.
    NoDirectory(PathBuf),
    /// It holds neither `meta.properties` nor partitions, nor is it a partition's folder.
    NoLogDirectory(PathBuf),
    /// A process uses it.
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who holds the lock, as far as the file system tells.
        holder: String,
    },
    /// What has to be copied is more than the disk has room for. Nothing was changed.
    NoRoom {
        /// Bytes to be written.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// The disk refuses; the error names the file.
    Io(io::Error),
    /// After the repair of this folder it is found damaged still: the disk changes what it holds.
    StillDamaged(PathBuf),
}

impl fmt::Display for RepairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RepairError::NoDirectory(path) => write!(f, "there is no directory {}", path.display()),
            RepairError::NoLogDirectory(path) => write!(
                f,
                "{} holds no log: name a directory of log.dirs, or the folder of a partition in one",
                path.display()
            ),
            RepairError::InUse { dir, holder } => write!(
                f,
                "{} is in use ({holder}): stop that process first; nothing was changed",
                dir.display()
            ),
            RepairError::NoRoom { needed, free } => write!(
                f,
                "{needed} bytes have to be copied, the disk has room for {free}: free space and run it again; nothing was changed"
            ),
            RepairError::Io(error) => write!(f, "{error}; once that is mended, run it again"),
            RepairError::StillDamaged(folder) => write!(
                f,
                "{} is damaged still after its repair: the disk does not give back what was written. Copy the directory to \
                 another disk and repair it there",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for RepairError {}

impl From<io::Error> for RepairError {
    fn from(error: io::Error) -> Self {
        RepairError::Io(error)
    }
}
