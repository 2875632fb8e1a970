//! Reading a log's segments again: for recovery, for the place of a cut, for the producer table as of an offset. What the bytes
//! mean is decided in `ottla_log::recovery`; here they are fed to it.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{File, Tasks, run_blocking};
use ottla_log::format::file_name::{FileKind, FileName, FileState};
use ottla_log::recovery::{SegmentReport, SegmentScan};
use ottla_log::{LogConfig, Producers};
use ottla_types::{Offset, Time, Violation};

use crate::errors::StoreError;
use crate::files;
use crate::log_dir::LogDir;
use crate::segment::Home;

/// Bytes read at once where every byte is checked.
const WHOLE: usize = 1 << 20;
/// Bytes read at once where only headers are looked at.
const HEADERS: usize = 4096;

/// How a segment is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every byte: the checksums are computed on the pool.
    Whole,
    /// Headers and markers.
    Headers,
}

/// Runs a scan over a segment's file.
pub(crate) async fn run(
    dir: &LogDir,
    file: &dyn File,
    scan: SegmentScan,
    depth: Depth,
) -> Result<SegmentReport, StoreError> {
    let read = run_scan(&*dir.env.tasks, file, scan, depth).await;
    Ok(dir.io("reading a segment", read)??)
}

async fn run_scan(
    tasks: &dyn Tasks,
    file: &dyn File,
    mut scan: SegmentScan,
    depth: Depth,
) -> io::Result<Result<SegmentReport, Violation>> {
    let chunk = if depth == Depth::Whole { WHOLE } else { HEADERS };
    let mut buf = BytesMut::new();
    while let Some(position) = scan.wants() {
        buf.clear();
        let (count, back) = file.read_at(position, buf, chunk).await;
        buf = back;
        match count {
            Ok(0) => scan.ended(),
            Ok(_) if depth == Depth::Headers => {
                if let Err(violation) = scan.feed(&buf) {
                    return Ok(Err(violation));
                }
            }
            Ok(_) => {
                let fed = run_blocking(tasks, "recover", move || {
                    let result = scan.feed(&buf);
                    (scan, buf, result)
                });
                let Some((scan_back, buf_back, result)) = fed.await else {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "the node is stopping"));
                };
                (scan, buf) = (scan_back, buf_back);
                if let Err(violation) = result {
                    return Ok(Err(violation));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Ok(scan.finish()))
}

/// The offsets of the producer snapshots in a folder, ascending.
pub(crate) async fn snapshots(home: &Home) -> io::Result<Vec<Offset>> {
    let names = home.disk().list(&home.folder()).await?;
    let snapshots = names.iter().filter_map(|e| FileName::parse(&e.name));
    Ok(snapshots
        .filter(|n| n.kind == FileKind::Snapshot && n.state == FileState::Live)
        .map(|n| n.offset)
        .collect())
}

/// The producer table by the newest readable snapshot at or below `offset`; unreadable ones are removed, as in Kafka. Without one, the
/// table is empty and stands at `start`, and everything from there on has to be read.
pub(crate) async fn newest_snapshot(
    home: &Arc<Home>,
    offset: Offset,
    start: Offset,
    cfg: &LogConfig,
    now: Time,
) -> Result<(Option<Offset>, Producers), StoreError> {
    let dir = &home.dir;
    let found = dir.io("listing a folder", snapshots(home).await)?;
    for at in found.into_iter().rev().filter(|at| *at <= offset && *at >= start) {
        let path = home.file(at, FileKind::Snapshot);
        let bytes = dir.io(
            "reading a producer snapshot",
            files::read(dir.disk(), &path).await,
        )?;
        match Producers::from_snapshot(at, &bytes.unwrap_or_default(), now, cfg.producer_expiration_ms) {
            Ok(producers) => return Ok((Some(at), producers)),
            Err(_) => dir.io(
                "removing a producer snapshot",
                files::remove(dir.disk(), &path).await,
            )?,
        }
    }
    Ok((None, Producers::new(start)))
}
