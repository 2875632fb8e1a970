//! Where a node's configuration comes from: Kafka's `server.properties`, or the defaults of a single node; and `--override`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use ottla_io::{Env, OpenOptions, read_exact_at};
use ottla_types::config::{BrokerConfig, properties};

/// The largest configuration file that is read.
const LARGEST: usize = 16 << 20;

/// Options that say what a node is configured with.
#[derive(clap::Args)]
pub struct Source {
    /// Kafka's server.properties.
    pub file: Option<PathBuf>,
    /// Set a key, whatever the file says: key=value.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// A configuration, and whether it is the built-in one.
pub struct Loaded {
    /// The configuration.
    pub config: BrokerConfig,
    /// No file was given: the node formats its directory by itself.
    pub built_in: bool,
}

impl Source {
    /// Reads and checks the configuration. Warnings go to the log, errors into the result, one line each.
    pub async fn load(&self, env: &Env) -> Result<Loaded, String> {
        let (mut given, lines) = match &self.file {
            Some(file) => read(env, file).await?,
            None => (built_in(), BTreeMap::new()),
        };
        for text in &self.overrides {
            let (key, value) = text.split_once('=').ok_or_else(|| format!("--override {text}: key=value is expected"))?;
            given.insert(key.trim().to_string(), value.trim().to_string());
        }
        let place = |key: &str| match (&self.file, lines.get(key)) {
            (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
            _ => String::new(),
        };
        match BrokerConfig::from_properties(&given) {
            Ok((config, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                Ok(Loaded { config, built_in: self.file.is_none() })
            }
            Err(errors) => {
                let lines: Vec<String> = errors.iter().map(|e| format!("{}{e}", place(&e.key))).collect();
                Err(lines.join("\nottla: "))
            }
        }
    }
}

type Properties = (BTreeMap<String, String>, BTreeMap<String, usize>);

async fn read(env: &Env, path: &Path) -> Result<Properties, String> {
    let file = env.disk.open(path, OpenOptions::Read).await.map_err(|e| e.to_string())?;
    let (read, bytes) = read_exact_at(file.as_ref(), 0, BytesMut::new(), LARGEST).await;
    read.map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    let entries = properties::parse(text).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines: BTreeMap<String, usize> = entries.iter().map(|e| (e.key.clone(), e.line)).collect();
    Ok((properties::to_map(entries), lines))
}

/// One node for one machine, as `ottla server` starts it without a file.
fn built_in() -> BTreeMap<String, String> {
    let pairs = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("controller.quorum.voters", "1@127.0.0.1:9093"),
        ("log.dirs", "ottla-data"),

    ];
    pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configuration_is_accepted_without_a_word() {
        let (config, warnings) = BrokerConfig::from_properties(&built_in()).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.node_id(), 1);
        assert_eq!(config.log_dirs(), ["ottla-data"]);
    }
}
