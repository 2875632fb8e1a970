//! The result of an effect: there already, or still to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An effect's result. Most disk operations finish in the page cache before they return, so the hot path pays neither an
/// allocation nor a wake-up for them ([`Op::ready`]); the others carry a future. Awaiting a ready one never yields.
#[must_use = "an operation that nobody awaits may never happen"]
pub struct Op<T>(State<T>);

enum State<T> {
    Ready(Option<T>),
    Pending(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Op<T> {
    /// An effect that has happened.
    pub fn ready(value: T) -> Self {
        Op(State::Ready(Some(value)))
    }

    /// An effect that is still to come.
    pub fn pending(future: impl Future<Output = T> + Send + 'static) -> Self {
        Op(State::Pending(Box::pin(future)))
    }

    /// The value if it is there already, else the operation to await.
    pub fn into_ready(self) -> Result<T, Self> {
        match self.0 {
            State::Ready(Some(value)) => Ok(value),
            other => Err(Op(other)),
        }
    }
}

impl<T: Unpin> Future for Op<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            State::Ready(value) => Poll::Ready(value.take().expect("an operation is awaited once")),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
