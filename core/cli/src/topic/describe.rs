//! `ottla topic list` and `describe`.

use std::collections::BTreeMap;

use ottla_client::admin::{
    ConfigEntry, ConfigResource, ConfigSource, PartitionDescription, TopicDescription,
};
use ottla_client::{Admin, IsolationLevel, OffsetSpec};
use ottla_types::TopicPartition;
use serde_json::{Value, json};

use super::{Common, Report};
use crate::connect::explain;
use crate::output::table;

/// What `list` takes.
#[derive(clap::Args)]
pub struct List {
    /// Kafka's own topics too.
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn list(admin: &Admin, args: &List) -> Result<(), String> {
    let topics = admin.list_topics(args.internal).await.map_err(|e| explain(&e))?;
    let mut report = Report::new(&args.common);
    for topic in topics {
        report.printer.item(
            || topic.name.clone(),
            || json!({"topic": topic.name, "id": topic.id.to_string(), "internal": topic.internal}),
        );
    }
    report.finish()
}

/// What `describe` takes.
#[derive(clap::Args)]
pub struct Describe {
    /// The topics' names; all topics but Kafka's own without any.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All configurations, those by default too.
    #[arg(long)]
    all_configs: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The first offset of a partition and the one behind its last; `None` where nobody could say.
type Offsets = BTreeMap<i32, (Option<i64>, Option<i64>)>;

pub(super) async fn describe(admin: &Admin, args: &Describe) -> Result<(), String> {
    let mut report = Report::new(&args.common);
    let names = if args.names.is_empty() {
        let all = admin.list_topics(false).await.map_err(|e| explain(&e))?;
        all.into_iter().map(|t| t.name).collect()
    } else {
        args.names.clone()
    };
    if names.is_empty() {
        return report.finish();
    }
    for (_, described) in admin.describe_topics(&names).await {
        let mut topic = match described {
            Ok(topic) => topic,
            Err(error) => {
                report.error(&error);
                continue;
            }
        };
        topic.partitions.sort_by_key(|p| p.partition);
        let offsets = offsets(admin, &topic, &mut report).await;
        let configs = configs(admin, &topic.name, args.all_configs, &mut report).await;
        report.printer.item(
            || text(&topic, &offsets, configs.as_deref()),
            || object(&topic, &offsets, configs.as_deref()),
        );
    }
    report.finish()
}

/// Asked of leaders only: a partition without one would be waited for.
async fn offsets(admin: &Admin, topic: &TopicDescription, report: &mut Report<'_>) -> Offsets {
    let led = topic.partitions.iter().filter(|p| p.leader.is_some());
    let led: Vec<i32> = led.map(|p| p.partition).collect();
    let mut offsets = Offsets::new();
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let wanted: Vec<_> = led
            .iter()
            .map(|p| (TopicPartition::new(topic.name.as_str(), *p), spec))
            .collect();
        let found = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        for (partition, result) in found {
            let entry = offsets.entry(partition.partition).or_default();
            match result {
                Ok(found) if spec == OffsetSpec::Earliest => entry.0 = found.map(|o| o.offset),
                Ok(found) => entry.1 = found.map(|o| o.offset),
                Err(error) => report.error(&error),
            }
        }
    }
    offsets
}

/// By name; those that someone has set, or `all`. `None` if the broker did not say.
async fn configs(admin: &Admin, topic: &str, all: bool, report: &mut Report<'_>) -> Option<Vec<ConfigEntry>> {
    let resource = ConfigResource::Topic(topic.to_owned());
    match admin.describe_configs(&[resource]).await.pop_first()?.1 {
        Ok(mut configs) => {
            configs.retain(|c| all || c.source != ConfigSource::Default);
            configs.sort_by(|a, b| a.name.cmp(&b.name));
            Some(configs)
        }
        Err(error) => {
            report.error(&error);
            None
        }
    }
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::DynamicBroker | ConfigSource::StaticBroker => "broker",
        ConfigSource::DynamicBrokerDefault => "all brokers",
        ConfigSource::Default => "default",
        ConfigSource::Other(_) => "other",
    }
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

fn text(topic: &TopicDescription, offsets: &Offsets, configs: Option<&[ConfigEntry]>) -> String {
    let factor = topic
        .partitions
        .iter()
        .map(|p| p.replicas.len())
        .max()
        .unwrap_or(0);
    let internal = if topic.internal { ", Kafka's own" } else { "" };
    let mut lines = vec![format!(
        "topic `{}` (id {}): {}, replication factor {factor}{internal}",
        topic.name,
        topic.id,
        super::change::count(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)),
    )];
    for config in configs.unwrap_or_default() {
        let value = config.value.as_deref().unwrap_or("(not shown)");
        lines.push(format!("  {}={value} ({})", config.name, source(config.source)));
    }
    let mut rows = vec![["partition", "leader", "replicas", "isr", "offsets", "records"].map(str::to_owned)];
    rows.extend(topic.partitions.iter().map(|p| row(p, offsets)));
    lines.extend(table(&rows));
    lines.join("\n")
}

fn row(p: &PartitionDescription, offsets: &Offsets) -> [String; 6] {
    let (first, end) = offsets.get(&p.partition).copied().unwrap_or_default();
    let mut isr = ids(&p.isr);
    if p.isr.len() < p.replicas.len() {
        isr.push_str(" (too few)");
    }
    let (range, records) = match (first, end) {
        (Some(first), Some(end)) if first < end => (Some(format!("{first}..{}", end - 1)), Some(end - first)),
        (Some(first), Some(_)) => (Some(format!("none, next {first}")), Some(0)),
        _ => (None, None),
    };
    [
        p.partition.to_string(),
        or_dash(p.leader),
        ids(&p.replicas),
        isr,
        or_dash(range),
        or_dash(records),
    ]
}

fn object(topic: &TopicDescription, offsets: &Offsets, configs: Option<&[ConfigEntry]>) -> Value {
    let partitions = topic.partitions.iter().map(|p| {
        let (first, end) = offsets.get(&p.partition).copied().unwrap_or_default();
        json!({"partition": p.partition, "leader": p.leader, "leader_epoch": p.leader_epoch, "replicas": p.replicas,
               "isr": p.isr, "offline": p.offline, "start_offset": first, "end_offset": end})
    });
    let configs = configs.map(|configs| {
        let one = |c: &ConfigEntry| json!({"name": c.name, "value": c.value, "source": source(c.source)});
        configs.iter().map(one).collect::<Vec<_>>()
    });
    json!({"topic": topic.name, "id": topic.id.to_string(), "internal": topic.internal,
           "partitions": partitions.collect::<Vec<_>>(), "configs": configs})
}

#[cfg(test)]
mod tests {
    use ottla_types::Uuid;

    use super::*;

    fn partition(partition: i32, leader: Option<i32>, isr: &[i32]) -> PartitionDescription {
        PartitionDescription {
            partition,
            leader,
            leader_epoch: 3,
            replicas: vec![1, 2],
            isr: isr.to_vec(),
            eligible: None,
            last_known_eligible: None,
            offline: Vec::new(),
        }
    }

    #[test]
    fn a_topic_is_described_for_people_and_for_machines() {
        let topic = TopicDescription {
            name: "t".into(),
            id: Uuid::METADATA_TOPIC,
            internal: false,
            partitions: vec![
                partition(0, Some(1), &[1, 2]),
                partition(1, None, &[2]),
                partition(2, Some(2), &[1, 2]),
            ],
        };
        let offsets = Offsets::from([(0, (Some(5), Some(12))), (2, (Some(4), Some(4)))]);
        let config = ConfigEntry {
            name: "retention.ms".into(),
            value: Some("1".into()),
            read_only: false,
            sensitive: false,
            source: ConfigSource::Topic,
        };
        let shown = text(&topic, &offsets, Some(std::slice::from_ref(&config)));
        let expected = "\
topic `t` (id AAAAAAAAAAAAAAAAAAAAAQ): 3 partitions, replication factor 2
  retention.ms=1 (topic)
  partition  leader  replicas  isr          offsets       records
  0          1       1,2       1,2          5..11         7
  1          -       1,2       2 (too few)  -             -
  2          2       1,2       1,2          none, next 4  0";
        assert_eq!(shown, expected);
        let json = object(&topic, &offsets, None);
        assert_eq!(json["partitions"][0]["end_offset"], 12);
        assert_eq!(json["partitions"][1]["leader"], Value::Null);
        assert_eq!(json["configs"], Value::Null);
    }
}
