//! Threads and I/O for a command: the only place of this binary that starts a runtime.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{Env, NoObserver, OpenOptions, read_exact_at};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions};

/// The largest small file (configuration, checkpoints) that is read whole.
const LARGEST: u64 = 64 << 20;

/// A runtime with `workers` threads beside the calling one.
pub fn runtime(options: RuntimeOptions) -> Result<Runtime, String> {
    Runtime::new(options)
        .map_err(|e| format!("threads can't be started ({e}): raise the limit of processes (ulimit -u)"))
}

/// What `runtime` gives a node or a command.
pub fn env(runtime: &Runtime, sockets: SocketOptions) -> Env {
    ottla_os::env(runtime, sockets, Arc::new(NoObserver))
}

/// Runs a command that needs files only, on the calling thread.
pub fn run<T>(command: impl AsyncFnOnce(&Env) -> Result<T, String>) -> Result<T, String> {
    let options = RuntimeOptions {
        workers: 0,
        ..RuntimeOptions::default()
    };
    let runtime = runtime(options)?;
    let env = env(&runtime, SocketOptions::default());
    runtime.block_on(command(&env))
}

/// Reads a small file.
pub async fn read(env: &Env, path: &Path) -> Result<BytesMut, String> {
    // The disk's errors name the path already.
    let file = env
        .disk
        .open(path, OpenOptions::Read)
        .await
        .map_err(|e| e.to_string())?;
    let len = file.len().await.map_err(|e| e.to_string())?;
    let size = usize::try_from(len).ok().filter(|_| len <= LARGEST);
    let size = size.ok_or_else(|| {
        format!(
            "{} has {len} bytes, too many for a file of its kind",
            path.display()
        )
    })?;
    let (read, bytes) = read_exact_at(file.as_ref(), 0, BytesMut::with_capacity(size), size).await;
    read.map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// Reads a small file of UTF-8 text.
pub async fn read_text(env: &Env, path: &Path) -> Result<String, String> {
    let bytes = read(env, path).await?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| format!("{} is not UTF-8 text: save it as such", path.display()))
}
