//! Byte streams between nodes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::{File, Op};

/// A node's network.
pub trait Net: Send + Sync {
    /// Listens on `host:port`; port 0 picks a free one.
    fn listen(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Listener>>>;
    /// Connects to `host:port`. Fails as the peer's state demands: refused when nobody listens there, timed out when nothing
    /// answers.
    fn connect(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Stream>>>;
}

/// An open port.
pub trait Listener: Send {
    /// The next connection and its peer. An error of one connection does not end the listener.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>>;
    /// The address that peers connect to.
    fn local_addr(&self) -> SocketAddr;
}

/// One connection. Reading and writing may wait at the same time, from one task; each keeps its own waker.
pub trait Stream: Send {
    /// Appends at most `max` (not 0) received bytes to `buf`, into its spare capacity, which it may grow. 0 means that the peer
    /// has finished sending. Appending spares the hot path the zeroing of a buffer that is overwritten anyway. Dropping a
    /// stream whose input was not read to the end may reset the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>>;
    /// Takes some of `bufs`, in order, and says how much. Written bytes leave by themselves; waits when the peer's window is full.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    /// The same, by a caller that has more to send at once: the bytes may wait for it, so that they leave together.
    fn poll_write_more(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bufs)
    }
    /// Sends up to `len` bytes of `file` from `offset`, without a copy where the back end can. 0 means that the file ends
    /// before `offset`: the length that went out ahead was a lie, and the connection must be closed.
    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Poll<io::Result<usize>>;
    /// Ends our side; what the peer still sends can be read.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Makes the coming drop a reset (RST), so that the peer does not take what it has for the whole.
    fn abort(&mut self);
    /// The peer's address.
    fn peer_addr(&self) -> SocketAddr;
}
