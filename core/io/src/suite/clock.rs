//! What a clock owes: the monotonic one never goes back, a sleep never ends early, a past deadline doesn't wait.

use std::future::{pending, ready};
use std::task::Poll;
use std::time::Duration;

use super::both;
use crate::{Env, Mono, Rng, timeout_at};

/// Everything in this file.
pub async fn all(env: &Env, rng: &mut Rng) {
    monotone(env, rng).await;
    sleeps(env, rng).await;
    past(env).await;
    timeouts(env, rng).await;
}

/// Two looks at the monotonic clock never go back, across sleeps too.
pub async fn monotone(env: &Env, rng: &mut Rng) {
    let mut last = env.clock.now();
    for i in 0..2000 {
        let now = env.clock.now();
        assert!(
            now >= last,
            "the monotonic clock went from {last:?} back to {now:?}"
        );
        last = now;
        if i % 500 == 0 {
            env.clock.sleep(Duration::from_micros(rng.below(3000))).await;
        }
    }
    // The wall clock may say anything; asking must work.
    let _ = env.clock.wall();
}

/// Sleeps that run at the same time each end at their own time or later.
pub async fn sleeps(env: &Env, rng: &mut Rng) {
    for _ in 0..8 {
        let (short, long) = (rng.below(5_000_000), rng.below(12_000_000));
        let start = env.clock.now();
        let wait = async |nanos: u64| {
            let at = start.after(Duration::from_nanos(nanos));
            env.clock.sleep_until(at).await;
            let now = env.clock.now();
            assert!(now >= at, "a sleep until {at:?} ended early, at {now:?}");
        };
        both(wait(long), wait(short)).await;
    }
    let start = env.clock.now();
    env.clock.sleep(Duration::from_millis(3)).await;
    let slept = env.clock.now().since(start);
    assert!(
        slept >= Duration::from_millis(3),
        "a sleep of 3 ms took {slept:?}"
    );
}

/// A deadline that has come is ready at the first look.
pub async fn past(env: &Env) {
    env.clock.sleep(Duration::from_millis(1)).await;
    for at in [Mono(0), env.clock.now()] {
        let mut sleep = env.clock.sleep_until(at);
        let first = std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
        assert!(
            first.is_ready(),
            "a sleep until {at:?} waits, though it is {:?}",
            env.clock.now()
        );
    }
}

/// `timeout_at` gives the result, or `None` at the deadline and not before; the future goes first.
pub async fn timeouts(env: &Env, rng: &mut Rng) {
    let clock = &*env.clock;
    let at = clock.now().after(Duration::from_micros(rng.between(500, 5000)));
    assert_eq!(
        timeout_at(clock, at, pending::<u8>()).await,
        None,
        "nothing came, so it must be the deadline"
    );
    assert!(
        clock.now() >= at,
        "the timeout at {at:?} came early, at {:?}",
        clock.now()
    );
    assert_eq!(
        timeout_at(clock, Mono(0), ready(7)).await,
        Some(7),
        "the future is looked at before the deadline"
    );
    let far = clock.now().after(Duration::from_secs(3600));
    let value = timeout_at(clock, far, async {
        clock.sleep(Duration::from_millis(1)).await;
        9
    })
    .await;
    assert_eq!(value, Some(9), "a far deadline must not hide the result");
}
