//! The node's HTTP port on the simulated network and disk: what it shows, when readiness turns red, and what a stranger can't do to it.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use common::*;
use ottla_io::Env;
use ottla_node::Node;
use ottla_sim::disk::faults::DiskOp;
use ottla_sim::{DiskFaults, Host, Options, World, run};
use ottla_types::config::BrokerConfig;
use ottla_wire::framing::put_request;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::messages::produce_response::ProduceResponse;
use ottla_wire::records::{BatchBuilder, BatchOptions, Compressor};
use ottla_wire::{Reader, Request};

const HTTP: u16 = 9644;

type Running = Arc<Mutex<Option<Arc<Node>>>>;

/// A node that serves until its story says otherwise.
async fn serve(env: Env, running: Running) {
    let given = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("advertised.listeners", "PLAINTEXT://n1:9092"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", "1@n1:9093"),
        ("log.dirs", "/data"),
        ("ottla.http.listeners", "http://:9644"),
        // Nothing is written but what the story asks for.
        ("replica.high.watermark.checkpoint.interval.ms", "10000000"),
        ("log.initial.task.delay.ms", "10000000"),
        ("log.retention.check.interval.ms", "10000000"),
    ];
    let given: BTreeMap<String, String> = given.map(|(k, v)| (k.to_string(), v.to_string())).into();
    let (config, _) = BrokerConfig::from_properties(&given).unwrap();
    ottla_node::format(&env, &config, "5L6g3nShT-eMCtK--X86sw")
        .await
        .unwrap();
    let node = Node::start(env, config).await.unwrap();
    *running.lock().unwrap() = Some(node);
    std::future::pending().await
}

/// A node that runs, the client beside it, and both in a world.
fn story<F>(tell: impl FnOnce(World, Host, Env, Running) -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    run(Options::seed(1), move |world| async move {
        let (n1, client) = (world.add_node("n1"), world.add_node("client"));
        let running = Running::default();
        let kept = running.clone();
        world.boot(n1, move |env| serve(env, kept.clone()));
        let env = world.boot_idle(client);
        until(&world, &env, 200).await;
        tell(world, n1, env, running).await;
    })
    .expect_pass();
}

/// Waits until `/v1/ready` answers with this status.
async fn until(world: &World, env: &Env, status: u16) -> String {
    for _ in 0..600 {
        if let Some((found, body)) = try_ask(env, "GET /v1/ready HTTP/1.1\r\nHost: n1\r\n\r\n").await
            && found == status
        {
            return body;
        }
        world.sleep(Duration::from_millis(50)).await;
    }
    panic!("{status} did not come within 30 s");
}

/// Sends `request`; the answer's status and body, once the server has closed the connection.
async fn try_ask(env: &Env, request: &str) -> Option<(u16, String)> {
    let mut conn = env.net.connect("n1", HTTP).await.ok()?;
    write(&mut conn, request.as_bytes()).await.ok()?;
    let answer = rest(&mut conn).await;
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.to_lowercase().contains("cache-control: no-store"), "{head}");
    Some((status, body.to_string()))
}

async fn ask(env: &Env, request: &str) -> (u16, String) {
    try_ask(env, &format!("{request} HTTP/1.1\r\nHost: n1\r\n\r\n"))
        .await
        .expect("an answer")
}

/// All that still comes on a connection, whether it ends or is reset.
async fn rest(conn: &mut Conn) -> String {
    let mut all = Vec::new();
    while let Ok(bytes) = read(conn).await {
        if bytes.is_empty() {
            break;
        }
        all.extend(bytes);
    }
    String::from_utf8(all).unwrap()
}

/// Sends a Kafka request over a connection of its own; the body of its answer, `None` if there is none.
async fn call<'a, R: Request<'a>>(env: &Env, request: &R, version: i16) -> Option<BytesMut> {
    let mut conn = env.net.connect("n1", 9092).await.unwrap();
    let mut frame = Vec::new();
    put_request(&mut frame, version, 1, Some("test"), request).unwrap();
    write(&mut conn, &frame).await.unwrap();
    let mut answer = BytesMut::new();
    while answer.len() < 4 || answer.len() < 4 + answer.clone().get_u32() as usize {
        let more = read(&mut conn).await.ok().filter(|bytes| !bytes.is_empty())?;
        answer.extend_from_slice(&more);
    }
    answer.advance(8);
    Some(answer)
}

/// Makes the topic `t`; whether it was answered at all.
async fn create_topic(env: &Env) -> bool {
    let topics = Some(vec![MetadataRequestTopic {
        name: Some("t"),
        ..Default::default()
    }]);
    let metadata = MetadataRequest {
        topics,
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    call(env, &metadata, 4).await.is_some()
}

/// Produces `records` records; the batch's bytes, or the error code.
async fn produce(env: &Env, records: usize) -> Result<usize, i16> {
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        builder.append(1_000, None, Some(b"value"), &[]).unwrap();
    }
    let batch = builder
        .finish(&BatchOptions::default(), &mut Compressor::new())
        .unwrap();
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 4_000,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(&batch),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = call(env, &request, 7).await.expect("an answer");
    let response = ProduceResponse::decode(&mut Reader::new(&answer), 7).unwrap();
    match response.responses[0].partition_responses[0].error_code {
        0 => Ok(batch.len()),
        code => Err(code),
    }
}

/// Fetches from the beginning of `t`.
async fn fetch(env: &Env) {
    let request = FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "t",
            partitions: vec![FetchPartition {
                current_leader_epoch: -1,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    call(env, &request, 11).await.expect("an answer");
}

fn value(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}"))
        .parse()
        .unwrap()
}

#[test]
fn counters_move_by_what_was_sent() {
    story(|world, _, env, _| async move {
        create_topic(&env).await;
        let mut bytes = 0;
        for records in [1, 10, 100] {
            bytes += produce(&env, records).await.unwrap();
        }
        fetch(&env).await;
        let (status, page) = ask(&env, "GET /metrics").await;
        assert_eq!(status, 200);
        const TOPICS: &str = "kafka_server_brokertopicmetrics";
        for topic in ["", "{topic=\"t\"}"] {
            let of = |name: &str| value(&page, &format!("{TOPICS}_{name}_total{topic}"));
            assert_eq!(of("messagesin"), 111.0);
            assert_eq!((of("bytesin"), of("bytesout")), (bytes as f64, bytes as f64));
            assert_eq!((of("totalproducerequests"), of("totalfetchrequests")), (3.0, 1.0));
            assert_eq!(
                (of("failedproducerequests"), of("failedfetchrequests")),
                (0.0, 0.0)
            );
        }
        let log = "{topic=\"t\",partition=\"0\"}";
        assert_eq!(value(&page, &format!("kafka_log_log_size{log}")), bytes as f64);
        assert_eq!(value(&page, &format!("kafka_log_log_logendoffset{log}")), 111.0);
        let requests = |api: &str| {
            let labels = format!("{{request=\"{api}\"}}");
            value(
                &page,
                &format!("kafka_network_requestmetrics_requests_total{labels}"),
            )
        };
        assert_eq!(
            (
                requests("Produce"),
                requests("FetchConsumer"),
                requests("Metadata")
            ),
            (3.0, 1.0, 1.0)
        );
        assert_eq!(value(&page, "kafka_server_replicamanager_leadercount"), 1.0);
        assert_eq!(
            value(&page, "kafka_controller_kafkacontroller_activecontrollercount"),
            1.0
        );
        assert_eq!(
            value(&page, "kafka_controller_kafkacontroller_activebrokercount"),
            1.0
        );
        assert_eq!(value(&page, "kafka_server_kafkaserver_brokerstate"), 3.0);
        world.sleep(Duration::from_secs(1)).await;
        let (_, again) = ask(&env, "GET /metrics").await;
        assert_eq!(
            value(&again, "kafka_server_socket_server_metrics_connection_count"),
            0.0
        );
    });
}

#[test]
fn a_full_disk_turns_readiness_red_until_there_is_room() {
    story(|world, n1, env, _| async move {
        create_topic(&env).await;
        produce(&env, 1).await.unwrap();
        world.limit_disk(n1, Some(10));
        assert_eq!(produce(&env, 1).await, Err(56), "KAFKA_STORAGE_ERROR");
        let (status, body) = ask(&env, "GET /v1/ready").await;
        assert_eq!(status, 503);
        assert!(
            body.contains("\"disk-full\"") && body.contains("\"/data\""),
            "{body}"
        );
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 503, "it is still full");
        world.limit_disk(n1, None);
        assert_eq!(
            ask(&env, "GET /v1/ready").await.0,
            200,
            "there is room, though nobody has used it yet"
        );
        produce(&env, 1).await.unwrap();
        // A quota, which does not show in the free space: red until no append was refused for a while.
        let no_space = DiskFaults {
            no_space: 1.0,
            ..DiskFaults::default()
        };
        world.fault_disk(n1, no_space);
        assert_eq!(produce(&env, 1).await, Err(56));
        world.calm_disk(n1);
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 503);
        produce(&env, 1).await.unwrap();
        world.sleep(Duration::from_secs(29)).await;
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 503, "it does not flap");
        world.sleep(Duration::from_secs(2)).await;
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 200);
    });
}

/// The controller took a full disk for a broken metadata log, and the node stopped.
#[test]
fn a_full_disk_refuses_topics_and_stops_nothing() {
    story(|world, n1, env, _| async move {
        world.limit_disk(n1, Some(10));
        assert!(create_topic(&env).await, "it is answered");
        assert_eq!(produce(&env, 1).await, Err(3), "UNKNOWN_TOPIC_OR_PARTITION");
        let (status, body) = ask(&env, "GET /v1/ready").await;
        assert_eq!(status, 503);
        assert!(
            body.contains("\"disk-full\"") && !body.contains("\"failed\""),
            "{body}"
        );
        world.limit_disk(n1, None);
        create_topic(&env).await;
        produce(&env, 1).await.unwrap();
        world.sleep(Duration::from_secs(31)).await;
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 200);
    });
}

#[test]
fn a_failed_sync_turns_readiness_red_for_good() {
    story(|world, n1, env, running| async move {
        let failing = DiskFaults {
            sync_error: 1.0,
            ..DiskFaults::default()
        };
        world.fault_disk(n1, failing);
        // The metadata log is synced before a topic is announced.
        assert!(!create_topic(&env).await);
        let body = until(&world, &env, 503).await;
        assert!(
            body.contains("\"log-directory-offline\"") && body.contains("\"/data\""),
            "{body}"
        );
        assert!(
            body.contains("\"failed\"") && body.contains("input/output error"),
            "{body}"
        );
        world.calm_disk(n1);
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(
            ask(&env, "GET /v1/ready").await.0,
            503,
            "the disk is not believed again"
        );
        let (_, page) = ask(&env, "GET /metrics").await;
        assert_eq!(value(&page, "kafka_log_logmanager_offlinelogdirectorycount"), 1.0);
        let node = running.lock().unwrap().clone().unwrap();
        assert!(!node.readiness().await.ready());
    });
}

#[test]
fn a_node_that_starts_or_stops_says_so() {
    story(|world, n1, env, running| async move {
        create_topic(&env).await;
        produce(&env, 1).await.unwrap();
        // A start that hangs at the topic's log.
        running.lock().unwrap().take();
        world.crash(n1);
        let kept = running.clone();
        let hung = Arc::new(Mutex::new(false));
        let seen = hung.clone();
        world.boot(n1, move |env| serve(env, kept.clone()));
        world.at_disk_op(n1, DiskOp::Open, "/t-0/", 0, move || *seen.lock().unwrap() = true);
        let body = until(&world, &env, 503).await;
        assert!(
            body.contains("\"starting\"") && body.contains("RECOVERY"),
            "{body}"
        );
        assert!(*hung.lock().unwrap());
        let (status, page) = ask(&env, "GET /metrics").await;
        assert_eq!(
            (status, value(&page, "kafka_server_kafkaserver_brokerstate")),
            (200, 2.0)
        );
        // A stop that hangs at the topic's log.
        world.restart(n1);
        until(&world, &env, 200).await;
        let node = running.lock().unwrap().clone().unwrap();
        world.at_disk_op(n1, DiskOp::Open, "kafka_cleanshutdown", 0, || {});
        let server = world.env(n1).unwrap();
        server
            .tasks
            .spawn("stop", Box::pin(async move { node.stop().await }));
        let body = until(&world, &env, 503).await;
        assert!(
            body.contains("\"stopping\"") && body.contains("SHUTTING_DOWN"),
            "{body}"
        );
        running.lock().unwrap().take();
    });
}

#[test]
fn only_two_paths_can_be_read_and_nothing_written() {
    story(|_, _, env, _| async move {
        for path in ["/", "/metrics/", "/v1/ready/x", "/../etc/passwd", "//metrics"] {
            let (status, body) = ask(&env, &format!("GET {path}")).await;
            assert_eq!(status, 404, "{path}");
            assert!(body.contains("/metrics") && body.contains("/v1/ready"), "{body}");
        }
        assert_eq!(ask(&env, "GET /metrics?name[]=up").await.0, 200);
        for (method, path) in [("POST", "/metrics"), ("DELETE", "/v1/ready"), ("PUT", "/metrics")] {
            let (status, body) = ask(&env, &format!("{method} {path}")).await;
            assert_eq!(status, 405, "{method}");
            assert!(body.contains("GET or HEAD"), "{body}");
        }
        for path in ["/metrics", "/v1/ready"] {
            assert_eq!(
                ask(&env, &format!("HEAD {path}")).await,
                (200, String::new()),
                "no body"
            );
        }
    });
}

#[test]
fn strangers_are_bounded() {
    story(|world, _, env, _| async move {
        let started = world.now();
        // Who never finishes a request, or never begins one, is closed when its time is over.
        let mut slow = env.net.connect("n1", HTTP).await.unwrap();
        let mut mute = env.net.connect("n1", HTTP).await.unwrap();
        for byte in b"GET /metr" {
            let _ = write(&mut slow, &[*byte]).await;
            world.sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(rest(&mut slow).await, "");
        assert_eq!(rest(&mut mute).await, "");
        let took = world.now() - started;
        assert!((4..=6).contains(&took.as_secs()), "{took:?}");
        // A head that is too long, or not HTTP.
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9_000));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(70));
        for request in [long.as_str(), many.as_str(), "\0\u{1}\r\n\r\n"] {
            let mut conn = env.net.connect("n1", HTTP).await.unwrap();
            write(&mut conn, request.as_bytes()).await.unwrap();
            let answer = rest(&mut conn).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        // More connections than there are places: those over the limit are closed at once, and places come back.
        let mut held = Vec::new();
        for _ in 0..16 {
            held.push(env.net.connect("n1", HTTP).await.unwrap());
        }
        world.sleep(Duration::from_millis(500)).await;
        let refused = try_ask(&env, "GET /v1/ready HTTP/1.1\r\n\r\n").await;
        assert_eq!(refused, None);
        drop(held);
        until(&world, &env, 200).await;
        assert_eq!(ask(&env, "GET /v1/ready").await.0, 200);
    });
}
