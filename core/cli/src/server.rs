//! `ottla server`: runs a node until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use ottla_io::{Env, NoObserver};
use ottla_node::{Node, format, random_uuid};
use ottla_os::{Runtime, RuntimeOptions, Signals, SocketOptions};

use crate::config::{Loaded, Source};

/// How long open connections may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

/// Runs the node.
pub fn run(args: &Args) -> Result<(), String> {
    if let Err(error) = ottla_os::raise_open_files() {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let runtime = Runtime::new(RuntimeOptions::default()).map_err(|e| e.to_string())?;
    let env = ottla_os::env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    let signals = Signals::new(&runtime).map_err(|e| e.to_string())?;
    let result = runtime.block_on(serve(env, args, signals));
    runtime.shutdown(PATIENCE);
    result
}

async fn serve(env: Env, args: &Args, mut signals: Signals) -> Result<(), String> {
    let Loaded { config, built_in } = args.source.load(&env).await?;
    let dirs = config.log_dirs().join(", ");
    if built_in {
        let cluster = random_uuid(&env, "cluster").to_string();
        for path in format(&env, &config, &cluster).await.map_err(|e| e.to_string())? {
            tracing::info!(cluster, path = %path.display(), "formatted a new log directory");
        }
    }
    let node = Node::start(env, config).await.map_err(|e| e.to_string())?;
    for (listener, address) in node.addresses() {
        println!("ottla serves {listener} at {address}, cluster {}, data in {dirs}", node.cluster_id());
        println!("try: kcat -b {address} -L");
    }
    let failed = std::pin::pin!(node.failed());
    let mut failed = failed;
    let reason = std::future::poll_fn(|cx| {
        use std::future::Future;
        use std::task::Poll;
        if let Poll::Ready(signal) = std::pin::Pin::new(&mut signals).poll(cx) {
            tracing::info!(?signal, "stopping");
            return Poll::Ready(None);
        }
        failed.as_mut().poll(cx).map(Some)
    })
    .await;
    match reason {
        Some(reason) => Err(format!("the node stopped: {reason}")),
        None => {
            node.stop().await;
            Ok(())
        }
    }
}
