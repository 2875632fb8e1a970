//! What an executor owes: tasks run, end with the right outcome, die when told, and outlive their handle; the pool runs its
//! work and the result arrives.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::soon;
use crate::{Env, Outcome, Rng, run_blocking};

/// Everything in this file.
pub async fn all(env: &Env, rng: &mut Rng) {
    assert!(
        env.tasks.parallelism() >= 1,
        "no task can run: the parallelism is 0"
    );
    soon(env, "runs", runs(env, rng)).await;
    soon(env, "cancels", cancels(env)).await;
    soon(env, "outlives", outlives(env)).await;
    soon(env, "panics", panics(env)).await;
    soon(env, "blocking", blocking(env, rng)).await;
}

/// Every spawned task runs to its end, nested ones too, and `join` says so.
pub async fn runs(env: &Env, rng: &mut Rng) {
    let sum = Arc::new(AtomicU64::new(0));
    let n = rng.between(1, 40);
    let tasks: Vec<_> = (1..=n)
        .map(|i| {
            let (env2, sum, pause) = (env.clone(), sum.clone(), rng.below(2000));
            let task = async move {
                env2.clock.sleep(Duration::from_micros(pause)).await;
                let inner = sum.clone();
                let child = env2.tasks.spawn(
                    "child",
                    Box::pin(async move {
                        inner.fetch_add(i, Ordering::SeqCst);
                    }),
                );
                assert_eq!(child.join().await, Outcome::Done);
            };
            env.tasks.spawn("parent", Box::pin(task))
        })
        .collect();
    for task in tasks {
        assert_eq!(task.join().await, Outcome::Done, "a task that returned");
    }
    assert_eq!(
        sum.load(Ordering::SeqCst),
        n * (n + 1) / 2,
        "not every task has run"
    );
}

/// Sets its flag when dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A cancelled task drops what it holds and ends as cancelled; cancelling an ended task changes nothing.
pub async fn cancels(env: &Env) {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let task = env.tasks.spawn(
        "waits",
        Box::pin(async move {
            let _flag = flag;
            pending::<()>().await;
        }),
    );
    env.clock.sleep(Duration::from_millis(1)).await;
    task.cancel();
    assert_eq!(task.join().await, Outcome::Cancelled, "a task that was cancelled");
    assert!(
        dropped.load(Ordering::SeqCst),
        "a joined, cancelled task still holds its values"
    );

    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    let task = env.tasks.spawn(
        "ends",
        Box::pin(async move { flag.store(true, Ordering::SeqCst) }),
    );
    while !ended.load(Ordering::SeqCst) {
        env.clock.sleep(Duration::from_millis(1)).await;
    }
    env.clock.sleep(Duration::from_millis(2)).await;
    task.cancel();
    assert_eq!(
        task.join().await,
        Outcome::Done,
        "a task that had ended before it was cancelled"
    );
}

/// A task runs on when its handle is dropped.
pub async fn outlives(env: &Env) {
    let done = Arc::new(AtomicBool::new(false));
    let (clock, flag) = (env.clock.clone(), done.clone());
    drop(env.tasks.spawn(
        "detached",
        Box::pin(async move {
            clock.sleep(Duration::from_millis(2)).await;
            flag.store(true, Ordering::SeqCst);
        }),
    ));
    for _ in 0..5000 {
        if done.load(Ordering::SeqCst) {
            return;
        }
        env.clock.sleep(Duration::from_millis(1)).await;
    }
    panic!("a task whose handle was dropped has not run on");
}

/// A panic stays in its task and is reported with its message.
pub async fn panics(env: &Env) {
    let fixed = env
        .tasks
        .spawn("panics", Box::pin(async { panic!("the suite's panic") }));
    let number = 42;
    let formatted = env.tasks.spawn(
        "panics",
        Box::pin(async move { panic!("the suite's panic {number}") }),
    );
    assert_eq!(fixed.join().await, Outcome::Panicked("the suite's panic".into()));
    assert_eq!(
        formatted.join().await,
        Outcome::Panicked("the suite's panic 42".into())
    );
}

/// The pool runs every piece of work once before its operation is ready, and results arrive.
pub async fn blocking(env: &Env, rng: &mut Rng) {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let n = rng.between(1, 30);
    let ops: Vec<_> = (0..n)
        .map(|i| {
            let ran = ran.clone();
            env.tasks.blocking(
                "push",
                Box::new(move || ran.lock().expect("nobody panics").push(i)),
            )
        })
        .collect();
    for op in ops {
        op.await;
    }
    let mut ran = std::mem::take(&mut *ran.lock().expect("nobody panics"));
    ran.sort_unstable();
    assert_eq!(
        ran,
        (0..n).collect::<Vec<_>>(),
        "each piece of work must run once before its result"
    );

    let bytes = [7u8; 100];
    let sum = run_blocking(&*env.tasks, "sum", move || {
        bytes.iter().map(|b| u32::from(*b)).sum::<u32>()
    })
    .await;
    assert_eq!(sum, Some(700), "the result of the work");
}
