//! `ottla group list` and `describe`.

use std::collections::{BTreeMap, BTreeSet};

use ottla_client::admin::{GroupDescription, MemberDescription};
use ottla_client::group::{Committed, OffsetAndMetadata};
use ottla_client::{Admin, IsolationLevel, OffsetSpec};
use ottla_types::TopicPartition;
use serde_json::{Value, json};

use super::{Common, Report};
use crate::connect::explain;
use crate::output::{counted, table};

/// What `list` takes.
#[derive(clap::Args)]
pub struct List {
    /// Only groups in these states: Empty, Stable, PreparingRebalance, CompletingRebalance, Dead.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only groups of these types: classic, consumer.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kind: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn list(admin: &Admin, args: &List) -> Result<(), String> {
    let groups = admin
        .list_groups(&args.state, &args.kind)
        .await
        .map_err(|e| explain(&e))?;
    let mut report = Report::new(&args.common);
    let mut rows = vec![["group", "state", "type", "protocol"].map(str::to_owned)];
    rows.extend(groups.iter().map(|g| {
        [&g.group, &g.state, &g.kind, &g.protocol_type].map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell.clone()
            }
        })
    }));
    let lines = table(&rows);
    // The head is for people, and only where something stands below it.
    let mut lines = lines.into_iter();
    let head = lines.next().filter(|_| !groups.is_empty());
    let text = head.into_iter().chain(lines).collect::<Vec<_>>();
    let mut text = text.into_iter();
    for (index, group) in groups.iter().enumerate() {
        let count = if index == 0 { 2 } else { 1 };
        let lines: Vec<String> = text.by_ref().take(count).collect();
        report.printer.item(
            || lines.join("\n"),
            || json!({"group": group.group, "state": group.state, "type": group.kind, "protocol_type": group.protocol_type}),
        );
    }
    report.finish()
}

/// What `describe` takes.
#[derive(clap::Args)]
pub struct Describe {
    /// The groups; all groups without any.
    #[arg(value_name = "GROUP")]
    names: Vec<String>,
    /// Only members and their partitions.
    #[arg(long, conflicts_with = "offsets")]
    members: bool,
    /// Only partitions with offsets and lag.
    #[arg(long)]
    offsets: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Where a group is in a partition.
struct Place {
    committed: Option<OffsetAndMetadata>,
    end: Option<i64>,
    member: Option<MemberDescription>,
}

impl Place {
    fn lag(&self) -> Option<i64> {
        Some(self.end?.saturating_sub(self.committed.as_ref()?.offset).max(0))
    }
}

type Places = BTreeMap<TopicPartition, Place>;

pub(super) async fn describe(admin: &Admin, args: &Describe) -> Result<(), String> {
    let mut report = Report::new(&args.common);
    let names = if args.names.is_empty() {
        let all = admin.list_groups(&[], &[]).await.map_err(|e| explain(&e))?;
        all.into_iter().map(|g| g.group).collect()
    } else {
        args.names.clone()
    };
    for (name, described) in admin.describe_groups(&names).await {
        let group = match described {
            Ok(group) => group,
            Err(error) => {
                report.error(&error);
                continue;
            }
        };
        let committed = match admin.group_offsets(&name, None).await {
            Ok(committed) => committed,
            Err(error) => {
                report.error(&error);
                continue;
            }
        };
        let places = places(admin, &group, committed, &mut report).await;
        let (offsets, members) = (!args.members, !args.offsets);
        report.printer.item(
            || text(&group, &places, offsets, members),
            || object(&group, &places),
        );
    }
    report.finish()
}

/// What is committed, where the logs end, and who reads.
async fn places(
    admin: &Admin,
    group: &GroupDescription,
    mut committed: Committed,
    report: &mut Report<'_>,
) -> Places {
    let owners = group
        .members
        .iter()
        .flat_map(|m| m.partitions.iter().map(move |p| (p, m)));
    let owners: BTreeMap<_, _> = owners.collect();
    let mut all: BTreeSet<TopicPartition> = owners.keys().map(|p| (*p).clone()).collect();
    all.extend(
        committed
            .iter()
            .filter(|(_, at)| at.is_some())
            .map(|(p, _)| p.clone()),
    );
    let wanted: Vec<_> = all.iter().map(|p| (p.clone(), OffsetSpec::Latest)).collect();
    let mut ends = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    let place = |partition: TopicPartition| {
        let end = match ends.remove(&partition) {
            Some(Ok(found)) => found.map(|f| f.offset),
            Some(Err(error)) => {
                report.error(&error);
                None
            }
            None => None,
        };
        let place = Place {
            committed: committed.remove(&partition).flatten(),
            end,
            member: owners.get(&partition).map(|m| (*m).clone()),
        };
        (partition, place)
    };
    all.into_iter().map(place).collect()
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

fn name_of(member: &MemberDescription) -> String {
    match &member.instance {
        Some(instance) => format!("{instance} (static)"),
        None => member.member_id.clone(),
    }
}

fn text(group: &GroupDescription, places: &Places, offsets: bool, members: bool) -> String {
    let lag: Option<i64> = places.values().map(Place::lag).sum();
    let mut head = format!("group `{}`: {}", group.group, group.state);
    if !group.members.is_empty() {
        head += &format!(
            ", {} by {}",
            counted(group.members.len(), "member"),
            if group.assignor.is_empty() {
                "-"
            } else {
                &group.assignor
            }
        );
    }
    if !places.is_empty() {
        head += &lag.map_or_else(
            || ", lag unknown in part".to_owned(),
            |lag| format!(", lag {lag} in all"),
        );
    }
    let mut lines = vec![format!("{head}, coordinator {}", group.coordinator)];
    if offsets && !places.is_empty() {
        let head = ["topic", "partition", "committed", "end", "lag", "member", "host"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(places.iter().map(|(partition, place)| {
            [
                partition.topic.clone(),
                partition.partition.to_string(),
                or_dash(place.committed.as_ref().map(|c| c.offset)),
                or_dash(place.end),
                or_dash(place.lag()),
                or_dash(place.member.as_ref().map(name_of)),
                or_dash(place.member.as_ref().map(|m| &m.host)),
            ]
        }));
        lines.extend(table(&rows));
    }
    if members && !group.members.is_empty() {
        let mut rows = vec![["member", "client", "host", "partitions", "assigned"].map(str::to_owned)];
        rows.extend(group.members.iter().map(|m| {
            [
                name_of(m),
                m.client_id.clone(),
                m.host.clone(),
                m.partitions.len().to_string(),
                or_dash((!m.partitions.is_empty()).then(|| assigned(&m.partitions))),
            ]
        }));
        lines.extend(table(&rows));
    }
    lines.join("\n")
}

/// `t:0,1 u:5`.
fn assigned(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for p in partitions {
        topics.entry(&p.topic).or_default().push(p.partition.to_string());
    }
    let each = topics.into_iter().map(|(t, p)| format!("{t}:{}", p.join(",")));
    each.collect::<Vec<_>>().join(" ")
}

fn object(group: &GroupDescription, places: &Places) -> Value {
    let partitions = places.iter().map(|(partition, place)| {
        json!({"topic": partition.topic, "partition": partition.partition,
               "committed": place.committed.as_ref().map(|c| c.offset),
               "metadata": place.committed.as_ref().map(|c| c.metadata.as_str()),
               "end_offset": place.end, "lag": place.lag(),
               "member": place.member.as_ref().map(|m| m.member_id.as_str())})
    });
    let members = group.members.iter().map(|m| {
        let partitions = m.partitions.iter();
        json!({"member": m.member_id, "instance": m.instance, "client": m.client_id, "host": m.host, "topics": m.topics,
               "partitions": partitions.map(|p| json!({"topic": p.topic, "partition": p.partition})).collect::<Vec<_>>()})
    });
    json!({"group": group.group, "state": group.state, "protocol_type": group.protocol_type, "assignor": group.assignor,
           "coordinator": group.coordinator, "partitions": partitions.collect::<Vec<_>>(),
           "members": members.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_described_for_people_and_for_machines() {
        let member = MemberDescription {
            member_id: "ottla-1".into(),
            instance: None,
            client_id: "ottla".into(),
            host: "127.0.0.1".into(),
            topics: vec!["t".into()],
            partitions: vec![TopicPartition::new("t", 0), TopicPartition::new("t", 1)],
        };
        let mut fixed = member.clone();
        (fixed.member_id, fixed.instance, fixed.partitions) = ("x-2".into(), Some("x".into()), Vec::new());
        let group = GroupDescription {
            group: "g".into(),
            state: "Stable".into(),
            protocol_type: "consumer".into(),
            assignor: "range".into(),
            coordinator: "h:9092".into(),
            members: vec![member.clone(), fixed],
        };
        let place = |committed: Option<i64>, end| Place {
            committed: committed.map(OffsetAndMetadata::new),
            end: Some(end),
            member: Some(member.clone()),
        };
        let mut places = Places::from([
            (TopicPartition::new("t", 0), place(Some(5), 12)),
            (TopicPartition::new("t", 1), place(Some(3), 3)),
        ]);
        let expected = "\
group `g`: Stable, 2 members by range, lag 7 in all, coordinator h:9092
  topic  partition  committed  end  lag  member   host
  t      0          5          12   7    ottla-1  127.0.0.1
  t      1          3          3    0    ottla-1  127.0.0.1
  member      client  host       partitions  assigned
  ottla-1     ottla   127.0.0.1  2           t:0,1
  x (static)  ottla   127.0.0.1  0           -";
        assert_eq!(text(&group, &places, true, true), expected);
        assert_eq!(object(&group, &places)["partitions"][0]["lag"], 7);
        places.insert(TopicPartition::new("u", 0), place(None, 4));
        assert!(text(&group, &places, false, false).contains("lag unknown in part"));
        assert_eq!(object(&group, &places)["partitions"][2]["lag"], Value::Null);
    }
}
