//! `ottla group reset-offsets`: where a group goes on, in each of Kafka's forms. Only shown unless `--execute` is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ottla_client::group::OffsetAndMetadata;
use ottla_client::{Admin, IsolationLevel, OffsetSpec};
use ottla_io::Env;
use ottla_types::{ErrorCode, TopicPartition};
use serde_json::json;

use super::csv::{self, Plan};
use super::places::{Scope, ago, datetime};
use super::{Common, Report};
use crate::connect::explain;
use crate::context;
use crate::output::table;

/// What `reset-offsets` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  ottla group reset-offsets billing --topic orders --to-earliest
  ottla group reset-offsets billing --topic orders:0,1 --shift-by -10 --execute
  ottla group reset-offsets billing --all-topics --by-duration PT1H --export > offsets.csv
  ottla group reset-offsets billing --from-file offsets.csv --execute")]
pub struct Reset {
    /// The groups.
    #[arg(value_name = "GROUP", required_unless_present = "all_groups")]
    names: Vec<String>,
    /// All groups that there are.
    #[arg(long, conflicts_with = "names")]
    all_groups: bool,
    /// A topic, or some of its partitions (orders:0,2); may be repeated.
    #[arg(short, long = "topic", value_name = "TOPIC[:N,N]", conflicts_with_all = ["all_topics", "from_file"])]
    topics: Vec<Scope>,
    /// All partitions that the group has offsets for.
    #[arg(long, conflicts_with = "from_file")]
    all_topics: bool,
    #[command(flatten)]
    to: To,
    /// Do it; without this it is only shown.
    #[arg(long)]
    execute: bool,
    /// Only show it. This is so without --execute too.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Print lines for --from-file instead of a table.
    #[arg(long, conflicts_with = "output")]
    export: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Where to.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// To this offset, or the nearest that is kept.
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// To the log starts.
    #[arg(long)]
    to_earliest: bool,
    /// To the ends.
    #[arg(long)]
    to_latest: bool,
    /// To what is committed; to the end where nothing is.
    #[arg(long)]
    to_current: bool,
    /// So many offsets on from what is committed, or back.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first records of the last so long: PT1H30M, P7D, or 90m.
    #[arg(long, value_name = "DURATION", value_parser = ago)]
    by_duration: Option<Duration>,
    /// To the first records at or after this time: 2026-11-24T10:00:00.000, in UTC unless it says otherwise.
    #[arg(long, value_name = "TIME", value_parser = datetime)]
    to_datetime: Option<i64>,
    /// To the offsets in this file: lines of topic,partition,offset, or group,topic,partition,offset.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// One partition of one group.
struct Row {
    partition: TopicPartition,
    committed: Option<i64>,
    offset: i64,
}

pub(super) async fn reset(env: &Env, admin: &Admin, args: &Reset) -> Result<(), String> {
    let groups = if args.all_groups {
        let all = admin.list_groups(&[], &[]).await.map_err(|e| explain(&e))?;
        all.into_iter().map(|g| g.group).collect()
    } else {
        args.names.clone()
    };
    let file = match &args.to.from_file {
        Some(path) => {
            let text = context::read_text(env, path).await?;
            Some(csv::read(&text, &groups).map_err(|e| format!("{}: {e}", path.display()))?)
        }
        None if args.topics.is_empty() && !args.all_topics => {
            return Err("say which partitions: --topic NAME, --topic NAME:0,1 or --all-topics".to_owned());
        }
        None => None,
    };
    let mut report = Report::new(&args.common);
    let mut shown = Vec::new();
    for group in &groups {
        match plan(env, admin, args, file.as_ref(), group, &mut report).await {
            Ok(rows) => {
                let rows = if args.execute {
                    execute(admin, group, rows, &mut report).await
                } else {
                    rows
                };
                shown.push((group.as_str(), rows));
            }
            Err(error) => report.say(error),
        }
    }
    show(args, &shown, &mut report);
    report.finish()
}

/// Where one group would go on.
async fn plan(
    env: &Env,
    admin: &Admin,
    args: &Reset,
    file: Option<&Plan>,
    group: &str,
    report: &mut Report<'_>,
) -> Result<Vec<Row>, String> {
    let described = admin.describe_groups(&[group.to_owned()]).await;
    match described.into_values().next() {
        Some(Ok(found)) if found.state != "Empty" => {
            return Err(format!(
                "group `{group}` is {}, with {} members: stop them first, and wait until the state is Empty",
                found.state,
                found.members.len()
            ));
        }
        Some(Err(error)) if error.code() != Some(ErrorCode::GroupIdNotFound) => return Err(explain(&error)),
        _ => {}
    }
    let committed = admin.group_offsets(group, None).await.map_err(|e| explain(&e))?;
    let mut given: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let partitions: BTreeSet<TopicPartition> = if let Some(file) = file {
        given = file.get(group).cloned().unwrap_or_default();
        given.keys().cloned().collect()
    } else if args.all_topics {
        committed
            .iter()
            .filter(|(_, at)| at.is_some())
            .map(|(p, _)| p.clone())
            .collect()
    } else {
        scoped(admin, &args.topics).await?
    };
    if partitions.is_empty() && file.is_none() {
        return Err(format!(
            "group `{group}` has no offsets: name topics with --topic"
        ));
    }
    let bounds = Bounds::find(admin, &partitions).await?;
    let by_time = times(env, admin, args, &partitions).await?;
    let mut rows = Vec::new();
    for partition in partitions {
        let now = committed
            .get(&partition)
            .and_then(|c| c.as_ref())
            .map(|c| c.offset);
        let wanted = match (given.get(&partition), by_time.get(&partition)) {
            (Some(offset), _) | (_, Some(offset)) => Some(*offset),
            _ => target(&args.to, now, bounds.of(&partition)),
        };
        let Some(wanted) = wanted else {
            report.say(format!(
                "group `{group}` has no offset for {partition} to shift from"
            ));
            continue;
        };
        let (first, end) = bounds.of(&partition);
        let offset = wanted.clamp(first, end.max(first));
        if offset != wanted {
            eprintln!("ottla: {partition} has offsets {first} to {end}: taking {offset} for {wanted}");
        }
        rows.push(Row {
            partition,
            committed: now,
            offset,
        });
    }
    Ok(rows)
}

/// Where to, for the forms that need no time; `None` if there is nothing to shift from.
fn target(to: &To, committed: Option<i64>, (first, end): (i64, i64)) -> Option<i64> {
    if let Some(offset) = to.to_offset {
        Some(offset)
    } else if let Some(by) = to.shift_by {
        committed.map(|at| at.saturating_add(by))
    } else if to.to_earliest {
        Some(first)
    } else if to.to_current {
        Some(committed.unwrap_or(end))
    } else {
        Some(end)
    }
}

/// The partitions that the scopes name, which must exist.
async fn scoped(admin: &Admin, scopes: &[Scope]) -> Result<BTreeSet<TopicPartition>, String> {
    let names: Vec<String> = scopes.iter().map(|s| s.topic.clone()).collect();
    let described = admin.describe_topics(&names).await;
    let mut all = BTreeSet::new();
    for scope in scopes {
        let topic = match described.get(&scope.topic) {
            Some(Ok(topic)) => topic,
            Some(Err(error)) => return Err(explain(error)),
            None => return Err(format!("the cluster said nothing about topic `{}`", scope.topic)),
        };
        let there: BTreeSet<i32> = topic.partitions.iter().map(|p| p.partition).collect();
        if let Some(missing) = scope.partitions.iter().find(|p| !there.contains(p)) {
            return Err(format!(
                "topic `{}` has no partition {missing}: it has {}, numbered from 0",
                scope.topic,
                there.len()
            ));
        }
        let named: BTreeSet<i32> = scope.partitions.iter().copied().collect();
        let chosen = if named.is_empty() { &there } else { &named };
        all.extend(
            chosen
                .iter()
                .map(|p| TopicPartition::new(scope.topic.as_str(), *p)),
        );
    }
    Ok(all)
}

/// First offsets and ends.
struct Bounds(BTreeMap<TopicPartition, (i64, i64)>);

impl Bounds {
    async fn find(admin: &Admin, partitions: &BTreeSet<TopicPartition>) -> Result<Self, String> {
        let mut bounds: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
        for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
            let wanted: Vec<_> = partitions.iter().map(|p| (p.clone(), spec)).collect();
            for (partition, found) in admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
                let offset = found.map_err(|e| explain(&e))?.map_or(0, |f| f.offset);
                let entry = bounds.entry(partition).or_default();
                if spec == OffsetSpec::Earliest {
                    entry.0 = offset;
                } else {
                    entry.1 = offset;
                }
            }
        }
        Ok(Bounds(bounds))
    }

    fn of(&self, partition: &TopicPartition) -> (i64, i64) {
        self.0.get(partition).copied().unwrap_or_default()
    }
}

/// For the forms that name a time: the first records from then on, or the ends where there are none.
async fn times(
    env: &Env,
    admin: &Admin,
    args: &Reset,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, String> {
    let now = env.clock.wall().as_millis();
    let back = |by: Duration| {
        now.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
            .max(0)
    };
    let Some(at) = args.to.to_datetime.or(args.to.by_duration.map(back)) else {
        return Ok(BTreeMap::new());
    };
    let wanted: Vec<_> = partitions
        .iter()
        .map(|p| (p.clone(), OffsetSpec::Timestamp(at)))
        .collect();
    let mut times = BTreeMap::new();
    for (partition, found) in admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
        if let Some(found) = found.map_err(|e| explain(&e))? {
            times.insert(partition, found.offset);
        }
    }
    Ok(times)
}

/// Sets the offsets; gives back those that are set.
async fn execute(admin: &Admin, group: &str, rows: Vec<Row>, report: &mut Report<'_>) -> Vec<Row> {
    let offsets = rows
        .iter()
        .map(|row| (row.partition.clone(), OffsetAndMetadata::new(row.offset)));
    let results = admin.set_group_offsets(group, &offsets.collect()).await;
    let mut failed = BTreeSet::new();
    for (partition, result) in results {
        if let Err(error) = result {
            report.error(&error);
            failed.insert(partition);
        }
    }
    rows.into_iter()
        .filter(|row| !failed.contains(&row.partition))
        .collect()
}

fn show(args: &Reset, shown: &[(&str, Vec<Row>)], report: &mut Report<'_>) {
    if args.export {
        let several = shown.len() > 1;
        for (group, rows) in shown {
            for row in rows {
                let line = csv::line(several.then_some(*group), &row.partition, row.offset);
                report.printer.item(|| line, || json!(null));
            }
        }
        return;
    }
    let mut rows = vec![["group", "topic", "partition", "committed", "new"].map(str::to_owned)];
    for (group, each) in shown {
        rows.extend(each.iter().map(|row| {
            [
                (*group).to_owned(),
                row.partition.topic.clone(),
                row.partition.partition.to_string(),
                row.committed.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                row.offset.to_string(),
            ]
        }));
    }
    let any = rows.len() > 1;
    let mut lines = table(&rows).into_iter().filter(|_| any);
    let mut first = lines.next();
    for (group, each) in shown {
        for row in each {
            let line = [first.take(), lines.next()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\n");
            report.printer.item(
                || line,
                || {
                    json!({"group": group, "topic": row.partition.topic, "partition": row.partition.partition,
                           "committed": row.committed, "offset": row.offset, "executed": args.execute})
                },
            );
        }
    }
    if any && !args.execute {
        eprintln!("ottla: nothing was changed: add --execute to do it");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reset: Reset,
    }

    fn parsed(line: &str) -> Result<Reset, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|l| l.reset)
    }

    #[test]
    fn exactly_one_place_and_one_scope() {
        for good in [
            "x g --topic t --to-earliest",
            "x g --topic t:0,1 --topic u --shift-by -5 --execute",
            "x g h --all-topics --to-offset 7 --export",
            "x g --from-file f --dry-run",
            "x --all-groups --all-topics --by-duration PT1H",
        ] {
            assert!(parsed(good).is_ok(), "{good}: {}", parsed(good).err().unwrap());
        }
        for bad in [
            "x g --topic t",
            "x g --topic t --to-earliest --to-latest",
            "x g --topic t --all-topics --to-latest",
            "x --topic t --to-latest",
            "x g --topic t --to-latest --dry-run --execute",
            "x g --topic t --from-file f",
            "x g --topic t --by-duration soon",
            "x g --topic t --to-datetime soon",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_without_a_time() {
        let to = |line: &str| parsed(&format!("x g --topic t {line}")).unwrap().to;
        for (line, committed, expected) in [
            ("--to-offset 7", None, Some(7)),
            ("--to-earliest", Some(5), Some(2)),
            ("--to-latest", Some(5), Some(9)),
            ("--to-current", Some(5), Some(5)),
            ("--to-current", None, Some(9)),
            ("--shift-by -2", Some(5), Some(3)),
            ("--shift-by 1", None, None),
            // No record is that late.
            ("--by-duration 1h", Some(5), Some(9)),
        ] {
            assert_eq!(target(&to(line), committed, (2, 9)), expected, "{line}");
        }
    }
}
