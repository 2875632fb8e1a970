//! Requests that arrive together: the service hears of the next one, and unfinished work is looked at again without a wake-up.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_io::{Clock, File, Mono, Op, Sleep, Stream};
use ottla_rpc::{Budget, Limits, Peer, Reply, Service, Stop, serve};
use ottla_types::Time;

/// Gives all its bytes in one read, then nothing more.
struct Once {
    input: Vec<u8>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Stream for Once {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut BytesMut, max: usize) -> Poll<io::Result<usize>> {
        let n = self.input.len().min(max);
        if n == 0 {
            return Poll::Pending;
        }
        buf.extend(self.input.drain(..n));
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut sent = self.sent.lock().unwrap();
        let before = sent.len();
        bufs.iter().for_each(|b| sent.extend_from_slice(b));
        Poll::Ready(Ok(sent.len() - before))
    }

    fn poll_send_file(
        &mut self,
        _: &mut Context<'_>,
        _: &dyn File,
        _: u64,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        panic!("no file is sent here")
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {}

    fn peer_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 1).into()
    }
}

struct Never;

impl Clock for Never {
    fn now(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Time {
        Time(0)
    }

    fn sleep_until(&self, _: Mono) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// Answers with the request. Those that have one behind them are ready only at the next look.
#[derive(Default)]
struct Echo {
    ahead: Mutex<Vec<(u8, u8)>>,
}

fn reply(frame: &[u8]) -> Reply {
    Reply::Bytes(Bytes::from(framed(frame)))
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

impl Service for Echo {
    fn call(&self, _: &Peer, frame: BytesMut) -> Op<(Reply, Option<BytesMut>)> {
        Op::ready((reply(&frame), Some(frame)))
    }

    fn call_ahead(&self, _: &Peer, frame: BytesMut, next: &[u8]) -> Op<(Reply, Option<BytesMut>)> {
        self.ahead.lock().unwrap().push((frame[0], next[0]));
        Op::pending(async move { (reply(&frame), Some(frame)) })
    }
}

fn answers(input: Vec<u8>, max_in_flight: usize) -> (Vec<u8>, Vec<(u8, u8)>) {
    let (sent, echo) = (Arc::default(), Echo::default());
    let stream = Box::new(Once {
        input,
        sent: Arc::clone(&sent),
    });
    let peer = Peer {
        addr: stream.peer_addr(),
        listener: "PLAINTEXT".into(),
        id: 1,
    };
    let limits = Limits {
        max_frame: 1 << 20,
        max_in_flight,
        max_queued: 1 << 20,
        idle: Duration::from_secs(600),
        memory: Budget::new(usize::MAX),
    };
    let stop = Stop::default();
    let mut serving = pin!(serve(stream, peer, &echo, &limits, &stop, &Never));
    // One look, and nobody ever wakes it.
    assert!(
        serving
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let sent = sent.lock().unwrap().clone();
    let ahead = echo.ahead.lock().unwrap().clone();
    (sent, ahead)
}

#[test]
fn each_hears_of_the_next_and_all_are_answered_in_order() {
    let requests: Vec<Vec<u8>> = (0..5).map(|n| vec![n; 100 + usize::from(n)]).collect();
    let input = requests.iter().flat_map(|r| framed(r)).collect::<Vec<_>>();
    for max_in_flight in [1, 2, 3, 100] {
        let (sent, ahead) = answers(input.clone(), max_in_flight);
        assert_eq!(sent, input, "{max_in_flight} in flight");
        assert_eq!(ahead, [(0, 1), (1, 2), (2, 3), (3, 4)]);
    }
}

#[test]
fn a_frame_that_is_not_whole_yet_is_nothing_to_hear_of() {
    let whole = framed(&[7; 50]);
    let mut input = whole.clone();
    input.extend_from_slice(&framed(&[8; 50])[..53]);
    let (sent, ahead) = answers(input, 100);
    assert_eq!((sent, ahead), (whole, vec![]));
}
