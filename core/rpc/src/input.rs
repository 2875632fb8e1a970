//! The receiving side: bytes of a stream cut into frames, each in one piece of memory.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use ottla_io::Stream;
use ottla_wire::framing;

/// What one read may take when no large frame is under way: enough for several small requests.
const CHUNK: usize = 64 * 1024;
/// A frame with at least this much missing is read by itself, so that it ends where the buffer ends and needs no copy.
const ALONE: usize = 32 * 1024;

/// Why a stream gives no more frames.
#[derive(Debug)]
pub enum FrameError {
    /// The peer closed between two frames.
    End,
    /// The peer closed within a frame.
    Cut {
        /// Bytes of it that had come.
        have: usize,
    },
    /// The announced size is negative, or above the limit (`socket.request.max.bytes`).
    Size(framing::FrameError),
    /// The stream failed.
    Io(io::Error),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::End => f.write_str("the peer closed the connection"),
            FrameError::Cut { have } => write!(
                f,
                "the peer closed the connection within a frame, after {have} bytes of it"
            ),
            FrameError::Size(error) => write!(f, "{error}; socket.request.max.bytes sets the limit"),
            FrameError::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Collects bytes into frames. Memory follows what has arrived (at most doubled), never what a peer announces.
pub struct Input {
    buffer: BytesMut,
    max_frame: usize,
}

impl Input {
    /// Accepts frames of up to `max_frame` bytes.
    pub fn new(max_frame: usize) -> Self {
        Input {
            buffer: BytesMut::new(),
            max_frame,
        }
    }

    /// The next frame, if all of it has arrived. It stays.
    pub fn peek(&self) -> Option<&[u8]> {
        let (prefix, rest) = self.buffer.split_first_chunk::<4>()?;
        let size = usize::try_from(i32::from_be_bytes(*prefix)).ok()?;
        rest.get(..size)
    }

    /// The next frame without its length prefix, if all of it has arrived; else how many bytes it needs in all, if known.
    pub fn next_frame(&mut self) -> Result<Result<BytesMut, Option<usize>>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else {
            return Ok(Err(None));
        };
        let size = framing::frame_length(*prefix, self.max_frame).map_err(FrameError::Size)?;
        if self.buffer.len() - 4 < size {
            return Ok(Err(Some(size)));
        }
        self.buffer.advance(4);
        Ok(Ok(self.buffer.split_to(size)))
    }

    /// Reads what the stream has. `need` is what [`Input::next_frame`] said.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn Stream,
        need: Option<usize>,
    ) -> Poll<Result<(), FrameError>> {
        let have = self.buffer.len();
        let missing = need.map_or(0, |n| n + 4 - have);
        let max = if missing >= ALONE { missing } else { CHUNK };
        let spare = self.buffer.capacity() - have;
        if spare < max.min(4096) {
            self.buffer.reserve(max.min(have.max(CHUNK)));
        }
        let room = (self.buffer.capacity() - have).min(max);
        match std::task::ready!(stream.poll_read(cx, &mut self.buffer, room)) {
            Ok(0) if have == 0 => Poll::Ready(Err(FrameError::End)),
            Ok(0) => Poll::Ready(Err(FrameError::Cut { have })),
            Ok(_) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(FrameError::Io(e))),
        }
    }

    /// Takes a frame's memory back once nobody looks into it, so that the next one needs no allocation.
    pub fn recycle(&mut self, mut frame: BytesMut) {
        if self.buffer.is_empty() {
            frame.clear();
            // Reclaims the whole allocation if this is its last owner; the old buffer is then dropped.
            self.buffer = BytesMut::new();
            if frame.try_reclaim(CHUNK) {
                self.buffer = frame;
            }
        }
    }
}
