//! One TCP connection.
#![allow(
    unsafe_code,
    reason = "received bytes are appended to a buffer without zeroing it first"
)]

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use ottla_io::{File, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::file::Inner;
use crate::sendfile::{self, Sending};

/// A buffer without room grows by this much: a peer's claim of a large frame is met as the bytes come.
const GROW: usize = 64 << 10;
/// Less room than this is not worth a system call.
const WORTHWHILE: usize = 4 << 10;

/// A connection.
pub(crate) struct OsStream {
    tcp: TcpStream,
    peer: SocketAddr,
    sending: Sending,
}

impl OsStream {
    pub(crate) fn new(tcp: TcpStream, peer: SocketAddr) -> Self {
        OsStream {
            tcp,
            peer,
            sending: Sending::default(),
        }
    }
}

impl Stream for OsStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        if buf.capacity() - buf.len() < max.min(WORTHWHILE) {
            buf.reserve(max.min(GROW));
        }
        let spare = buf.spare_capacity_mut();
        let room = spare.len().min(max);
        let mut into = ReadBuf::uninit(&mut spare[..room]);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut into))?;
        let n = into.filled().len();
        // SAFETY: `ReadBuf` counts as filled only what has been initialised, and it lies at the start of the spare room.
        unsafe { buf.advance_mut(n) };
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        sendfile::write_more(cx, &self.tcp, bufs)
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        match file.handle().downcast_ref::<Arc<Inner>>() {
            Some(inner) if inner.can_sendfile() => {
                match ready!(self.sending.direct(cx, &self.tcp, inner, offset, len)) {
                    Some(result) => Poll::Ready(result),
                    None => self.sending.copied(cx, &self.tcp, file, offset, len),
                }
            }
            _ => self.sending.copied(cx, &self.tcp, file, offset, len),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn abort(&mut self) {
        // With a linger of zero the close in drop sends RST. It fails only on a socket that is no connection any more.
        let _ = self.tcp.set_zero_linger();
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}
