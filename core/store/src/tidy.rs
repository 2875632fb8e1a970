//! What a crash left unfinished in a partition's folder: files half-written, put aside, or about to take another's place.

use std::io;
use std::sync::Arc;

use ottla_io::OpenOptions;
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_types::Offset;

use crate::errors::StorageError;
use crate::files;
use crate::scan::Scan;
use crate::segment::Home;

/// Finishes what a crash interrupted: half-cleaned files go, swapped ones take their place, files put aside and indexes
/// without a log go. Returns the segments' bases, ascending.
pub(crate) async fn tidy(home: &Arc<Home>) -> Result<Vec<Offset>, StorageError> {
    let (dir, folder) = (&home.dir, home.folder());
    let names = dir.io("listing a folder", home.disk().list(&folder).await)?;
    let mut bases = Vec::new();
    let mut others = Vec::new();
    let mut swaps = Vec::new();
    let mut changed = false;
    for name in names.iter().filter_map(|entry| FileName::parse(&entry.name)) {
        let path = folder.join(name.to_string());
        match name.state {
            FileState::Live if name.kind == FileKind::Log => bases.push(name.offset),
            FileState::Live => others.push(name),
            FileState::Swap => swaps.push(name),
            FileState::Cleaned | FileState::Deleted => {
                dir.io("removing a file", files::remove(home.disk(), &path).await)?;
                changed = true;
            }
        }
    }
    if !swaps.is_empty() {
        finish_swaps(home, &swaps, &mut bases, &mut others).await?;
    }
    bases.sort_unstable();
    bases.dedup();
    for name in others {
        if name.kind != FileKind::Snapshot && bases.binary_search(&name.offset).is_err() {
            let removed = files::remove(home.disk(), &folder.join(name.to_string())).await;
            dir.io("removing an index without a log", removed)?;
            changed = true;
        }
    }
    if changed {
        dir.io("syncing a folder", home.disk().sync_dir(&folder).await)?;
    }
    Ok(bases)
}

/// Lets what the cleaner has finished take its place: the segments that a new one was made from go, then it gets its name
/// (`LogLoader.load`). Should a crash interrupt this, the next start does it again.
async fn finish_swaps(
    home: &Arc<Home>,
    swaps: &[FileName],
    bases: &mut Vec<Offset>,
    others: &mut Vec<FileName>,
) -> Result<(), StorageError> {
    let (dir, folder) = (&home.dir, home.folder());
    for name in swaps.iter().filter(|n| n.kind == FileKind::Log) {
        let end = dir.io("reading a swapped segment", swap_end(home, name).await)?;
        let replaced = |base: Offset| base >= name.offset && base < end.max(name.offset + 1);
        let gone = bases
            .extract_if(.., |base| replaced(*base))
            .map(|base| (base, FileKind::Log));
        let gone_too = others
            .extract_if(.., |n| {
                // A snapshot stands for what lies below its offset, which the new segment has not changed.
                replaced(n.offset) && (n.kind != FileKind::Snapshot || n.offset != name.offset)
            })
            .map(|n| (n.offset, n.kind));
        // An index of the new segment may have its name already, if its log is all that is left to rename; it is made anew.
        home.remove_all(gone.chain(gone_too)).await?;
        bases.push(name.offset);
    }
    // Logs last: while one is a swap, the next start finds out again what it replaces.
    let indexes = swaps.iter().filter(|n| n.kind != FileKind::Log);
    for name in indexes.chain(swaps.iter().filter(|n| n.kind == FileKind::Log)) {
        let live = folder.join(name.with_state(FileState::Live).to_string());
        let renamed = home.disk().rename(&folder.join(name.to_string()), &live).await;
        dir.io("finishing a swap", renamed)?;
    }
    dir.io("syncing a folder", home.disk().sync_dir(&folder).await)
}

/// The offset after the last batch of a swapped segment.
async fn swap_end(home: &Home, name: &FileName) -> io::Result<Offset> {
    let path = home.folder().join(name.to_string());
    let file = home.disk().open(&path, OpenOptions::Read).await?;
    let len = file.len().await?;
    let mut scan = Scan::new(file, 0, len);
    let mut end = name.offset;
    while let Some((place, _)) = scan.next().await? {
        end = place.last.saturating_add(1);
    }
    Ok(end)
}
