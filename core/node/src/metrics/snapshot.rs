//! Everything `/metrics` shows, as the node has it at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_io::ProcessStats;
use ottla_metadata::MetadataImage;
use ottla_store::LogReader;
use ottla_types::TopicPartition;
use ottla_types::event::BrokerState;
use ottla_wire::ApiKey;

use super::{ApiCounts, Bins, TopicCounts};
use crate::Node;
use crate::api::SERVED;
use crate::cleaner::CleanerCounts;
use crate::partition::Partition;

/// What the metadata says of the cluster, and of this node in it (Kafka classes `ControllerMetadataMetrics`, `ReplicaManager`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// Brokers that are registered and not fenced.
    pub active_brokers: usize,
    /// Brokers that are registered and fenced.
    pub fenced_brokers: usize,
    /// Topics.
    pub topics: usize,
    /// Their partitions.
    pub partitions: usize,
    /// Partitions without a leader.
    pub offline_partitions: usize,
    /// Partitions whose leader is not the first of their replicas.
    pub imbalanced: usize,
    /// Partitions of which this node has, or should have, a replica.
    pub replicas_here: usize,
    /// Of these, those that it can't serve because their log is not usable.
    pub offline_here: usize,
    /// Partitions led by this node.
    pub led_here: usize,
    /// Of these, those with replicas out of sync.
    pub under_replicated: usize,
    /// Of these, those with fewer replicas in sync than `min.insync.replicas`.
    pub under_min_isr: usize,
    /// Of these, those with just as many.
    pub at_min_isr: usize,
}

/// The groups that this node coordinates (Kafka class `GroupCoordinatorMetrics`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Groups, by the name of their state.
    pub by_state: BTreeMap<&'static str, usize>,
    /// Committed offsets.
    pub offsets: usize,
}

/// Offsets and size of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Its partition.
    pub partition: TopicPartition,
    /// Bytes of its segments.
    pub size: u64,
    /// First offset that may be read.
    pub start: i64,
    /// The next offset to be given.
    pub end: i64,
    /// How many segments it has.
    pub segments: usize,
}

impl LogRow {
    fn of(reader: &LogReader) -> LogRow {
        let offsets = reader.offsets();
        LogRow {
            partition: reader.partition().clone(),
            size: reader.size_bytes(),
            start: offsets.start,
            end: offsets.end,
            segments: reader.segment_count(),
        }
    }
}

/// What the metadata quorum's log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// The leader's node id.
    pub leader: i32,
    /// Its epoch.
    pub epoch: i32,
    /// Everything below is committed.
    pub high_watermark: i64,
    /// The next offset to be given.
    pub end: i64,
    /// The last record that this node has applied.
    pub applied: i64,
}

/// Everything at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The node's state.
    pub state: BrokerState,
    /// Whether this node is the active controller.
    pub controller: bool,
    /// Counts by topic name.
    pub topics: Vec<(Arc<str>, TopicCounts)>,
    /// The sum over all topics that ever were.
    pub all_topics: TopicCounts,
    /// Counts by API, and its latencies within the last minutes.
    pub apis: Vec<(ApiKey, ApiCounts, Bins)>,
    /// All logs by partition, the metadata log among them.
    pub logs: Vec<LogRow>,
    /// Of the metadata.
    pub cluster: ClusterCounts,
    /// Of the groups.
    pub groups: GroupCounts,
    /// Of the quorum.
    pub quorum: Quorum,
    /// Log directories that are offline.
    pub offline_directories: usize,
    /// Open connections of clients.
    pub connections: usize,
    /// Of the log cleaner.
    pub cleaner: CleanerCounts,
    /// Of the process, where the node is one.
    pub process: Option<ProcessStats>,
}

impl Node {
    /// How many of this node's partitions have no log in use yet.
    pub(crate) fn logs_to_load(&self) -> usize {
        let here = self.topics.all();
        cluster(&self.image(), self.node_id().0, &here)
            .replicas_here
            .saturating_sub(here.len())
    }

    /// What there is to show now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let image = self.image();
        let partitions = self.topics.all();
        let metadata = self.metadata_log();
        let offsets = metadata.offsets();
        let (topics, all_topics) = self.metrics.topic_counts();
        let mut logs: Vec<LogRow> = partitions.iter().map(|p| LogRow::of(p.reader())).collect();
        logs.push(LogRow::of(metadata));
        Snapshot {
            state: self.health.state(),
            // The only voter leads from its start to its end.
            controller: self.health.state() == BrokerState::Running && self.failure().is_none(),
            topics,
            all_topics,
            apis: self.metrics.api_counts(SERVED, self.env.clock.now()),
            logs,
            cluster: cluster(&image, self.node_id().0, &partitions),
            groups: self.coordinators.counts(),
            quorum: Quorum {
                leader: self.node_id().0,
                epoch: offsets.epoch,
                high_watermark: offsets.high_watermark,
                end: offsets.end,
                applied: image.offset(),
            },
            offline_directories: self.directories().iter().filter(|dir| !dir.online).count(),
            connections: self.connection_count(),
            cleaner: self.cleaner.counts(self),
            process: self.env.tasks.process(),
        }
    }
}

/// Counts what the image holds; `here` are the partitions that `node` serves.
fn cluster(image: &MetadataImage, node: i32, here: &[Arc<Partition>]) -> ClusterCounts {
    let mut counts = ClusterCounts {
        topics: image.topics().len(),
        partitions: image.topics().partition_count(),
        ..ClusterCounts::default()
    };
    for broker in image.cluster().brokers() {
        if broker.fenced {
            counts.fenced_brokers += 1;
        } else {
            counts.active_brokers += 1;
        }
    }
    for topic in image.topics().iter() {
        for (_, partition) in topic.partitions.iter() {
            counts.offline_partitions += usize::from(partition.leader < 0);
            let preferred = partition.leader == partition.preferred_leader();
            counts.imbalanced += usize::from(partition.leader >= 0 && !preferred);
            counts.replicas_here += usize::from(partition.replicas.contains(&node));
        }
    }
    let usable = here.iter().filter(|p| p.reader().check().is_ok()).count();
    counts.offline_here = counts.replicas_here.saturating_sub(usable);
    for partition in here {
        let Some(entry) = image
            .topics()
            .partition(partition.topic_id, partition.id.partition)
        else {
            continue;
        };
        if entry.leader != node {
            continue;
        }
        let in_sync = i64::try_from(entry.isr.len()).unwrap_or(i64::MAX);
        let least = i64::from(partition.config().min_insync_replicas);
        counts.led_here += 1;
        counts.under_replicated += usize::from(entry.isr.len() < entry.replicas.len());
        counts.under_min_isr += usize::from(in_sync < least);
        counts.at_min_isr += usize::from(in_sync == least);
    }
    counts
}
