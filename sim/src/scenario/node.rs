//! The production node as scenarios run it: one combined broker and controller on host `n1`, its supervisor, and its log read
//! from the simulated disk instead of believed from the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_io::{Env, timeout_at};
use ottla_node::Node;
use ottla_types::config::BrokerConfig;
use ottla_wire::records::{Batches, Decompressor, Limits};

use crate::world::{Host, World};

/// Where the node keeps its log.
const DATA: &str = "/data";

/// The values in a partition's log by offset, up to the first damage.
pub(super) fn log(world: &World, server: Host, topic: &str, partition: i32) -> BTreeMap<i64, String> {
    let disk = world.disk(server);
    let folder = format!("{}/{topic}-{partition}/", DATA.trim_start_matches('/'));
    let mut bytes = Vec::new();
    for path in disk.paths() {
        if path.trim_start_matches('/').starts_with(&folder) && path.ends_with(".log") {
            bytes.extend(disk.peek(&path).unwrap_or_default());
        }
    }
    let mut found = BTreeMap::new();
    let mut decompressor = Decompressor::new(Limits::default());
    for batch in Batches::tolerant(&bytes).map_while(Result::ok) {
        if batch.verify_crc().is_err() {
            break;
        }
        let Ok(mut records) = batch.records_with(&mut decompressor) else {
            break;
        };
        while let Some(Ok(record)) = records.next_record() {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            found.insert(batch.header().base_offset + i64::from(record.offset_delta), value);
        }
    }
    found
}

/// Starts a node that ended by itself more than a moment ago, as a supervisor would.
pub(super) fn supervise(world: &World) {
    let Some(server) = world.host("n1") else { return };
    if !world.is_up(server) && world.rng(&format!("supervisor {:?}", world.now())).chance(0.2) {
        world.restart(server);
    }
}

/// The production node, until it stops by itself.
pub(super) async fn serve(env: Env, flush: bool) {
    let flush_messages = if flush { "1" } else { "9223372036854775807" };
    let until = env.clock.now().after(Duration::from_secs(2));
    let clock = env.clock.clone();
    let Some(node) = start(env, &[("log.flush.interval.messages", flush_messages)]).await else {
        return;
    };
    if flush {
        node.failed().await;
    } else if timeout_at(&*clock, until, node.failed()).await.is_none() {
        // A clean stop now and then: what it leaves behind must not mislead a later recovery.
        node.stop().await;
    }
}

/// Formats and starts the node, with these settings beside the usual ones. `None` if its disk or network does not let it: its
/// supervisor starts it again.
pub(super) async fn start(env: Env, settings: &[(&str, &str)]) -> Option<Arc<Node>> {
    let given = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
        ("advertised.listeners", "PLAINTEXT://n1:9092"),
        ("controller.listener.names", "CONTROLLER"),
        ("controller.quorum.voters", "1@n1:9093"),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("log.dirs", DATA),
        ("log.retention.ms", "-1"),
        // Checkpoints are renames, and a rename that is lost is a fault worth having often.
        ("replica.high.watermark.checkpoint.interval.ms", "100"),
    ];
    let given = given
        .iter()
        .chain(settings)
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let config = match BrokerConfig::from_properties(&given) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{errors:?}"),
    };
    let formatted = ottla_node::format(&env, &config, "5L6g3nShT-eMCtK--X86sw").await;
    formatted.ok()?;
    Node::start(env, config).await.ok()
}
