//! stdin and stdout, as the file connectors use them when they are given no file.

use std::io;

use bytes::Bytes;
use ottla_io::Op;

/// The process's own streams. Several tasks may share them.
pub trait StandardStreams: Send + Sync {
    /// The next bytes of stdin, as they come; none at its end.
    fn read(&self) -> Op<io::Result<Bytes>>;
    /// Writes all of them to stdout.
    fn write(&self, bytes: Bytes) -> Op<io::Result<()>>;
}

/// No streams: stdin is at its end, stdout takes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStreams;

impl StandardStreams for NoStreams {
    fn read(&self) -> Op<io::Result<Bytes>> {
        Op::ready(Ok(Bytes::new()))
    }

    fn write(&self, _: Bytes) -> Op<io::Result<()>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
