//! A node's environment without a runtime: the disk in memory, a clock that stands still, nothing else.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ottla_io::mem::MemDisk;
use ottla_io::{
    BoxFuture, Clock, Entropy, Env, Listener, Mono, Net, NoObserver, Op, Rng, Sleep, Stream, Task, Tasks,
};
use ottla_types::Time;

/// The present.
pub const NOW: Time = Time(1_700_000_000_000);

/// Runs a future of which every effect is ready.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the disk in memory never waits"),
    }
}

/// A clock that stands still, a network without peers, and tasks that run where they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Mono {
        Mono(0)
    }

    fn wall(&self) -> Time {
        NOW
    }

    fn sleep_until(&self, _: Mono) -> Sleep {
        Box::pin(std::future::pending())
    }
}

impl Net for Still {
    fn listen(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Listener>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn connect(&self, _: &str, _: u16) -> Op<io::Result<Box<dyn Stream>>> {
        Op::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Tasks for Still {
    fn spawn(&self, name: &str, _: BoxFuture<'static, ()>) -> Task {
        panic!("the store spawns nothing, but it spawned {name}");
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        work();
        Op::ready(())
    }

    fn parallelism(&self) -> usize {
        1
    }
}

impl Entropy for Still {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(1, purpose)
    }
}

/// The environment of the disk's present incarnation.
pub fn env(disk: &MemDisk) -> Env {
    Env {
        clock: Arc::new(Still),
        net: Arc::new(Still),
        disk: disk.handle(),
        entropy: Arc::new(Still),
        tasks: Arc::new(Still),
        observer: Arc::new(NoObserver),
    }
}
