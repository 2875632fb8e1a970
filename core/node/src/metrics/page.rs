//! The text of `/metrics`: names as dashboards know them. Kafka has its metrics in JMX; the spelling is the one that Strimzi's rules
//! for the JMX exporter give (`kafka_<domain>_<type>_<name>` in lower case, `...PerSec` as a `_total`). What Kafka has no name for
//! begins with `ottla_`.

use std::fmt::{Error, Write};

use ottla_wire::ApiKey;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
    NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Snapshot, TopicCounts};

/// The quantiles of latencies, as the JMX exporter labels Kafka's percentiles.
const QUANTILES: [(&str, f64); 6] = [
    ("0.50", 0.5),
    ("0.75", 0.75),
    ("0.95", 0.95),
    ("0.98", 0.98),
    ("0.99", 0.99),
    ("0.999", 0.999),
];

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own, version 0.0.4: what every scraper reads.
    Prometheus,
    /// OpenMetrics 1.0, for who asks for it.
    OpenMetrics,
}

impl Format {
    /// What a scraper that sent this `Accept` gets.
    pub fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Snapshot {
    /// The page.
    pub fn page(self, format: Format) -> Result<String, Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        match format {
            Format::OpenMetrics => Ok(page),
            Format::Prometheus => plain(&page),
        }
    }
}

/// The same in Prometheus's own format, which differs in the name of a counter's family and has no end mark.
fn plain(page: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let kind = |line: &str| {
            line.strip_prefix("# TYPE ")?
                .strip_suffix(" counter")
                .map(str::to_string)
        };
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let counter = lines.peek().and_then(|next| kind(next));
            match (counter, rest.split_once(' ')) {
                (Some(name), Some((_, help))) => writeln!(out, "# HELP {name}_total {help}")?,
                _ => writeln!(out, "{line}")?,
            }
        } else if let Some(name) = kind(line) {
            writeln!(out, "# TYPE {name}_total counter")?;
        } else if line != "# EOF" {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

/// The labels of a series.
#[derive(Debug, Clone, Copy)]
pub(super) enum Labels<'a> {
    None,
    Topic(&'a str),
    Partition(&'a str, i32),
    Directory(&'a str),
    Request(&'a str),
    Quantile(&'a str, &'static str),
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), Error> {
        match *self {
            Labels::None => Ok(()),
            Labels::Topic(topic) => ("topic", topic).encode(encoder.encode_label()),
            Labels::Partition(topic, partition) => {
                ("topic", topic).encode(encoder.encode_label())?;
                ("partition", partition).encode(encoder.encode_label())
            }
            Labels::Directory(path) => ("logDirectory", path).encode(encoder.encode_label()),
            Labels::Request(request) => ("request", request).encode(encoder.encode_label()),
            Labels::Quantile(request, quantile) => {
                ("request", request).encode(encoder.encode_label())?;
                ("quantile", quantile).encode(encoder.encode_label())
            }
        }
    }
}

/// Writes families, each whole before the next.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family<'r, V>(
        &mut self,
        (name, help, kind): (&str, &str, MetricType),
        rows: impl IntoIterator<Item = (Labels<'r>, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            match labels {
                Labels::None => write(&mut family, value)?,
                labels => write(&mut family.encode_family(&labels)?, value)?,
            }
        }
        Ok(())
    }

    /// A counter; `_total` is put behind its name.
    pub(super) fn counters<'r>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'r>, u64)>,
    ) -> Result<(), Error> {
        self.family((name, help, MetricType::Counter), rows, |series, value| {
            series.encode_counter::<NoLabelSet, u64, u64>(&value, None)
        })
    }

    pub(super) fn gauges<'r, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'r>, V)>,
    ) -> Result<(), Error> {
        self.family((name, help, MetricType::Gauge), rows, |series, value| {
            series.encode_gauge(&value)
        })
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        self.gauges(name, help, [(Labels::None, value)])
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = Families(encoder);
        self.topics(&mut out)?;
        self.requests(&mut out)?;
        self.logs(&mut out)?;
        self.cleaner(&mut out)?;
        self.replicas(&mut out)?;
        self.groups(&mut out)?;
        self.controller(&mut out)?;
        self.process(&mut out)
    }
}

/// The name of an API in the label `request`; every fetch here is a consumer's.
fn request_name(api: ApiKey) -> &'static str {
    match api {
        ApiKey::Fetch => "FetchConsumer",
        other => other.name(),
    }
}

type TopicRow = (&'static str, &'static str, fn(&TopicCounts) -> u64);

/// Counters by topic and, without a label, of all topics.
const TOPIC_ROWS: [TopicRow; 7] = [
    ("messagesin", "Records produced", |c| c.messages_in),
    ("bytesin", "Bytes of record batches produced", |c| c.bytes_in),
    ("bytesout", "Bytes of record batches fetched", |c| c.bytes_out),
    (
        "totalproducerequests",
        "Produce requests, counted per partition",
        |c| c.produce_requests,
    ),
    (
        "totalfetchrequests",
        "Fetch requests, counted per partition",
        |c| c.fetch_requests,
    ),
    (
        "failedproducerequests",
        "Produce requests that failed unexpectedly, counted per partition",
        |c| c.failed_produce_requests,
    ),
    (
        "failedfetchrequests",
        "Fetch requests that failed unexpectedly, counted per partition",
        |c| c.failed_fetch_requests,
    ),
];

impl Snapshot {
    fn topics(&self, out: &mut Families<'_>) -> Result<(), Error> {
        for (name, help, get) in TOPIC_ROWS {
            let all = [(Labels::None, get(&self.all_topics))];
            let each = self
                .topics
                .iter()
                .map(|(topic, c)| (Labels::Topic(topic), get(c)));
            let name = format!("kafka_server_brokertopicmetrics_{name}");
            out.counters(&name, help, all.into_iter().chain(each))?;
        }
        Ok(())
    }

    fn requests(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let row = |api: ApiKey| Labels::Request(request_name(api));
        let apis = || self.apis.iter().map(|(api, counts, _)| (row(*api), counts));
        out.counters(
            "kafka_network_requestmetrics_requests",
            "Requests served",
            apis().map(|(labels, c)| (labels, c.latency.count())),
        )?;
        let quantiles = self.apis.iter().flat_map(|(api, _, recent)| {
            let labels = |q| Labels::Quantile(request_name(*api), q);
            QUANTILES.map(|(label, q)| (labels(label), recent.quantile_ms(q)))
        });
        out.gauges(
            "kafka_network_requestmetrics_totaltimems",
            "Milliseconds from request to answer, of the last one to two minutes between scrapes; from fixed bins",
            quantiles,
        )?;
        out.family(
            (
                "ottla_request_duration_seconds",
                "Time from request to answer, waiting included",
                MetricType::Histogram,
            ),
            apis(),
            |series, c| {
                let (sum, count) = (c.latency.seconds(), c.latency.count());
                series.encode_histogram::<NoLabelSet>(sum, count, &c.latency.rows(), None)
            },
        )?;
        out.counters(
            "ottla_request_bytes",
            "Bytes of requests, their headers included",
            apis().map(|(labels, c)| (labels, c.bytes_in)),
        )?;
        out.counters(
            "ottla_response_bytes",
            "Bytes of answers, their headers included",
            apis().map(|(labels, c)| (labels, c.bytes_out)),
        )?;
        out.counters(
            "ottla_requests_rejected",
            "Requests that closed their connection instead of being answered",
            apis().map(|(labels, c)| (labels, c.rejected)),
        )?;
        out.gauge(
            "kafka_server_socket_server_metrics_connection_count",
            "Open connections of clients",
            self.connections,
        )
    }

    fn logs(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let logs = || {
            self.logs.iter().map(|log| {
                let labels = Labels::Partition(&log.partition.topic, log.partition.partition);
                (labels, log)
            })
        };
        let size = logs().map(|(labels, log)| (labels, log.size));
        out.gauges("kafka_log_log_size", "Bytes of a log's segments", size)?;
        let end = logs().map(|(labels, log)| (labels, log.end));
        out.gauges("kafka_log_log_logendoffset", "The next offset to be given", end)?;
        let start = logs().map(|(labels, log)| (labels, log.start));
        out.gauges(
            "kafka_log_log_logstartoffset",
            "The first offset that may be read",
            start,
        )?;
        let segments = logs().map(|(labels, log)| (labels, log.segments));
        out.gauges("kafka_log_log_numlogsegments", "Segments of a log", segments)?;
        out.gauge(
            "kafka_log_logmanager_offlinelogdirectorycount",
            "Log directories that failed and are not used until a restart",
            self.offline_directories,
        )
    }

    fn replicas(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let c = &self.cluster;
        for (name, help, value) in [
            (
                "partitioncount",
                "Partitions with a replica here",
                c.replicas_here,
            ),
            ("leadercount", "Partitions led from here", c.led_here),
            (
                "offlinereplicacount",
                "Replicas here whose log is not usable",
                c.offline_here,
            ),
            (
                "underreplicatedpartitions",
                "Partitions led from here with replicas out of sync",
                c.under_replicated,
            ),
            (
                "underminisrpartitioncount",
                "Partitions led from here with fewer replicas in sync than min.insync.replicas",
                c.under_min_isr,
            ),
            (
                "atminisrpartitioncount",
                "Partitions led from here with just min.insync.replicas in sync",
                c.at_min_isr,
            ),
        ] {
            out.gauge(&format!("kafka_server_replicamanager_{name}"), help, value)?;
        }
        out.gauge(
            "kafka_server_kafkaserver_brokerstate",
            "1 starting, 2 recovering logs, 3 running, 7 shutting down",
            u32::from(self.state as u8),
        )
    }

    fn groups(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let name = |name: &str| format!("kafka_coordinator_group_groupmetadatamanager_{name}");
        let counts = &self.groups.by_state;
        out.gauge(
            &name("numgroups"),
            "Groups coordinated here",
            counts.values().sum::<usize>(),
        )?;
        out.gauge(&name("numoffsets"), "Offsets committed here", self.groups.offsets)?;
        for (state, help) in [
            ("Empty", "Groups without members"),
            ("PreparingRebalance", "Groups that wait for members to join"),
            (
                "CompletingRebalance",
                "Groups that wait for their leader's assignment",
            ),
            ("Stable", "Groups whose members may have their assignments"),
            ("Dead", "Groups that are being deleted"),
        ] {
            let count = counts.get(state).copied().unwrap_or(0);
            out.gauge(&name(&format!("numgroups{}", state.to_lowercase())), help, count)?;
        }
        Ok(())
    }

    fn controller(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let c = &self.cluster;
        for (name, help, value) in [
            (
                "activecontrollercount",
                "1 on the active controller, 0 elsewhere",
                usize::from(self.controller),
            ),
            (
                "activebrokercount",
                "Brokers registered and not fenced",
                c.active_brokers,
            ),
            (
                "fencedbrokercount",
                "Brokers registered and fenced",
                c.fenced_brokers,
            ),
            ("globaltopiccount", "Topics", c.topics),
            ("globalpartitioncount", "Partitions of all topics", c.partitions),
            (
                "offlinepartitionscount",
                "Partitions without a leader",
                c.offline_partitions,
            ),
            (
                "preferredreplicaimbalancecount",
                "Partitions not led by their first replica",
                c.imbalanced,
            ),
        ] {
            out.gauge(&format!("kafka_controller_kafkacontroller_{name}"), help, value)?;
        }
        let q = &self.quorum;
        for (name, help, value) in [
            (
                "current_leader",
                "Node id of the quorum's leader",
                i64::from(q.leader),
            ),
            (
                "current_epoch",
                "Epoch of the quorum's leader",
                i64::from(q.epoch),
            ),
            (
                "high_watermark",
                "The metadata log is committed below this offset",
                q.high_watermark,
            ),
            ("log_end_offset", "The next offset of the metadata log", q.end),
        ] {
            out.gauge(&format!("kafka_server_raftmetrics_{name}"), help, value)?;
        }
        out.gauge(
            "kafka_server_broker_metadata_metrics_last_applied_record_offset",
            "The last record of the metadata log that this node has applied",
            q.applied,
        )
    }

    /// The names that Prometheus's client libraries have for what the operating system says.
    fn process(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let cpu = [(Labels::None, process.cpu.as_secs_f64())];
        let help = "CPU time of all threads";
        out.family(
            ("process_cpu_seconds", help, MetricType::Counter),
            cpu,
            |series, seconds| series.encode_counter::<NoLabelSet, f64, f64>(&seconds, None),
        )?;
        for (name, help, value) in [
            ("resident_memory_bytes", "Memory in use", process.resident_bytes),
            ("virtual_memory_bytes", "Address space", process.virtual_bytes),
            ("open_fds", "Open files and sockets", process.open_files),
            (
                "max_fds",
                "How many files and sockets may be open",
                process.max_files,
            ),
        ] {
            out.gauge(&format!("process_{name}"), help, value)?;
        }
        let started = process.started.0 as f64 / 1000.0;
        out.gauge(
            "process_start_time_seconds",
            "When the process was started, since 1970",
            started,
        )
    }
}
