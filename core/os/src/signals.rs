//! SIGINT and SIGTERM: the first asks for an orderly stop, the second ends the process at once.
#![allow(unsafe_code, reason = "_exit(2)")]

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::signal::unix::{self, SignalKind};
use tokio::task::JoinHandle;

use crate::Runtime;

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager.
    Terminate,
}

impl Signal {
    /// The exit code of a process that a signal ended, as shells show it.
    pub fn exit_code(self) -> i32 {
        match self {
            Signal::Interrupt => 128 + libc::SIGINT,
            Signal::Terminate => 128 + libc::SIGTERM,
        }
    }
}

/// Ready with the first signal. The signals are taken from the moment this exists; from the first one on, another ends the
/// process without any cleaning up, which recovery must survive anyway.
pub struct Signals(JoinHandle<Signal>);

impl Signals {
    /// Takes over the process's SIGINT and SIGTERM.
    pub fn new(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.handle().enter();
        let mut interrupt = unix::signal(SignalKind::interrupt())?;
        let mut terminate = unix::signal(SignalKind::terminate())?;
        let mut next = move |cx: &mut Context<'_>| {
            if interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Signal::Interrupt);
            }
            terminate.poll_recv(cx).map(|_| Signal::Terminate)
        };
        let handle = runtime.handle().clone();
        Ok(Signals(runtime.handle().spawn(async move {
            let first = poll_fn(&mut next).await;
            handle.spawn(async move {
                let second = poll_fn(next).await;
                // SAFETY: ends the process; nothing of it is used afterwards.
                unsafe { libc::_exit(second.exit_code()) }
            });
            first
        })))
    }
}

impl Future for Signals {
    type Output = Signal;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Signal> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(signal)) => Poll::Ready(signal),
            // The runtime is going away, and this with it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}
