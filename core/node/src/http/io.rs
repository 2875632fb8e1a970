//! A stream of ours as hyper wants it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use hyper::rt::{Read, ReadBufCursor, Write};
use ottla_io::Stream;

/// At most this much is read at once: the requests here are small.
const MOST: usize = 4 << 10;

/// A stream for hyper. What it reads goes through a buffer of its own, because a stream appends to a `BytesMut`.
pub struct HttpIo {
    stream: Box<dyn Stream>,
    read: BytesMut,
}

impl HttpIo {
    /// Wraps a connection.
    pub fn new(stream: Box<dyn Stream>) -> Self {
        HttpIo {
            stream,
            read: BytesMut::new(),
        }
    }
}

impl Read for HttpIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let most = into.remaining().min(MOST);
        if most == 0 {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        this.read.clear();
        ready!(this.stream.poll_read(cx, &mut this.read, most))?;
        into.put_slice(&this.read);
        Poll::Ready(Ok(()))
    }
}

impl Write for HttpIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}
