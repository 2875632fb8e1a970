//! `ottla storage`: formats data directories, makes ids, and says what directories hold (`kafka-storage`).

use std::path::{Path, PathBuf};

use ottla_io::Env;
use ottla_node::{format, random_uuid};
use ottla_types::Uuid;
use ottla_types::config::{BrokerConfig, properties};
use serde_json::json;

use crate::config::Source;
use crate::context;
use crate::output::{Format, Printer};

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Format the directories of log.dirs.
    Format {
        #[command(flatten)]
        place: Place,
        /// The cluster's id. Default: that of a directory that is formatted already, else a new one.
        #[arg(long, short = 't')]
        cluster_id: Option<String>,
        /// Leave directories that are formatted already as they are.
        #[arg(long, short = 'g')]
        ignore_formatted: bool,
        /// How to print what was done.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Print a new id for a cluster.
    RandomUuid,
    /// Say what the directories of log.dirs hold; fails if they don't fit together.
    Info {
        #[command(flatten)]
        place: Place,
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
}

/// Which directories.
#[derive(clap::Args)]
pub struct Place {
    /// Kafka's server.properties. Without it: the directory of `ottla server`.
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, in place of log.dirs.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Set a key, whatever the file says; may be repeated.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Place {
    async fn load(&self, env: &Env) -> Result<BrokerConfig, String> {
        let source = Source {
            file: self.config.as_deref(),
            data_dir: self.data_dir.as_deref(),
            overrides: &self.overrides,
        };
        source.load(env).await
    }
}

/// What a data directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there, or without `meta.properties`.
    NotFormatted,
    /// It belongs to a node of a cluster.
    Formatted(Meta),
    /// Its `meta.properties` can't be used.
    Bad(String),
}

/// What `meta.properties` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: String,
    /// The directory's own id.
    pub directory_id: Option<String>,
}

impl Meta {
    /// Reads the file's text as far as this command shows it; the store checks more.
    pub fn parse(text: &str) -> Result<Meta, String> {
        let mut map = properties::to_map(properties::parse(text).map_err(|e| e.to_string())?);
        match map.remove("version").as_deref() {
            Some("1") => {}
            Some(other) => return Err(format!("version `{other}` is not known, only 1 is")),
            None => return Err("it has no `version`".into()),
        }
        let mut take = |key: &str| map.remove(key).filter(|value| !value.is_empty());
        Ok(Meta {
            cluster_id: take("cluster.id").ok_or("it has no `cluster.id`")?,
            node_id: take("node.id").ok_or("it has no `node.id`")?,
            directory_id: take("directory.id"),
        })
    }
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<(), String> {
    context::run(async |env| match command {
        Command::RandomUuid => {
            let mut printer = Printer::stdout(Format::Text);
            printer.item(|| random_uuid(env, "random-uuid").to_string(), || json!({}));
            printer.finish()
        }
        Command::Format {
            place,
            cluster_id,
            ignore_formatted,
            output,
        } => {
            let config = place.load(env).await?;
            let mut printer = Printer::stdout(*output);
            format_all(
                env,
                &config,
                cluster_id.as_deref(),
                *ignore_formatted,
                &mut printer,
            )
            .await?;
            printer.finish()
        }
        Command::Info { place, output } => {
            let config = place.load(env).await?;
            let mut printer = Printer::stdout(*output);
            let problems = info(&states(env, &config).await, config.node_id(), &mut printer);
            printer.finish()?;
            if problems.is_empty() {
                Ok(())
            } else {
                Err(problems.join("\n"))
            }
        }
    })
}

/// The state of each directory of `log.dirs`.
pub async fn states(env: &Env, config: &BrokerConfig) -> Vec<(String, State)> {
    let mut states = Vec::new();
    for dir in config.log_dirs() {
        let path = Path::new(&dir).join("meta.properties");
        let state = match env.disk.entry(&path).await {
            Ok(None) => State::NotFormatted,
            Ok(Some(_)) => match context::read_text(env, &path)
                .await
                .and_then(|text| Meta::parse(&text))
            {
                Ok(meta) => State::Formatted(meta),
                Err(reason) => State::Bad(reason),
            },
            Err(error) => State::Bad(error.to_string()),
        };
        states.push((dir, state));
    }
    states
}

/// The id to format with: the one that is given, which must agree with what is formatted already; else that; else a new one.
pub async fn cluster_id(env: &Env, config: &BrokerConfig, given: Option<&str>) -> Result<String, String> {
    let states = states(env, config).await;
    let existing = states.iter().find_map(|(dir, state)| match state {
        State::Formatted(meta) => Some((dir, &meta.cluster_id)),
        _ => None,
    });
    let given = given
        .map(|id| id.parse::<Uuid>().map_err(|e| format!("--cluster-id: {e}")))
        .transpose()?;
    match (given, existing) {
        (Some(id), Some((dir, other))) if id.to_string() != *other => Err(format!(
            "{dir} belongs to cluster {other} already: leave --cluster-id out, or take the directory out of log.dirs"
        )),
        (Some(id), _) => Ok(id.to_string()),
        (None, Some((_, id))) => Ok(id.clone()),
        (None, None) => Ok(random_uuid(env, "cluster").to_string()),
    }
}

async fn format_all(
    env: &Env,
    config: &BrokerConfig,
    given: Option<&str>,
    ignore_formatted: bool,
    printer: &mut Printer<'_>,
) -> Result<(), String> {
    let states = states(env, config).await;
    for (dir, state) in &states {
        match state {
            State::Bad(reason) => {
                return Err(format!(
                    "{dir}/meta.properties can't be used: {reason}. Remove it if the directory may be formatted anew"
                ));
            }
            State::Formatted(meta) if !ignore_formatted => {
                return Err(format!(
                    "{dir} is formatted already, for cluster {}: nothing was done; --ignore-formatted leaves such directories as they are",
                    meta.cluster_id
                ));
            }
            _ => {}
        }
    }
    let (cluster, node) = (cluster_id(env, config, given).await?, config.node_id());
    let done = format(env, config, &cluster).await.map_err(|e| e.to_string())?;
    for (dir, _) in &states {
        let fresh = done.iter().any(|path| path == Path::new(dir));
        let text = || {
            let what = if fresh { "formatted" } else { "left as it is:" };
            format!("{what} {dir} for cluster {cluster}, node {node}")
        };
        printer.item(
            text,
            || json!({"directory": dir, "formatted": fresh, "cluster_id": cluster, "node_id": node}),
        );
    }
    Ok(())
}

/// Prints the states; returns what is wrong with them.
fn info(states: &[(String, State)], node_id: i32, printer: &mut Printer<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut cluster: Option<(&str, &str)> = None;
    for (dir, state) in states {
        match state {
            State::NotFormatted => {
                printer.item(
                    || format!("{dir}: not formatted"),
                    || json!({"directory": dir, "state": "not formatted"}),
                );
                problems.push(format!("{dir} is not formatted: run `ottla storage format`"));
            }
            State::Bad(reason) => {
                printer.item(
                    || format!("{dir}: {reason}"),
                    || json!({"directory": dir, "state": "bad", "reason": reason}),
                );
                problems.push(format!(
                    "{dir}/meta.properties can't be used: {reason}. Restore the file"
                ));
            }
            State::Formatted(meta) => {
                let Meta {
                    cluster_id,
                    node_id: node,
                    directory_id,
                } = meta;
                let id = directory_id.as_deref().unwrap_or("none");
                printer.item(
                    || format!("{dir}: cluster {cluster_id}, node {node}, directory {id}"),
                    || json!({"directory": dir, "state": "formatted", "cluster_id": cluster_id, "node_id": node, "directory_id": directory_id}),
                );
                if *node != node_id.to_string() {
                    problems.push(format!("{dir} belongs to node {node}, the configuration says node.id={node_id}: correct one of them"));
                }
                match cluster {
                    Some((other, id)) if id != cluster_id => {
                        problems.push(format!(
                            "{dir} belongs to cluster {cluster_id}, {other} to {id}: remove one from log.dirs"
                        ));
                    }
                    Some(_) => {}
                    None => cluster = Some((dir, cluster_id)),
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str =
        "#\ncluster.id=5L6g3nShT-eMCtK--X86sw\ndirectory.id=i2CsaZ4MSRm1pVRyYBLPxw\nnode.id=1\nversion=1\n";

    fn formatted(cluster: &str, node: &str) -> State {
        State::Formatted(Meta {
            cluster_id: cluster.into(),
            node_id: node.into(),
            directory_id: None,
        })
    }

    #[test]
    fn meta_properties_are_read() {
        let meta = Meta::parse(META).unwrap();
        assert_eq!(
            (meta.cluster_id.as_str(), meta.node_id.as_str()),
            ("5L6g3nShT-eMCtK--X86sw", "1")
        );
        assert_eq!(meta.directory_id.as_deref(), Some("i2CsaZ4MSRm1pVRyYBLPxw"));
        for (text, part) in [
            ("", "version"),
            ("version=0\n", "`0`"),
            ("version=1\n", "cluster.id"),
            ("version=1\ncluster.id=a\n", "node.id"),
        ] {
            assert!(Meta::parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn info_finds_what_does_not_fit() {
        let count = |states: &[State]| {
            let states: Vec<_> = states
                .iter()
                .map(|state| ("/d".to_string(), state.clone()))
                .collect();
            info(
                &states,
                1,
                &mut Printer::new(Format::Text, Box::new(std::io::sink())),
            )
            .len()
        };
        assert_eq!(count(&[formatted("a", "1"), formatted("a", "1")]), 0);
        assert_eq!(count(&[formatted("a", "1"), formatted("b", "1")]), 1);
        assert_eq!(count(&[formatted("a", "2")]), 1);
        assert_eq!(count(&[State::NotFormatted, State::Bad("x".into())]), 2);
    }

    #[test]
    fn formatting_happens_once_and_keeps_the_cluster() {
        let dir = std::env::temp_dir().join(format!("ottla-cli-format-{}", std::process::id()));
        let result = context::run(async |env| {
            let _ = env.disk.remove_dir_all(&dir).await;
            let overrides = [format!("log.dirs={0}/a,{0}/b", dir.display())];
            let source = Source {
                file: None,
                data_dir: None,
                overrides: &overrides,
            };
            let config = source.load(env).await?;
            let mut out = Printer::new(Format::Text, Box::new(std::io::sink()));
            format_all(env, &config, Some("5L6g3nShT-eMCtK--X86sw"), false, &mut out).await?;
            assert!(
                format_all(env, &config, None, false, &mut out)
                    .await
                    .unwrap_err()
                    .contains("formatted already")
            );
            assert!(
                cluster_id(env, &config, Some("i2CsaZ4MSRm1pVRyYBLPxw"))
                    .await
                    .unwrap_err()
                    .contains("belongs to cluster")
            );
            env.disk
                .remove_file(&dir.join("b/meta.properties"))
                .await
                .unwrap();
            format_all(env, &config, None, true, &mut out).await?;
            let states = states(env, &config).await;
            assert!(info(&states, 1, &mut out).is_empty(), "{states:?}");
            env.disk.remove_dir_all(&dir).await.map_err(|e| e.to_string())
        });
        assert_eq!(result, Ok(()));
    }
}
