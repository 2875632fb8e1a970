//! Whole small files: reading one with a bound, replacing one so that a crash leaves the old or the new content. Segments and
//! indexes, which grow, are elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use ottla_io::{Disk, OpenOptions, read_exact_at, write_all_at};

/// Files larger than this are none of ours: a checkpoint of a million partitions with the longest names still fits.
const LARGEST: u64 = 512 << 20;

/// The content of `path`, or `None` if there is no such file.
pub(crate) async fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Bytes>> {
    let file = match disk.open(path, OpenOptions::Read).await {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = file.len().await?;
    if len > LARGEST {
        let text = format!(
            "{}: {len} bytes are more than such a file can hold",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let len = len as usize;
    let (done, buf) = read_exact_at(&*file, 0, BytesMut::with_capacity(len), len).await;
    done?;
    Ok(Some(buf.freeze()))
}

/// Like [`read`], as text.
pub(crate) async fn read_text(disk: &dyn Disk, path: &Path) -> io::Result<Option<String>> {
    let Some(bytes) = read(disk, path).await? else {
        return Ok(None);
    };
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: not UTF-8 text", path.display()),
        )),
    }
}

/// Puts `content` in the place of `path`: written beside it, synced, renamed over it, the directory synced. Kafka writes all its
/// checkpoints this way (`CheckpointFile.write`). An error leaves the old content, and nothing beside it that takes up room.
pub(crate) async fn replace(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let beside = with_suffix(path, ".tmp");
    let written = async {
        write_new(disk, &beside, content).await?;
        disk.rename(&beside, path).await
    };
    if let Err(error) = written.await {
        // What went wrong before is what counts.
        let _ = remove(disk, &beside).await;
        return Err(error);
    }
    match path.parent() {
        Some(dir) => disk.sync_dir(dir).await,
        None => Ok(()),
    }
}

/// Writes `path` anew and syncs its bytes, not its name.
pub(crate) async fn write_new(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let file = disk.open(path, OpenOptions::Truncate).await?;
    write_all_at(&*file, 0, vec![content]).await.0?;
    file.sync_data().await
}

/// Removes `path`; no error if it is gone already.
pub(crate) async fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes the names on the way to the directory `path` durable, and those in it: a log directory that a power loss takes away takes
/// everything in it away. Not only after making it: a process that died in between leaves names that nobody has synced.
pub(crate) async fn sync_way_to(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for dir in path.ancestors() {
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        match disk.sync_dir(dir).await {
            // Somebody else's directory, which was there before.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && dir != path => {}
            done => done?,
        }
    }
    Ok(())
}

/// Whether the disk only had no room: nothing is broken, and the same call may succeed later.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | WriteZero | FileTooLarge
    )
}

/// `path` with `suffix` behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
