//! The property suite of each trait, behind the feature `suite`: what every implementation owes, as plain async functions that
//! any executor can run. They take what they try, a generator for the cases, and panic with both values when a property does
//! not hold. They try a healthy world: injected faults and the loss of power belong to the implementation that can do them.
//!
//! Each file has an `all` that runs everything in it; the parts are public too, so that a failure can be tried alone.

pub mod clock;
pub mod disk;
mod disk_model;
mod disk_random;
pub mod entropy;
pub mod net;
mod pipe;
pub mod tasks;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{Env, timeout_at};

/// Runs both futures in the caller's task and gives both results.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut left, mut right) = (None, None);
    std::future::poll_fn(move |cx| {
        if left.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            right = Some(value);
        }
        match (left.take(), right.take()) {
            (Some(l), Some(r)) => Poll::Ready((l, r)),
            (l, r) => {
                (left, right) = (l, r);
                Poll::Pending
            }
        }
    })
    .await
}

/// The result of what must come to an end: a lost wake-up is a failure with a name, not a suite that hangs.
pub(crate) async fn soon<T>(env: &Env, what: &str, future: impl Future<Output = T>) -> T {
    let deadline = env.clock.now().after(Duration::from_secs(120));
    match timeout_at(&*env.clock, deadline, future).await {
        Some(value) => value,
        None => panic!("{what}: still not done after 120 seconds"),
    }
}

/// The success of something that must succeed.
#[track_caller]
pub(crate) fn ok<T>(what: &str, result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(e) => panic!("{what}: must succeed, but failed with {:?}: {e}", e.kind()),
    }
}

/// The error of something that must fail, with this kind.
#[track_caller]
pub(crate) fn fails<T>(what: &str, result: io::Result<T>, kind: io::ErrorKind) -> io::Error {
    match result {
        Ok(_) => panic!("{what}: must fail with {kind:?}, but succeeded"),
        Err(e) if e.kind() == kind => e,
        Err(e) => panic!(
            "{what}: must fail with {kind:?}, but failed with {:?}: {e}",
            e.kind()
        ),
    }
}

/// The same, and the message must name `path`.
#[track_caller]
pub(crate) fn fails_naming<T>(what: &str, result: io::Result<T>, kind: io::ErrorKind, path: &Path) {
    let e = fails(what, result, kind);
    let path = path.display().to_string();
    assert!(
        e.to_string().contains(&path),
        "{what}: the message must name {path}, but is: {e}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "must name")]
    fn a_message_without_the_path_is_found() {
        let result: io::Result<()> = Err(io::Error::new(io::ErrorKind::NotFound, "nothing there"));
        fails_naming("open", result, io::ErrorKind::NotFound, Path::new("/a/b"));
    }

    #[test]
    #[should_panic(expected = "must fail with NotFound")]
    fn another_kind_is_found() {
        let result: io::Result<()> = Err(io::Error::new(io::ErrorKind::AlreadyExists, "/a/b"));
        fails_naming("open", result, io::ErrorKind::NotFound, Path::new("/a/b"));
    }
}
