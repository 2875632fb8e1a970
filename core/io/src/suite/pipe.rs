//! Streams as futures, for the network suite: connect a pair, read and write whole ranges with random chunks.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::Poll;

use bytes::BytesMut;

use super::{both, ok};
use crate::{Env, File, Listener, Rng, Stream};

/// A boxed stream.
pub(crate) type Conn = Box<dyn Stream>;

/// A listener on a free port.
pub(crate) async fn listen(env: &Env, host: &str) -> Box<dyn Listener> {
    let listener = ok("listen on port 0", env.net.listen(host, 0).await);
    assert_ne!(
        listener.local_addr().port(),
        0,
        "the listener must name the port it got"
    );
    listener
}

pub(crate) async fn accept(listener: &mut Box<dyn Listener>) -> (Conn, SocketAddr) {
    ok("accept", poll_fn(|cx| listener.poll_accept(cx)).await)
}

/// A connection's two ends: the one that connected, the one that was accepted.
pub(crate) async fn pair(env: &Env, host: &str) -> (Conn, Conn) {
    let mut listener = listen(env, host).await;
    let port = listener.local_addr().port();
    let (client, (server, peer)) = both(env.net.connect(host, port), accept(&mut listener)).await;
    let client = ok("connect", client);
    assert_eq!(
        client.peer_addr().port(),
        port,
        "the client's peer is the listener"
    );
    assert_eq!(
        server.peer_addr(),
        peer,
        "accept and the stream name the same peer"
    );
    assert_ne!(peer.port(), port, "the peer has a port of its own");
    (client, server)
}

/// Reads at most `max` bytes behind what `buf` holds, and checks that nothing else of it changes.
pub(crate) async fn read(s: &mut Conn, buf: &mut BytesMut, max: usize) -> io::Result<usize> {
    let before = buf.len();
    let result = poll_fn(|cx| s.poll_read(cx, buf, max)).await;
    let n = *result.as_ref().unwrap_or(&0);
    assert!(n <= max, "a read of at most {max} bytes gave {n}");
    assert_eq!(buf.len(), before + n, "the buffer grows by what was read");
    result
}

/// Reads a few bytes at a place where the stream must have ended.
pub(crate) async fn ended(s: &mut Conn, why: &str) {
    assert_eq!(
        ok(why, read(s, &mut BytesMut::new(), 8).await),
        0,
        "{why}: the stream must have ended"
    );
}

pub(crate) async fn write(s: &mut Conn, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    poll_fn(|cx| s.poll_write(cx, bufs)).await
}

/// `None` if the stream would have to wait.
pub(crate) async fn try_write(s: &mut Conn, bytes: &[u8]) -> Option<io::Result<usize>> {
    poll_fn(|cx| match s.poll_write(cx, &[IoSlice::new(bytes)]) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

pub(crate) async fn shutdown(s: &mut Conn) {
    ok("shutdown", poll_fn(|cx| s.poll_shutdown(cx)).await);
}

/// Writes all of `bytes`, in calls of a few slices of random length, some empty.
pub(crate) async fn write_all(s: &mut Conn, bytes: &[u8], rng: &mut Rng) {
    let largest = 1 << rng.between(1, 16);
    let mut done = 0;
    while done < bytes.len() {
        let mut cuts = vec![done];
        for _ in 0..rng.between(1, 6) {
            let last = cuts[cuts.len() - 1];
            cuts.push((last + rng.below(largest) as usize).min(bytes.len()));
        }
        let offered = cuts[cuts.len() - 1] - done;
        if offered == 0 {
            continue;
        }
        let slices: Vec<IoSlice<'_>> = cuts
            .windows(2)
            .map(|w| IoSlice::new(&bytes[w[0]..w[1]]))
            .collect();
        let n = ok("write", write(s, &slices).await);
        assert!((1..=offered).contains(&n), "a write of {offered} bytes took {n}");
        done += n;
    }
}

/// Writes all of `bytes` in as few calls as it takes.
pub(crate) async fn write_plain(s: &mut Conn, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        done += ok("write", write(s, &[IoSlice::new(&bytes[done..])]).await);
    }
}

/// Reads to the end in calls of random size, into a buffer that has room or not.
pub(crate) async fn read_to_end(s: &mut Conn, rng: &mut Rng) -> Vec<u8> {
    let largest = 1 << rng.between(1, 17);
    let mut out = BytesMut::new();
    loop {
        if rng.chance(0.3) {
            out.reserve(rng.below(largest) as usize);
        }
        if ok("read", read(s, &mut out, rng.between(1, largest) as usize).await) == 0 {
            return out.into();
        }
    }
}

/// Reads exactly `len` bytes.
pub(crate) async fn read_exact(s: &mut Conn, len: usize) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(len);
    while out.len() < len {
        let rest = len - out.len();
        let n = ok("read", read(s, &mut out, rest).await);
        assert_ne!(n, 0, "the peer finished after {} of {len} bytes", out.len());
    }
    out.into()
}

/// Writes all of `bytes`, ends, and reads to the end, all at the same time.
pub(crate) async fn exchange(s: &mut Conn, bytes: &[u8]) -> Vec<u8> {
    let (mut got, mut sent, mut ended, mut finished) = (BytesMut::new(), 0, false, false);
    poll_fn(|cx| {
        while !ended {
            let result = if sent < bytes.len() {
                s.poll_write(cx, &[IoSlice::new(&bytes[sent..])])
            } else {
                s.poll_shutdown(cx).map_ok(|()| 0)
            };
            let Poll::Ready(result) = result else { break };
            ended = sent == bytes.len();
            sent += ok("write", result);
        }
        while !finished {
            let Poll::Ready(result) = s.poll_read(cx, &mut got, 64 << 10) else {
                break;
            };
            finished = ok("read", result) == 0;
        }
        if ended && finished {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    got.into()
}

pub(crate) async fn send_file(s: &mut Conn, file: &dyn File, offset: u64, len: usize) -> usize {
    let n = ok(
        "send a file",
        poll_fn(|cx| s.poll_send_file(cx, file, offset, len)).await,
    );
    assert!(n <= len, "sending {len} bytes of a file sent {n}");
    n
}

/// Random bytes.
pub(crate) fn random(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// Equality that says where two long byte strings part instead of printing them.
#[track_caller]
pub(crate) fn same(what: &str, got: &[u8], want: &[u8]) {
    let common = got.iter().zip(want).take_while(|(a, b)| a == b).count();
    if common < got.len() || common < want.len() {
        panic!(
            "{what}: {} bytes came and {} were due; they part at byte {common}",
            got.len(),
            want.len()
        );
    }
}
