//! Tests of counting and of the page, with a strict reader of Prometheus's text format.

use std::collections::{BTreeMap, BTreeSet};

use ottla_io::ProcessStats;
use ottla_types::event::BrokerState;
use ottla_types::{Time, TopicPartition};

use super::snapshot::{ClusterCounts, LogRow, Quorum};
use super::*;
use crate::cleaner::CleanerCounts;

type Series = BTreeMap<String, f64>;

/// Reads a page of the format 0.0.4 and panics at whatever a strict scraper could object to.
fn read(page: &str) -> Series {
    assert!(page.ends_with('\n') && !page.contains("\n\n"));
    let (mut series, mut kinds) = (Series::new(), BTreeMap::new());
    let (mut help, mut current) = (None, None::<(String, String)>);
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("a text");
            assert!(!text.is_empty() && is_name(name), "{line}");
            help = Some(name.to_string());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(help.take().as_deref(), Some(name), "HELP stands before TYPE");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let twice = kinds.insert(name.to_string(), kind.to_string());
            assert_eq!(twice, None, "{name} is one family");
            current = Some((name.to_string(), kind.to_string()));
        } else {
            let (labelled, value) = line.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite(), "{line}");
            let name = labelled.split('{').next().unwrap_or_default();
            check_labels(labelled.strip_prefix(name).unwrap_or_default());
            let (family, kind) = current.as_ref().expect("a family");
            let suffix = name
                .strip_prefix(family.as_str())
                .expect("a series of the family above");
            match kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            let twice = series.insert(labelled.to_string(), value);
            assert_eq!(twice, None, "{labelled} stands once");
        }
    }
    assert_eq!(help, None, "a HELP without its TYPE");
    series
}

fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    first
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `{name="value",...}`, where a value escapes backslash, quote and line feed.
fn check_labels(text: &str) {
    let Some(inner) = text.strip_prefix('{') else {
        assert_eq!(text, "");
        return;
    };
    let mut rest = inner.strip_suffix('}').expect("a brace");
    let mut names = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("a label");
        // `logDirectory` is as the JMX exporter has it.
        let small = name.to_ascii_lowercase();
        assert!(is_name(&small) && names.insert(name), "{text}");
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (_, '\\') => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n'))), "{text}"),
                (at, '"') => break at,
                _ => {}
            }
        };
        match value[end + 1..].strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                assert_eq!(&value[end + 1..], "", "{text}");
                return;
            }
        }
    }
}

fn snapshot(metrics: &Metrics, now: Mono) -> Snapshot {
    let (topics, all_topics) = metrics.topic_counts();
    let log = |topic: &str| LogRow {
        partition: TopicPartition::new(topic, 3),
        size: 1_000,
        start: 5,
        end: 12,
        segments: 2,
    };
    Snapshot {
        state: BrokerState::Running,
        controller: true,
        topics,
        all_topics,
        apis: metrics.api_counts(&[ApiKey::Produce, ApiKey::Fetch], now),
        logs: vec![log("a"), log("b")],
        cluster: ClusterCounts {
            under_replicated: 4,
            ..ClusterCounts::default()
        },
        groups: GroupCounts {
            by_state: [("Stable", 3), ("Empty", 2)].into(),
            offsets: 11,
        },
        quorum: Quorum {
            leader: 1,
            epoch: 2,
            high_watermark: 30,
            end: 31,
            applied: 29,
        },
        offline_directories: 1,
        connections: 7,
        cleaner: CleanerCounts {
            recopy_percent: 12,
            uncleanable: vec![("/data".into(), 2, 900)],
            ..CleanerCounts::default()
        },
        process: Some(ProcessStats {
            cpu: Duration::from_millis(1_250),
            resident_bytes: 20 << 20,
            virtual_bytes: 1 << 30,
            open_files: 42,
            max_files: 1024,
            started: Time(1_700_000_000_500),
        }),
    }
}

fn page(metrics: &Metrics) -> Series {
    read(&snapshot(metrics, Mono(0)).page(Format::Prometheus).unwrap())
}

const A: Uuid = Uuid::from_bytes([1; 16]);
const B: Uuid = Uuid::from_bytes([2; 16]);

#[test]
fn the_page_is_strictly_valid_and_has_dashboards_names() {
    let metrics = Metrics::new();
    let a = metrics.topic(A, "a");
    a.produce_asked();
    a.produced(700, 9);
    a.fetched(650, 0);
    metrics.topic(B, "b").produced(50, 1);
    metrics.served(ApiKey::Produce, Duration::from_millis(3), 800, 60);
    metrics.served(ApiKey::Fetch, Duration::from_secs(100), 90, 700);
    metrics.rejected(ApiKey::Fetch);
    let series = page(&metrics);
    for (name, value) in [
        ("kafka_server_brokertopicmetrics_messagesin_total", 10.0),
        (
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"a\"}",
            9.0,
        ),
        (
            "kafka_server_brokertopicmetrics_bytesin_total{topic=\"a\"}",
            700.0,
        ),
        ("kafka_server_brokertopicmetrics_bytesin_total{topic=\"b\"}", 50.0),
        (
            "kafka_server_brokertopicmetrics_bytesout_total{topic=\"a\"}",
            650.0,
        ),
        (
            "kafka_server_brokertopicmetrics_totalproducerequests_total{topic=\"a\"}",
            1.0,
        ),
        ("kafka_server_brokertopicmetrics_totalfetchrequests_total", 1.0),
        ("kafka_coordinator_group_groupmetadatamanager_numgroups", 5.0),
        (
            "kafka_coordinator_group_groupmetadatamanager_numgroupsstable",
            3.0,
        ),
        ("kafka_coordinator_group_groupmetadatamanager_numgroupsdead", 0.0),
        ("kafka_coordinator_group_groupmetadatamanager_numoffsets", 11.0),
        (
            "kafka_network_requestmetrics_requests_total{request=\"Produce\"}",
            1.0,
        ),
        (
            "kafka_network_requestmetrics_totaltimems{request=\"Produce\",quantile=\"0.50\"}",
            3.75,
        ),
        (
            "kafka_network_requestmetrics_totaltimems{request=\"FetchConsumer\",quantile=\"0.999\"}",
            30_000.0,
        ),
        (
            "ottla_request_duration_seconds_bucket{le=\"0.0025\",request=\"Produce\"}",
            0.0,
        ),
        (
            "ottla_request_duration_seconds_bucket{le=\"0.005\",request=\"Produce\"}",
            1.0,
        ),
        (
            "ottla_request_duration_seconds_bucket{le=\"+Inf\",request=\"FetchConsumer\"}",
            1.0,
        ),
        (
            "ottla_request_duration_seconds_sum{request=\"FetchConsumer\"}",
            100.0,
        ),
        ("ottla_request_bytes_total{request=\"Produce\"}", 800.0),
        ("ottla_response_bytes_total{request=\"FetchConsumer\"}", 700.0),
        ("ottla_requests_rejected_total{request=\"FetchConsumer\"}", 1.0),
        ("kafka_log_log_size{topic=\"a\",partition=\"3\"}", 1_000.0),
        ("kafka_log_log_logendoffset{topic=\"b\",partition=\"3\"}", 12.0),
        ("kafka_log_log_logstartoffset{topic=\"b\",partition=\"3\"}", 5.0),
        ("kafka_log_logmanager_offlinelogdirectorycount", 1.0),
        ("kafka_server_replicamanager_underreplicatedpartitions", 4.0),
        ("kafka_controller_kafkacontroller_activecontrollercount", 1.0),
        ("kafka_server_raftmetrics_high_watermark", 30.0),
        ("kafka_server_kafkaserver_brokerstate", 3.0),
        ("kafka_server_socket_server_metrics_connection_count", 7.0),
        ("kafka_log_logcleaner_cleaner_recopy_percent", 12.0),
        (
            "kafka_log_logcleanermanager_uncleanable_partitions_count{logDirectory=\"/data\"}",
            2.0,
        ),
        ("process_cpu_seconds_total", 1.25),
        ("process_resident_memory_bytes", 20_971_520.0),
        ("process_open_fds", 42.0),
        ("process_start_time_seconds", 1_700_000_000.5),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
}

#[test]
fn buckets_rise_to_the_count() {
    let metrics = Metrics::new();
    for millis in [0, 1, 1, 7, 70, 40_000] {
        metrics.served(ApiKey::Produce, Duration::from_millis(millis), 0, 0);
    }
    let series = page(&metrics);
    let mut buckets: Vec<(f64, f64)> = series
        .iter()
        .filter(|(name, _)| name.contains("_bucket") && name.contains("Produce"))
        .map(|(name, value)| {
            let le = name.split('"').nth(1).unwrap().replace("+Inf", "inf");
            (le.parse().unwrap(), *value)
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(buckets.len(), histogram::BOUNDS.len() + 1);
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 6.0)));
    let at = |le: f64| buckets.iter().find(|(bound, _)| *bound == le).unwrap().1;
    assert_eq!((at(0.001), at(0.01), at(30.0)), (3.0, 4.0, 5.0));
}

#[test]
fn who_asks_for_open_metrics_gets_it() {
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    assert_eq!(Format::accepted(accept), Format::OpenMetrics);
    assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    let metrics = Metrics::new();
    metrics.topic(A, "a").produced(1, 1);
    let open = snapshot(&metrics, Mono(0)).page(Format::OpenMetrics).unwrap();
    assert!(open.ends_with("\n# EOF\n"));
    assert!(open.contains("# TYPE kafka_server_brokertopicmetrics_bytesin counter\n"));
    let samples = |page: &str| {
        page.lines()
            .filter(|l| !l.starts_with('#'))
            .map(str::to_string)
            .collect()
    };
    let (open, plain): (Vec<String>, Vec<String>) = (
        samples(&open),
        samples(&snapshot(&metrics, Mono(0)).page(Format::Prometheus).unwrap()),
    );
    assert_eq!(open, plain);
}

#[test]
fn a_deleted_topics_series_end_and_the_sum_stays() {
    const ALL: &str = "kafka_server_brokertopicmetrics_messagesin_total";
    let metrics = Metrics::new();
    let a = metrics.topic(A, "a");
    a.produced(10, 5);
    metrics.topic(B, "b").produced(10, 1);
    assert!(
        Arc::ptr_eq(&a, &metrics.topic(A, "a")),
        "partitions share their topic's"
    );
    metrics.remove_topic(A);
    assert!(
        page(&metrics)
            .keys()
            .all(|name| !name.contains("messagesin_total{topic=\"a\"}"))
    );
    // A request that is under way when the topic goes still counts.
    a.produced(10, 2);
    assert_eq!(page(&metrics)[ALL], 8.0);
    drop(a);
    assert_eq!(page(&metrics)[ALL], 8.0);
    assert!(lock(&metrics.topics).leaving.is_empty(), "nothing is kept of it");
    // A new topic of that name begins at zero.
    metrics.topic(Uuid::from_bytes([3; 16]), "a").produced(10, 1);
    let series = page(&metrics);
    assert_eq!(series[&format!("{ALL}{{topic=\"a\"}}")], 1.0);
    assert_eq!(series[ALL], 9.0);
}

#[test]
fn only_what_kafka_does_not_expect_is_a_failure() {
    let topic = TopicMetrics::default();
    topic.produce_failed(ErrorCode::MessageTooLarge);
    topic.produce_failed(ErrorCode::OutOfOrderSequenceNumber);
    topic.fetched(0, ErrorCode::OffsetOutOfRange.code());
    topic.fetched(0, ErrorCode::CorruptMessage.code());
    let counts = topic.counts();
    assert_eq!(
        (counts.failed_produce_requests, counts.failed_fetch_requests),
        (1, 1)
    );
    assert_eq!(counts.fetch_requests, 2);
}

#[test]
fn quantiles_forget_what_is_long_past() {
    let metrics = Metrics::new();
    let median = |seconds: u64| {
        let rows = metrics.api_counts(&[ApiKey::Produce], Mono(seconds * 1_000_000_000));
        rows[0].2.quantile_ms(0.5)
    };
    metrics.served(ApiKey::Produce, Duration::from_secs(4), 0, 0);
    assert!(median(1) > 2_500.0);
    assert!(median(61) > 2_500.0, "the first mark is made after this look");
    metrics.served(ApiKey::Produce, Duration::from_micros(80), 0, 0);
    assert!(median(100) > 0.05, "both still count");
    assert!(median(122) > 0.05);
    assert!(
        (0.05..=0.1).contains(&median(123)),
        "the slow one is older than the mark"
    );
    let rows = metrics.api_counts(&[ApiKey::Produce], Mono(0));
    assert_eq!(rows[0].1.latency.count(), 2, "the counters forget nothing");
    assert_eq!(Bins::default().quantile_ms(0.99), 0.0);
}
