//! Where a node's configuration comes from: Kafka's `server.properties` as it is, or [`defaults`]; then `--data-dir`, then
//! `--override`. What the keys mean is `ottla_types::config`.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_io::Env;
use ottla_types::config::{BrokerConfig, Warning, properties};

use crate::{context, defaults};

/// What the command line says of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Kafka's `server.properties`.
    pub file: Option<&'a Path>,
    /// The only data directory, whatever the file says.
    pub data_dir: Option<&'a Path>,
    /// `key=value`, stronger than everything else; of a repeated key the last one.
    pub overrides: &'a [String],
}

impl Source<'_> {
    /// Reads and checks the configuration. Warnings go to the log; errors are lines that name file, line and key.
    pub async fn load(&self, env: &Env) -> Result<BrokerConfig, String> {
        let text = match self.file {
            Some(file) => {
                let text = context::read_text(env, file).await;
                Some(text.map_err(|e| {
                    format!("{e}: name a server.properties, or none for a single node with built-in defaults")
                })?)
            }
            None => None,
        };
        let (config, warnings) = self.check(text.as_deref())?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(config)
    }

    /// The configuration and warnings, given the file's text.
    fn check(&self, text: Option<&str>) -> Result<(BrokerConfig, Vec<String>), String> {
        let file = self
            .file
            .map(|file| file.display().to_string())
            .unwrap_or_default();
        let (mut given, mut lines) = match text {
            Some(text) => read(text).map_err(|e| format!("{file}: {e}"))?,
            None => (defaults::single_node(), BTreeMap::new()),
        };
        for (key, value) in self.stronger()? {
            lines.remove(&key);
            given.insert(key, value);
        }
        if text.is_none() {
            defaults::complete(&mut given);
        }
        let place = |key: &str| match lines.get(key) {
            Some(line) => format!("{file}:{line}: "),
            None if file.is_empty() || self.sets(key) => String::new(),
            None => format!("{file}: "),
        };
        let result = BrokerConfig::from_properties(&given);
        let (config, warnings) = result.map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(|e| format!("{}{e}", place(&e.key))).collect();
            errors.join("\n")
        })?;
        let key = |warning: &Warning| match warning {
            Warning::Unknown { key, .. } | Warning::NoEffect { key } => key.clone(),
        };
        // Nobody needs to hear about keys that only the built-in defaults have set.
        let said = warnings.iter().filter(|w| text.is_some() || self.sets(&key(w)));
        Ok((config, said.map(|w| format!("{}{w}", place(&key(w)))).collect()))
    }

    /// What goes before the file, in the order of strength.
    fn stronger(&self) -> Result<Vec<(String, String)>, String> {
        let mut pairs = Vec::new();
        if let Some(dir) = self.data_dir {
            let dir = dir.to_str().filter(|dir| !dir.contains(',') && !dir.is_empty());
            let dir = dir.ok_or("--data-dir: a path of UTF-8 text without a comma is needed, as log.dirs separates paths by them")?;
            pairs.push(("log.dirs".to_string(), dir.to_string()));
        }
        for text in self.overrides {
            let pair = text
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()));
            let pair = pair.filter(|(key, _)| !key.is_empty());
            let (key, value) = pair.ok_or_else(|| {
                format!("--override {text}: write it as key=value, such as num.partitions=3")
            })?;
            pairs.push((key.to_string(), value.to_string()));
        }
        Ok(pairs)
    }

    fn sets(&self, key: &str) -> bool {
        self.stronger()
            .is_ok_and(|pairs| pairs.iter().any(|(k, _)| k == key))
    }
}

/// Entries, and the line on which each key that counts begins.
type Properties = (BTreeMap<String, String>, BTreeMap<String, usize>);

fn read(text: &str) -> Result<Properties, String> {
    let entries = properties::parse(text).map_err(|e| e.to_string())?;
    let lines = entries.iter().map(|e| (e.key.clone(), e.line)).collect();
    Ok((properties::to_map(entries), lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "process.roles=broker,controller\nnode.id=5\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
        controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs=/from/file\nnum.partitions=2\n";

    fn check(
        text: Option<&str>,
        data_dir: Option<&str>,
        overrides: &[&str],
    ) -> Result<(BrokerConfig, Vec<String>), String> {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        let source = Source {
            file: text.map(|_| "k.properties".as_ref()),
            data_dir: data_dir.map(Path::new),
            overrides: &overrides,
        };
        source.check(text)
    }

    #[test]
    fn an_override_goes_before_data_dir_and_that_before_the_file() {
        let (config, warnings) = check(Some(FILE), None, &[]).unwrap();
        assert_eq!((config.node_id(), config.num_partitions()), (5, 2));
        assert_eq!(config.log_dirs(), ["/from/file"]);
        assert!(warnings.is_empty(), "{warnings:?}");
        let (config, _) = check(
            Some(FILE),
            Some("/d"),
            &["num.partitions = 3", "num.partitions=4"],
        )
        .unwrap();
        assert_eq!(config.num_partitions(), 4);
        assert_eq!(config.log_dirs(), ["/d"]);
        let (config, warnings) = check(None, Some("/d"), &["log.dirs=/o"]).unwrap();
        assert_eq!(config.log_dirs(), ["/o"]);
        assert!(warnings.is_empty(), "the defaults are no news: {warnings:?}");
    }

    #[test]
    fn unknown_keys_are_warned_about_where_they_stand() {
        let (_, warnings) = check(Some(&format!("{FILE}num.partition=3\n")), None, &[]).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with("k.properties:10: num.partition "),
            "{warnings:?}"
        );
        assert!(warnings[0].contains("num.partitions"), "{warnings:?}");
        let (_, warnings) = check(Some(FILE), None, &["num.partition=3"]).unwrap();
        assert!(warnings[0].starts_with("num.partition "), "{warnings:?}");
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let error = check(Some(&format!("{FILE}\nnum.io.threads=none\n")), None, &[]).unwrap_err();
        assert!(
            error.starts_with("k.properties:11: num.io.threads=none: "),
            "{error}"
        );
        let error = check(
            Some(&format!("{FILE}authorizer.class.name=org.example.A\n")),
            None,
            &[],
        )
        .unwrap_err();
        assert!(
            error.starts_with("k.properties:10: authorizer.class.name"),
            "{error}"
        );
        let error = check(Some("a=\\u12"), None, &[]).unwrap_err();
        assert!(error.starts_with("k.properties: line 1"), "{error}");
        let error = check(None, None, &["num.partitions"]).unwrap_err();
        assert!(error.contains("key=value"), "{error}");
        assert!(check(None, Some("a,b"), &[]).unwrap_err().contains("comma"));
    }
}
