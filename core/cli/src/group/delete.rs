//! `ottla group delete` and `delete-offsets`.

use std::collections::BTreeSet;

use ottla_client::Admin;
use ottla_types::TopicPartition;
use serde_json::json;

use super::places::Scope;
use super::{Common, Report};
use crate::connect::explain;

/// What `delete` takes.
#[derive(clap::Args)]
pub struct Delete {
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    names: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn groups(admin: &Admin, args: &Delete) -> Result<(), String> {
    let mut report = Report::new(&args.common);
    for (group, result) in admin.delete_groups(&args.names).await {
        match result {
            Ok(()) => report.printer.item(
                || format!("deleted group `{group}`"),
                || json!({"group": group, "deleted": true}),
            ),
            Err(error) => report.error(&error),
        }
    }
    report.finish()
}

/// What `delete-offsets` takes.
#[derive(clap::Args)]
pub struct DeleteOffsets {
    /// The group.
    #[arg(value_name = "GROUP")]
    name: String,
    /// A topic, or some of its partitions (orders:0,2); may be repeated.
    #[arg(short, long = "topic", required = true, value_name = "TOPIC[:N,N]")]
    topics: Vec<Scope>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn offsets(admin: &Admin, args: &DeleteOffsets) -> Result<(), String> {
    let committed = admin
        .group_offsets(&args.name, None)
        .await
        .map_err(|e| explain(&e))?;
    let mut report = Report::new(&args.common);
    let mut partitions: BTreeSet<TopicPartition> = BTreeSet::new();
    for scope in &args.topics {
        let named = scope.partitions.iter();
        let named: Vec<TopicPartition> = if scope.partitions.is_empty() {
            // Offsets may be there for partitions of a topic that is not there any more.
            let there = committed.keys().filter(|p| p.topic == scope.topic);
            there.cloned().collect()
        } else {
            named
                .map(|p| TopicPartition::new(scope.topic.as_str(), *p))
                .collect()
        };
        if named.is_empty() {
            report.say(format!(
                "group `{}` has no offsets for topic `{}`",
                args.name, scope.topic
            ));
        }
        partitions.extend(named);
    }
    if partitions.is_empty() {
        return report.finish();
    }
    let partitions: Vec<_> = partitions.into_iter().collect();
    let deleted = admin.delete_group_offsets(&args.name, &partitions).await;
    for (partition, result) in deleted.map_err(|e| explain(&e))? {
        match result {
            Ok(()) => report.printer.item(
                || format!("group `{}` has no offset for {partition} any more", args.name),
                || json!({"group": args.name, "topic": partition.topic, "partition": partition.partition, "deleted": true}),
            ),
            Err(error) => report.error(&error),
        }
    }
    report.finish()
}
