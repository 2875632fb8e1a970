//! The sending side: answers as lists of parts (bytes, file ranges), leaving in order and together.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use ottla_io::{File, Stream};

/// How many pieces one vectored write takes.
const PIECES: usize = 16;

/// A piece of an answer.
pub enum Part {
    /// Bytes.
    Bytes(Bytes),
    /// A range of a file; the stream sends it without a copy where it can.
    File {
        /// The file.
        file: Arc<dyn File>,
        /// Where the range begins.
        position: u64,
        /// Its length in bytes.
        len: usize,
    },
}

impl Part {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File { len, .. } => *len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a request is answered with.
pub enum Reply {
    /// These parts, length prefix included.
    Parts(Vec<Part>),
    /// These bytes, length prefix included: the usual case, without a list.
    Bytes(Bytes),
    /// Nothing: a produce request with acks=0.
    Nothing,
    /// The connection is closed, once what was answered before has left.
    Close(Rejected),
}

/// What a peer sent that can't be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The client id it gave, if it was readable; else empty.
    pub client_id: String,
    /// What was wrong, for people.
    pub reason: String,
}

/// Why sending failed.
#[derive(Debug)]
pub enum OutputError {
    /// The stream failed.
    Io(io::Error),
    /// A file was found shorter after the length had gone out; nothing but closing is left.
    FileShrank,
}

impl std::fmt::Display for OutputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OutputError::Io(e) => write!(f, "{e}"),
            OutputError::FileShrank => {
                f.write_str("a segment was cut while an answer from it was being sent")
            }
        }
    }
}

impl std::error::Error for OutputError {}

/// Answers on their way out.
#[derive(Default)]
pub struct Output {
    parts: VecDeque<Part>,
    queued: usize,
}

impl Output {
    /// Adds a part behind the others.
    pub fn push(&mut self, part: Part) {
        if !part.is_empty() {
            self.queued += part.len();
            self.parts.push_back(part);
        }
    }

    /// Bytes that have not left yet.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Sends as much as the peer takes. Ready when all has left.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn Stream,
    ) -> Poll<Result<(), OutputError>> {
        loop {
            let sent = match self.parts.front_mut() {
                None => return Poll::Ready(Ok(())),
                Some(Part::File { file, position, len }) => {
                    let sent = std::task::ready!(stream.poll_send_file(cx, file.as_ref(), *position, *len));
                    match sent.map_err(OutputError::Io)? {
                        0 => return Poll::Ready(Err(OutputError::FileShrank)),
                        n => {
                            (*position, *len) = (*position + n as u64, *len - n);
                            if *len == 0 {
                                self.parts.pop_front();
                            }
                            n
                        }
                    }
                }
                Some(Part::Bytes(_)) => std::task::ready!(self.poll_write(cx, stream))?,
            };
            self.queued -= sent;
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn Stream,
    ) -> Poll<Result<usize, OutputError>> {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for part in self.parts.iter().take(PIECES) {
            let Part::Bytes(bytes) = part else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let slices = &slices[..count];
        // A file range behind these bytes leaves at once too.
        let sent = match self.parts.get(count) {
            Some(Part::File { .. }) => stream.poll_write_more(cx, slices),
            _ => stream.poll_write(cx, slices),
        };
        let sent = std::task::ready!(sent).map_err(OutputError::Io)?;
        if sent == 0 {
            return Poll::Ready(Err(OutputError::Io(io::ErrorKind::WriteZero.into())));
        }
        let mut rest = sent;
        while rest > 0 {
            let Some(Part::Bytes(bytes)) = self.parts.front_mut() else {
                break;
            };
            let n = rest.min(bytes.len());
            bytes.advance(n);
            rest -= n;
            if bytes.is_empty() {
                self.parts.pop_front();
            }
        }
        Poll::Ready(Ok(sent))
    }
}
