//! What an effect costs, in nanoseconds: the numbers behind "appends and cached reads run inline".
//!
//! `cargo run --release -p ottla-os --example io_cost [FOLDER]`; the folder (default: the current one) says which file system.
#![allow(
    clippy::disallowed_methods,
    reason = "a program of the crate that holds the real effects"
)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, File, NoObserver, OpenOptions};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions, env};

const ROUNDS: usize = 9;
const APPENDS: u64 = 20_000;

/// The median over the rounds of what one of `count` calls takes.
async fn measure<F: Future<Output = io::Result<()>>>(
    env: &Env,
    what: &str,
    count: u64,
    mut run: impl FnMut() -> F,
) -> io::Result<()> {
    let mut costs = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = env.clock.now();
        run().await?;
        costs.push(env.clock.now().since(start).as_nanos() / u128::from(count));
    }
    costs.sort_unstable();
    println!(
        "{what:<44} {:>8} ns  (of {ROUNDS} rounds: {} to {})",
        costs[ROUNDS / 2],
        costs[0],
        costs[ROUNDS - 1]
    );
    Ok(())
}

async fn append(file: &dyn File, bytes: &Bytes, pieces: usize) -> io::Result<()> {
    file.set_len(0).await?;
    let mut at = 0;
    for _ in 0..APPENDS {
        let (result, _) = file.write_at(at, vec![bytes.clone(); pieces]).await;
        at += result? as u64;
    }
    Ok(())
}

async fn read(file: &dyn File, count: u64, len: usize) -> io::Result<()> {
    let mut buf = BytesMut::with_capacity(len);
    for i in 0..count {
        buf.clear();
        let (result, back) = file.read_at(i % 1000 * 1024, buf, len).await;
        result?;
        buf = back;
    }
    Ok(())
}

async fn all(env: &Env, path: &std::path::Path) -> io::Result<()> {
    let file: Arc<dyn File> = env.disk.open(path, OpenOptions::Truncate).await?;
    let bytes = Bytes::from(vec![7; 1024]);
    measure(env, "append of 1 KiB, inline", APPENDS, || {
        append(&*file, &bytes, 1)
    })
    .await?;
    measure(env, "append of 16 x 1 KiB, one call, inline", APPENDS, || {
        append(&*file, &bytes, 16)
    })
    .await?;
    measure(env, "cached read of 1 KiB, inline", 50_000, || {
        read(&*file, 50_000, 1024)
    })
    .await?;
    measure(env, "cached read of 64 KiB, inline", 10_000, || {
        read(&*file, 10_000, 64 << 10)
    })
    .await?;
    measure(env, "length of a file, inline", 50_000, async || {
        for _ in 0..50_000 {
            file.len().await?;
        }
        Ok(())
    })
    .await?;
    measure(env, "hop to the pool and back, from a worker", 5_000, || {
        in_a_task(env, hops(env.clone()))
    })
    .await?;
    measure(env, "task spawned and joined, from a worker", 20_000, || {
        in_a_task(env, spawns(env.clone()))
    })
    .await?;
    measure(env, "look at the clock", 100_000, async || {
        for _ in 0..100_000 {
            std::hint::black_box(env.clock.now());
        }
        Ok(())
    })
    .await
}

/// The hot path runs on workers; the main thread would pay for waking itself.
async fn in_a_task(env: &Env, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    match env.tasks.spawn("measured", Box::pin(task)).join().await {
        ottla_io::Outcome::Done => Ok(()),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

async fn hops(env: Env) {
    for _ in 0..5_000 {
        env.tasks.blocking("nothing", Box::new(|| ())).await;
    }
}

async fn spawns(env: Env) {
    for _ in 0..20_000 {
        env.tasks.spawn("nothing", Box::pin(async {})).join().await;
    }
}

fn main() -> io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = folder.join("io_cost.tmp");
    let runtime = Runtime::new(RuntimeOptions::default())?;
    let env = env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    let result = runtime.block_on(all(&env, &path));
    runtime.block_on(env.disk.remove_file(&path))?;
    result
}
