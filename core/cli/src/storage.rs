//! `ottla storage`: what `kafka-storage` does.

use std::sync::Arc;

use ottla_io::NoObserver;
use ottla_node::{format, random_uuid};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions};
use ottla_types::Uuid;

use crate::config::Source;

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Format the directories of log.dirs.
    Format {
        #[command(flatten)]
        source: Source,
        /// The cluster's id; a new one if it is left out.
        #[arg(long, short = 't')]
        cluster_id: Option<String>,
        /// Leave directories that are formatted already as they are.
        #[arg(long)]
        ignore_formatted: bool,
    },
    /// Print a new id for a cluster.
    RandomUuid,
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<(), String> {
    let runtime = Runtime::new(RuntimeOptions::default()).map_err(|e| e.to_string())?;
    let env = ottla_os::env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    match command {
        Command::RandomUuid => {
            println!("{}", random_uuid(&env, "random-uuid"));
            Ok(())
        }
        Command::Format { source, cluster_id, ignore_formatted } => runtime.block_on(async {
            let config = source.load(&env).await?.config;
            let cluster = match cluster_id {
                Some(id) => id.parse::<Uuid>().map_err(|e| e.to_string())?.to_string(),
                None => random_uuid(&env, "cluster").to_string(),
            };
            let formatted = format(&env, &config, &cluster).await.map_err(|e| e.to_string())?;
            for path in &formatted {
                println!("formatted {} for cluster {cluster}, node {}", path.display(), config.node_id());
            }
            if formatted.is_empty() && !ignore_formatted {
                return Err("every directory of log.dirs is formatted already: nothing was done (--ignore-formatted accepts that)".into());
            }
            Ok(())
        }),
    }
}
