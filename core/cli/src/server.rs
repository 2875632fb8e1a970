//! `ottla server`: runs a node until it is told to stop, or can't go on.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use ottla_io::Env;
use ottla_node::{Node, format};
use ottla_os::{RuntimeOptions, Signals, SocketOptions};
use ottla_types::config::BrokerConfig;

use crate::config::Source;
use crate::{context, storage};

/// How long blocking work may take to end after the node has stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options.
#[derive(clap::Args)]
pub struct Args {
    /// Kafka's server.properties. Without it: a single node on 127.0.0.1:9092, formatted on its first start.
    file: Option<PathBuf>,
    /// Set a key, whatever the file says; may be repeated.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The data directory, in place of log.dirs.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Args {
    /// Where the configuration comes from.
    pub fn source(&self) -> Source<'_> {
        Source {
            file: self.file.as_deref(),
            data_dir: self.data_dir.as_deref(),
            overrides: &self.overrides,
        }
    }
}

/// Runs the node.
pub fn run(args: &Args) -> Result<(), String> {
    if let Err(error) = ottla_os::raise_open_files() {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let config = context::run(async |env| args.source().load(env).await)?;
    let runtime = context::runtime(RuntimeOptions::default())?;
    let env = context::env(&runtime, SocketOptions::default());
    let signals = Signals::new(&runtime).map_err(|e| format!("signals can't be taken: {e}"))?;
    let result = runtime.block_on(serve(env, config, args.file.as_deref(), signals));
    runtime.shutdown(PATIENCE);
    result
}

async fn serve(
    env: Env,
    config: BrokerConfig,
    file: Option<&Path>,
    mut signals: Signals,
) -> Result<(), String> {
    prepare(&env, &config, file).await?;
    let dirs = config.log_dirs().join(", ");
    let names = config.controller_listener_names().to_vec();
    let id = config.node_id();
    // A signal during start is answered once the node stands: closing half-recovered logs would save nothing.
    let node = Node::start(env, config).await.map_err(|e| e.to_string())?;
    let addresses = node.addresses();
    let client = addresses
        .iter()
        .find(|(name, _)| !names.contains(name))
        .or(addresses.first());
    let address = client.map(|(_, address)| reachable(*address)).unwrap_or_default();
    let http = node.http_addresses().first().map(|address| reachable(*address));
    let ready = ready_line(&address, node.cluster_id(), id, &dirs, http.as_deref());
    // Whoever started this may have closed its stdout; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{ready}").and_then(|()| out.flush());

    let mut failed = pin!(node.failed());
    let reason = poll_fn(|cx| {
        if let Poll::Ready(signal) = Pin::new(&mut signals).poll(cx) {
            tracing::info!(?signal, "stopping; another signal ends the process at once");
            return Poll::Ready(None);
        }
        failed.as_mut().poll(cx).map(Some)
    })
    .await;
    match reason {
        Some(reason) => Err(format!(
            "the node had to stop: {reason}. What was acknowledged is kept; the next start checks the logs. Please report this"
        )),
        None => {
            node.stop().await;
            tracing::info!("stopped cleanly");
            Ok(())
        }
    }
}

/// Sees to it that the directories are formatted: without a file they are formatted here.
async fn prepare(env: &Env, config: &BrokerConfig, file: Option<&Path>) -> Result<(), String> {
    let Some(file) = file else {
        let cluster = storage::cluster_id(env, config, None).await?;
        for path in format(env, config, &cluster).await.map_err(|e| e.to_string())? {
            tracing::info!(cluster, path = %path.display(), "formatted a new data directory");
        }
        return Ok(());
    };
    let states = storage::states(env, config).await;
    if states
        .iter()
        .all(|(_, state)| matches!(state, storage::State::NotFormatted))
    {
        let dirs = config.log_dirs().join(", ");
        let file = file.display();
        return Err(format!(
            "{dirs} is not formatted: run `ottla storage format --config {file}` once, then start again"
        ));
    }
    Ok(())
}

/// An address to connect to: a listener on every address is reached at this machine's own.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn ready_line(address: &str, cluster: &str, node: i32, dirs: &str, http: Option<&str>) -> String {
    let metrics = http.map_or_else(String::new, |http| format!(", metrics at http://{http}/metrics"));
    format!(
        "ottla is ready at {address} (cluster {cluster}, node {node}, data in {dirs}{metrics}); try: kcat -b {address} -L"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_here() {
        for (address, shown) in [
            ("[::]:9092", "localhost:9092"),
            ("0.0.0.0:1", "localhost:1"),
            ("[::1]:2", "[::1]:2"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()), shown);
        }
    }

    #[test]
    fn the_ready_line_is_one_line_with_a_next_step() {
        for http in [None, Some("127.0.0.1:9644")] {
            let line = ready_line("127.0.0.1:9092", "abc", 1, "ottla-data", http);
            assert_eq!(line.lines().count(), 1);
            assert_eq!(
                line.contains("http://127.0.0.1:9644/metrics"),
                http.is_some(),
                "{line}"
            );
            assert!(
                line.contains("data in ottla-data") && line.ends_with("kcat -b 127.0.0.1:9092 -L"),
                "{line}"
            );
        }
    }
}
