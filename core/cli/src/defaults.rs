//! The configuration of `ottla server` without a file: one node, broker and controller, for one machine.

use std::collections::BTreeMap;

/// The controller's listener, and where it listens if nothing else is said.
const CONTROLLER: &str = "CONTROLLER";
const CONTROLLER_ADDRESS: &str = "127.0.0.1:9093";
/// The clients' port, and where HTTP is served beside it.
const CLIENTS_PORT: &str = ":9092";
const HTTP: &str = "http://127.0.0.1:9644";
/// Beside another clients' port: a second node on this machine must not fail over a port that nobody asked for.
const HTTP_ANYWHERE: &str = "http://127.0.0.1:0";

/// One node for one machine.
pub fn single_node() -> BTreeMap<String, String> {
    let pairs = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        (
            "listeners",
            "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
        ),
        ("controller.listener.names", CONTROLLER),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("log.dirs", "ottla-data"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
    ];
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// Completes [`single_node`] after overrides: a controller listener if `listeners` lost it, and this node as the only voter
/// where it listens, unless the voters were given; and HTTP on this machine's own address.
pub fn complete(given: &mut BTreeMap<String, String>) {
    let get = |given: &BTreeMap<String, String>, key: &str| given.get(key).cloned().unwrap_or_default();
    let ours = get(given, "controller.listener.names") == CONTROLLER;
    if ours && address(&get(given, "listeners")).is_none() {
        let listeners = format!("{},{CONTROLLER}://{CONTROLLER_ADDRESS}", get(given, "listeners"));
        given.insert("listeners".into(), listeners);
    }
    let quorum = ["controller.quorum.voters", "controller.quorum.bootstrap.servers"];
    if ours && !quorum.iter().any(|key| given.contains_key(*key)) {
        let listeners = get(given, "listeners");
        // A port that the system chooses is not known yet; the only voter is not asked over the network anyway.
        let address = address(&listeners).filter(|a| !a.ends_with(":0") && !a.starts_with(':'));
        let address = address.unwrap_or(CONTROLLER_ADDRESS);
        let voters = format!("{}@{address}", get(given, "node.id"));
        given.insert("controller.quorum.voters".into(), voters);
    }
    if !given.contains_key("ottla.http.listeners") {
        let listeners = get(given, "listeners");
        let usual = listeners.split(',').any(|l| l.trim().ends_with(CLIENTS_PORT));
        let http = if usual { HTTP } else { HTTP_ANYWHERE };
        given.insert("ottla.http.listeners".into(), http.into());
    }
}

/// Host and port of the controller's listener.
fn address(listeners: &str) -> Option<&str> {
    let all = listeners
        .split(',')
        .filter_map(|listener| listener.trim().split_once("://"));
    all.filter(|(name, _)| *name == CONTROLLER)
        .map(|(_, address)| address)
        .next()
}

#[cfg(test)]
mod tests {
    use ottla_types::config::{BrokerConfig, Warning};

    use super::*;

    fn with(overrides: &[(&str, &str)]) -> BrokerConfig {
        let mut given = single_node();
        given.extend(
            overrides
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string())),
        );
        complete(&mut given);
        BrokerConfig::from_properties(&given).unwrap().0
    }

    #[test]
    fn the_defaults_are_accepted() {
        let mut given = single_node();
        complete(&mut given);
        let (config, warnings) = BrokerConfig::from_properties(&given).unwrap();
        let unknown = warnings.iter().any(|w| matches!(w, Warning::Unknown { .. }));
        assert!(!unknown, "{warnings:?}");
        assert_eq!(config.node_id(), 1);
        assert!(config.roles().broker && config.roles().controller);
        assert_eq!(config.log_dirs(), ["ottla-data"]);
        assert_eq!(config.quorum_voters().len(), 1);
        assert_eq!(config.offsets_topic_replication_factor(), 1);
    }

    #[test]
    fn the_voter_follows_node_id_and_listeners() {
        let config = with(&[
            ("node.id", "7"),
            (
                "listeners",
                "PLAINTEXT://127.0.0.1:1092, CONTROLLER://127.0.0.1:1093",
            ),
        ]);
        let voter = &config.quorum_voters()[0];
        assert_eq!((voter.id, voter.port), (7, 1093));
    }

    #[test]
    fn a_controller_listener_is_added_when_only_the_clients_is_given() {
        let config = with(&[("listeners", "PLAINTEXT://127.0.0.1:19092")]);
        let ports: Vec<u16> = config.listeners().iter().map(|l| l.port).collect();
        assert_eq!(ports, [19092, 9093]);
        let config = with(&[("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0")]);
        assert_eq!(config.quorum_voters()[0].port, 9093);
    }

    #[test]
    fn http_stands_beside_the_usual_port_and_nowhere_fixed_beside_others() {
        let http = |overrides: &[(&str, &str)]| with(overrides).http_listeners().to_vec();
        assert_eq!(http(&[]), [("127.0.0.1".to_string(), 9644)]);
        let other = ("listeners", "PLAINTEXT://127.0.0.1:19092");
        assert_eq!(http(&[other]), [("127.0.0.1".to_string(), 0)]);
        assert_eq!(http(&[("ottla.http.listeners", "off")]), []);
    }

    #[test]
    fn given_voters_stay() {
        let config = with(&[("controller.quorum.voters", "1@localhost:9093")]);
        assert_eq!(config.quorum_voters()[0].host, "localhost");
    }
}
