//! `ottla topic create`, `alter` and `delete`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use ottla_client::admin::{AlterConfig, ConfigResource, NewTopic};
use ottla_client::{Admin, CallError, Error};
use ottla_io::{Env, run_blocking};
use ottla_types::ErrorCode;
use serde_json::json;

use super::{Common, Report};
use crate::values::pair;

/// What `create` takes.
#[derive(clap::Args)]
pub struct Create {
    /// The topics' names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How many partitions each gets; without it the broker's `num.partitions`.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many replicas each partition gets; without it the broker's `default.replication.factor`.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A configuration of the topics, such as `retention.ms=86400000`; may be repeated.
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// A topic that exists is no error.
    #[arg(long)]
    if_not_exists: bool,
    /// Only say whether the topics could be created.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn create(admin: &Admin, args: &Create) -> Result<(), String> {
    let topics = args.names.iter().map(|name| NewTopic {
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        configs: args.configs.iter().cloned().collect(),
        ..NewTopic {
            name: name.clone(),
            ..NewTopic::default()
        }
    });
    let topics: Vec<NewTopic> = topics.collect();
    let mut report = Report::new(&args.common);
    for (name, result) in admin.create_topics(&topics, args.dry_run).await {
        let exists = |error: &Error| error.code() == Some(ErrorCode::TopicAlreadyExists);
        match result {
            Ok(created) => {
                let (partitions, factor) = (created.partitions, created.replication_factor);
                let verb = if args.dry_run { "could create" } else { "created" };
                report.printer.item(
                    || {
                        let counts = match partitions {
                            ..0 => String::new(),
                            _ => format!(" with {}, replication factor {factor}", count(partitions)),
                        };
                        format!("{verb} topic `{name}`{counts}")
                    },
                    || {
                        json!({"topic": name, "created": !args.dry_run, "id": created.id.to_string(),
                               "partitions": partitions, "replication_factor": factor})
                    },
                );
            }
            Err(error) if args.if_not_exists && exists(&error) => report.printer.item(
                || format!("topic `{name}` exists already"),
                || json!({"topic": name, "created": false}),
            ),
            Err(error) => {
                report.error(&error);
                if exists(&error) {
                    report.say("--if-not-exists makes that no error".to_owned());
                }
            }
        }
    }
    report.finish()
}

/// `1 partition`, `3 partitions`.
pub(super) fn count(partitions: i32) -> String {
    let plural = if partitions == 1 { "" } else { "s" };
    format!("{partitions} partition{plural}")
}

/// What `alter` takes.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Alter {
    /// The topics' names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How many partitions each has then; they can only become more.
    #[arg(short, long, value_name = "N", group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A configuration to set; may be repeated.
    #[arg(short, long = "config", value_name = "KEY=VALUE", group = "change", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// A configuration to give its default again; may be repeated.
    #[arg(long = "delete-config", value_name = "KEY", group = "change")]
    deleted: Vec<String>,
    /// Only say whether the change could be made.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn alter(admin: &Admin, args: &Alter) -> Result<(), String> {
    let mut report = Report::new(&args.common);
    let verb = if args.dry_run { "could have" } else { "has" };
    if let Some(partitions) = args.partitions {
        let counts: BTreeMap<String, i32> = args.names.iter().map(|n| (n.clone(), partitions)).collect();
        for (name, result) in admin.create_partitions(&counts, args.dry_run).await {
            match result {
                Ok(()) => report.printer.item(
                    || format!("topic `{name}` {verb} {}", count(partitions)),
                    || json!({"topic": name, "altered": !args.dry_run, "partitions": partitions}),
                ),
                Err(error) => report.error(&error),
            }
        }
    }
    let set = args
        .configs
        .iter()
        .map(|(key, value)| (key.clone(), AlterConfig::Set(value.clone())));
    let unset = args.deleted.iter().map(|key| (key.clone(), AlterConfig::Delete));
    let changes: BTreeMap<String, AlterConfig> = set.chain(unset).collect();
    if changes.is_empty() {
        return report.finish();
    }
    let resource = |name: &String| (ConfigResource::Topic(name.clone()), changes.clone());
    let wanted: BTreeMap<_, _> = args.names.iter().map(resource).collect();
    for (resource, result) in admin.alter_configs(&wanted, args.dry_run).await {
        let ConfigResource::Topic(name) = resource else {
            continue;
        };
        match result {
            Ok(()) => report.printer.item(
                || format!("topic `{name}` {verb} these configurations: {}", shown(&changes)),
                || {
                    let configs: BTreeMap<_, _> = changes.iter().map(|(k, v)| (k, value(v))).collect();
                    json!({"topic": name, "altered": !args.dry_run, "configs": configs})
                },
            ),
            Err(error) => {
                report.error(&error);
                if is_unsupported(&error) {
                    report.say(
                        "this broker changes no configurations of topics that exist (IncrementalAlterConfigs is not served): \
                         set them when the topic is made (`ottla topic create NAME --config KEY=VALUE`), or change the \
                         broker's own default; `--partitions` works"
                            .to_owned(),
                    );
                }
            }
        }
    }
    report.finish()
}

fn is_unsupported(error: &Error) -> bool {
    match error {
        Error::Call {
            error: CallError::Unsupported { .. },
            ..
        } => true,
        error => error.code() == Some(ErrorCode::UnsupportedVersion),
    }
}

fn value(change: &AlterConfig) -> Option<&str> {
    match change {
        AlterConfig::Set(value) | AlterConfig::Append(value) | AlterConfig::Subtract(value) => Some(value),
        AlterConfig::Delete => None,
    }
}

fn shown(changes: &BTreeMap<String, AlterConfig>) -> String {
    let one = |(key, change)| match value(change) {
        Some(value) => format!("{key}={value}"),
        None => format!("{key} by default"),
    };
    changes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What `delete` takes.
#[derive(clap::Args)]
pub struct Delete {
    /// The topics' names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Don't ask. Only a terminal is asked in any case.
    #[arg(short, long)]
    yes: bool,
    /// A topic that does not exist is no error.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn delete(env: &Env, admin: &Admin, args: &Delete) -> Result<(), String> {
    if !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        let names = args.names.join("`, `");
        let question = format!("delete `{names}` with all records? This can't be undone. [y/N] ");
        if !confirmed(env, question).await {
            return Err("nothing was deleted".to_owned());
        }
    }
    let mut report = Report::new(&args.common);
    for (name, result) in admin.delete_topics(&args.names).await {
        match result {
            Ok(()) => report.printer.item(
                || format!("deleted topic `{name}`"),
                || json!({"topic": name, "deleted": true}),
            ),
            Err(error) if args.if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                report.printer.item(
                    || format!("there is no topic `{name}`"),
                    || json!({"topic": name, "deleted": false}),
                );
            }
            Err(error) => report.error(&error),
        }
    }
    report.finish()
}

async fn confirmed(env: &Env, question: String) -> bool {
    let answer = run_blocking(env.tasks.as_ref(), "ask", move || {
        let mut stderr = std::io::stderr();
        let asked = stderr
            .write_all(question.as_bytes())
            .and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
        read.map(|_| answer)
    });
    let answer = answer.await.and_then(Result::ok).unwrap_or_default();
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
