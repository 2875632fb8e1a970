//! Sending a range of a file: sendfile(2) from the page cache to the socket, after the pool has brought cold pages in; a copy
//! where a file or its file system can't.
#![allow(unsafe_code, reason = "sendfile(2) and sendmsg(2)")]

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use ottla_io::{File, Op, ReadResult};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::file::Inner;

/// The most bytes of one sendfile, so that a fast reader doesn't keep a worker to itself.
const CHUNK: usize = 1 << 20;
/// The most bytes of one copy.
const COPY: usize = 64 << 10;

/// What a range is called while its sending waits.
type Range = (u64, usize);

/// What a stream remembers between two looks at a file that it sends. A wait belongs to the range that was asked for; asking for
/// another one forgets it.
#[derive(Default)]
pub(crate) enum Sending {
    /// Nothing.
    #[default]
    Idle,
    /// The pool brings the range into memory.
    Warming(Range, Op<()>),
    /// It has, or it was there.
    Warm(Range),
    /// The range is being read, to be copied.
    Reading(Range, Op<ReadResult>),
    /// It has been read, and waits for the socket.
    Read(Range, Bytes),
}

impl Sending {
    /// By sendfile. `None`: it doesn't work for this file.
    pub(crate) fn direct(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &TcpStream,
        inner: &Arc<Inner>,
        offset: u64,
        len: usize,
    ) -> Poll<Option<io::Result<usize>>> {
        let range = (offset, len.min(CHUNK));
        loop {
            match self {
                Sending::Warm(r) if *r == range => {
                    let result = ready!(send(cx, tcp, inner, range));
                    *self = Sending::Idle;
                    return Poll::Ready(match result {
                        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                            inner.cannot_sendfile();
                            None
                        }
                        result => Some(result),
                    });
                }
                Sending::Warming(r, op) if *r == range => {
                    ready!(Pin::new(op).poll(cx));
                    *self = Sending::Warm(range);
                }
                _ if inner.is_cached(range.0, range.1) => *self = Sending::Warm(range),
                _ => *self = Sending::Warming(range, inner.warm(range.0, range.1)),
            }
        }
    }

    /// Through memory.
    pub(crate) fn copied(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &TcpStream,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let range = (offset, len.min(COPY));
        loop {
            match self {
                Sending::Read(r, bytes) if *r == range => {
                    let result = ready!(when_writable(cx, tcp, || tcp.try_write(bytes)));
                    *self = Sending::Idle;
                    return Poll::Ready(result);
                }
                Sending::Reading(r, op) if *r == range => {
                    let (result, buf) = ready!(Pin::new(op).poll(cx));
                    match result {
                        Ok(n) if n > 0 => *self = Sending::Read(range, buf.freeze()),
                        result => {
                            *self = Sending::Idle;
                            return Poll::Ready(result);
                        }
                    }
                }
                _ => {
                    let buf = BytesMut::with_capacity(range.1);
                    *self = Sending::Reading(range, file.read_at(range.0, buf, range.1));
                }
            }
        }
    }
}

/// Tries until the socket takes something; `attempt` says `WouldBlock` when it doesn't.
fn when_writable(
    cx: &mut Context<'_>,
    tcp: &TcpStream,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        match attempt() {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Writes bytes that a file range follows. The kernel keeps what does not fill a packet until then (MSG_MORE), so that the head of an
/// answer doesn't leave by itself and wake the peer for a few bytes.
pub(crate) fn write_more(
    cx: &mut Context<'_>,
    tcp: &TcpStream,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    when_writable(cx, tcp, || {
        tcp.try_io(Interest::WRITABLE, || {
            // SAFETY: all zeros is a valid `msghdr`: no address, no buffers, no control data.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = bufs.as_ptr().cast_mut().cast();
            message.msg_iovlen = bufs.len() as _;
            // SAFETY: the descriptor is open over the call; `IoSlice` has the layout of `iovec`, and the kernel only reads
            // the buffers, which outlive the call.
            let n = unsafe { libc::sendmsg(tcp.as_raw_fd(), &message, libc::MSG_MORE | libc::MSG_NOSIGNAL) };
            usize::try_from(n).map_err(|_| io::Error::last_os_error())
        })
    })
}

fn send(
    cx: &mut Context<'_>,
    tcp: &TcpStream,
    inner: &Inner,
    (offset, len): Range,
) -> Poll<io::Result<usize>> {
    let Ok(start) = libc::off_t::try_from(offset) else {
        return Poll::Ready(Ok(0));
    };
    when_writable(cx, tcp, || {
        tcp.try_io(Interest::WRITABLE, || {
            let mut at = start;
            // SAFETY: both descriptors are open over the call, and `at` is a valid, writable offset.
            let n = unsafe { libc::sendfile(tcp.as_raw_fd(), inner.file().as_raw_fd(), &mut at, len) };
            usize::try_from(n).map_err(|_| io::Error::last_os_error())
        })
    })
}
