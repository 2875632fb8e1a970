//! Tests of a node's configuration as a whole.

use super::*;

const BASE: &str = "process.roles=broker,controller;node.id=1;controller.listener.names=CONTROLLER;\
    listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093;\
    controller.quorum.bootstrap.servers=127.0.0.1:9093;log.dirs=/tmp/x";

/// Values for single keys and, canonically, what Kafka 4.3.1 makes of them.
const VALUES: &str = include_str!("../facts/values.tsv");
/// Changes to [`BASE`] and whether a Kafka 4.3.1 accepts the whole.
const WHOLE: &str = include_str!("../facts/whole.tsv");

/// [`BASE`] with changes between semicolons: `key=value` sets, `-key` removes.
fn properties(changes: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for change in BASE
        .split(';')
        .chain(changes.split(';'))
        .filter(|c| !c.is_empty())
    {
        match change.split_once('=') {
            Some((key, value)) => map.insert(key.to_string(), value.to_string()),
            None => map.remove(change.trim_start_matches('-')),
        };
    }
    map
}

/// The configuration of [`properties`], which must be valid.
pub(in crate::config) fn config(changes: &str) -> BrokerConfig {
    BrokerConfig::from_properties(&properties(changes)).unwrap().0
}

fn errors(changes: &str) -> String {
    let errors = BrokerConfig::from_properties(&properties(changes)).unwrap_err();
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_setting_has_the_type_of_its_key() {
    for (name, conversion) in Settings::ROWS {
        let value = value_in(&BTreeMap::new(), name);
        let sample = if value == ConfigValue::Null {
            find_broker(name).unwrap().parse("1").unwrap()
        } else {
            value
        };
        let fits = match *conversion {
            "as_i32" => matches!(sample, ConfigValue::Int(_)),
            "as_i16" => matches!(sample, ConfigValue::Short(_)),
            "as_i64" => matches!(sample, ConfigValue::Long(_)),
            "as_f64" => matches!(sample, ConfigValue::Double(_)),
            "as_bool" => matches!(sample, ConfigValue::Boolean(_)),
            other => panic!("{other}"),
        };
        assert!(fits, "{name} {conversion} {sample:?}");
    }
}

#[test]
fn values_are_read_as_kafka_reads_them() {
    // NaN passes Kafka's range checks, nobody writes hexadecimal floats or Arabic digits, and no host is nowhere.
    let stricter = ["NaN", "0x1p-1", "٥", ":1", "1@:5"];
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in VALUES.lines() {
        let [name, raw, kafkas] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let key = find_broker(name)
            .or_else(|| crate::config::find_topic(name))
            .unwrap();
        let ours = match key.parse(raw) {
            Ok(value) => format!("ok {}", value.to_text().unwrap_or_default()),
            Err(_) => "bad".to_string(),
        };
        let expected = if stricter.contains(&raw) { "bad" } else { kafkas };
        if ours.trim_end() != expected.trim_end() {
            wrong.push(format!("{name}={raw}: {ours}, Kafka: {kafkas}"));
        }
        cases += 1;
    }
    assert!(cases > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_whole_is_accepted_where_kafka_accepts_it() {
    // A port must fit into 16 bits here, which Kafka notices when it binds; a limit below zero means nothing.
    let stricter = ["127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:-5"];
    let (mut cases, mut wrong) = (0, Vec::new());
    for line in WHOLE.lines() {
        let (changes, kafkas) = line.rsplit_once('\t').unwrap();
        let ours = BrokerConfig::from_properties(&properties(changes));
        let expected = kafkas == "ok" && !stricter.iter().any(|s| changes.contains(s));
        if ours.is_ok() != expected {
            wrong.push(format!("{changes}: {:?}, Kafka: {kafkas}", ours.err()));
        }
        cases += 1;
    }
    assert!(cases > 300 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_files_of_a_stock_kafka_are_accepted() {
    let stock = crate::config::properties::parse(include_str!("../facts/stock.properties")).unwrap();
    let stock = crate::config::properties::to_map(stock);
    let (config, warnings) = BrokerConfig::from_properties(&stock).unwrap();
    assert_eq!(config.log_dirs(), ["/tmp/kraft-combined-logs"]);
    assert!(
        warnings.iter().all(|w| matches!(w, Warning::NoEffect { .. })),
        "{warnings:?}"
    );
}

#[test]
fn addresses_are_read() {
    let c = config(
        "listeners=EXT://[::1]:9094,plaintext://:9092,CONTROLLER://0.0.0.0:9093;\
         listener.security.protocol.map=EXT:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT;\
         advertised.listeners=EXT://broker.example:443,PLAINTEXT://b:1;inter.broker.listener.name=EXT",
    );
    let text = |l: &[Listener]| l.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(
        text(c.listeners()),
        "EXT://[::1]:9094,PLAINTEXT://:9092,CONTROLLER://0.0.0.0:9093"
    );
    assert_eq!(
        text(c.advertised_listeners()),
        "EXT://broker.example:443,PLAINTEXT://b:1"
    );
    assert_eq!(
        text(c.advertised_controller_listeners()),
        "CONTROLLER://0.0.0.0:9093"
    );
    assert_eq!(c.inter_broker_listener_name(), "EXT");
    assert_eq!(c.controller_listener_names(), ["CONTROLLER"]);
    assert_eq!(c.quorum_bootstrap_servers(), [("127.0.0.1".to_string(), 9093)]);
    assert_eq!(
        c.roles(),
        Roles {
            broker: true,
            controller: true
        }
    );
    let voters = config("controller.quorum.voters=1@[::1]:9093, 2@h:1")
        .quorum_voters()
        .to_vec();
    assert_eq!(
        voters[0],
        Voter {
            id: 1,
            host: "::1".into(),
            port: 9093
        }
    );
    assert_eq!(
        voters[1],
        Voter {
            id: 2,
            host: "h".into(),
            port: 1
        }
    );
}

#[test]
fn http_is_served_where_the_key_says_and_nowhere_else() {
    let at = |value: &str| {
        config(&format!("ottla.http.listeners={value}"))
            .http_listeners()
            .to_vec()
    };
    assert_eq!(
        config("").http_listeners(),
        [],
        "a Kafka's file opens no other port"
    );
    for nowhere in ["", "off", "OFF"] {
        assert_eq!(at(nowhere), []);
    }
    let two = [("::1".to_string(), 9644), (String::new(), 0)];
    assert_eq!(at("http://[::1]:9644, HTTP://:0"), two);
    for (value, why) in [
        ("localhost:9644", "not of the form http://host:port"),
        ("off,http://:1", "not of the form"),
        ("http://::1:9644", "not of the form"),
        ("http://a/b:9644", "not of the form"),
        ("http://a:65536", "a port is a number"),
        ("https://a:9644", "write http://"),
    ] {
        let error = errors(&format!("ottla.http.listeners={value}"));
        assert!(
            error.contains("ottla.http.listeners") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn getters_follow_files_and_dynamic_settings() {
    let c = config("num.partitions=4;max.connections.per.ip.overrides=127.0.0.1:5,::1:6;broker.rack=r1");
    assert_eq!(
        (c.node_id(), c.num_partitions(), c.default_replication_factor()),
        (1, 4, 1)
    );
    assert_eq!(c.max_connections_from("127.0.0.1"), 5);
    assert_eq!(c.max_connections_from("::1"), 6);
    assert_eq!(c.max_connections_from("10.0.0.1"), i32::MAX);
    assert_eq!(
        (c.rack().as_deref(), c.metadata_log_dir().as_str()),
        (Some("r1"), "/tmp/x")
    );
    assert_eq!(config("log.dirs=/a, /b;log.dir=/c").log_dirs(), ["/a", "/b"]);
    assert_eq!(config("-log.dirs;log.dir=/c,/d").log_dirs(), ["/c", "/d"]);
    assert_eq!(config("metadata.log.dir=/m").metadata_log_dir(), "/m");
    assert_eq!(config("-node.id;broker.id=7").node_id(), 7);

    let set = |k: &str, v: &str| BTreeMap::from([(k.to_string(), v.to_string())]);
    let c = c
        .with_dynamic(set("message.max.bytes", "5"), set("max.connections", "6"))
        .unwrap();
    assert_eq!((c.message_max_bytes(), c.max_connections()), (5, 6));
    let c = c
        .with_dynamic(set("message.max.bytes", "5"), set("message.max.bytes", "7"))
        .unwrap();
    assert_eq!((c.message_max_bytes(), c.max_connections()), (7, i32::MAX));
}

#[test]
fn what_may_change_while_running() {
    let check = |name: &str, raw: &str, for_all| BrokerConfig::check_dynamic(name, raw, for_all).is_ok();
    assert!(check("message.max.bytes", "5", true));
    assert!(!check("message.max.bytes", "-5", true));
    assert!(!check("num.partitions", "5", false));
    assert!(check("listeners", "PLAINTEXT://:1", false));
    assert!(!check("listeners", "PLAINTEXT://:1", true));
    assert!(check("leader.replication.throttled.rate", "5", true));
    assert!(!check("ssl.keystore.location", "/k", false));
}

#[test]
fn security_that_is_not_there_is_refused() {
    for changes in [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "sasl.enabled.mechanisms=PLAIN",
        "sasl.jaas.config=x",
        "ssl.keystore.location=/k",
        "ssl.client.auth=required",
        "security.inter.broker.protocol=SSL",
        "security.providers=x",
        "principal.builder.class=x",
        "delegation.token.secret.key=x",
        "listener.name.plaintext.ssl.keystore.location=/k",
        "listener.name.plaintext.scram-sha-256.sasl.jaas.config=x",
        "create.topic.policy.class.name=x",
        "config.providers=file",
        "remote.log.storage.system.enable=true",
        "listeners=SSL://:9092,CONTROLLER://:9093",
        "listeners=SASL_PLAINTEXT://:9092,CONTROLLER://:9093;inter.broker.listener.name=SASL_PLAINTEXT",
        "listener.security.protocol.map=PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:SSL",
    ] {
        let text = errors(changes);
        assert!(
            text.contains("not available") && text.contains("remove"),
            "{changes}: {text}"
        );
    }
}

#[test]
fn security_keys_at_rest_are_not_refused() {
    for changes in [
        "authorizer.class.name=",
        "ssl.endpoint.identification.algorithm=",
        "sasl.enabled.mechanisms=GSSAPI",
        "ssl.enabled.protocols=TLSv1.2, TLSv1.3",
        "ssl.client.auth=none",
        "config.providers=",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL",
    ] {
        config(changes);
    }
}

#[test]
fn messages_say_what_to_do() {
    assert_eq!(
        errors("-node.id"),
        "node.id: it must be set: The number of this node, unique in the cluster."
    );
    assert_eq!(
        errors("num.partitions=0"),
        "num.partitions=0: a number of at least 1 is expected"
    );
    assert_eq!(
        errors("authorizer.class.name=a.B"),
        "authorizer.class.name=a.B: access control is not available, and running without what this asks for could expose \
         or lose data: remove the key"
    );
    assert!(!errors("ssl.key.password=hunter2").contains("hunter2"));
    assert!(
        errors("listeners=A://:1,CONTROLLER://:2;num.partitions=0;log.dirs=")
            .lines()
            .count()
            >= 2
    );
}

#[test]
fn warnings_name_unknown_and_idle_keys() {
    let warnings = |changes: &str| {
        let (_, warnings) = BrokerConfig::from_properties(&properties(changes)).unwrap();
        warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(warnings(""), "");
    assert_eq!(
        warnings("log.retension.hours=5"),
        "log.retension.hours is not a key and is ignored: did you mean log.retention.hours?"
    );
    assert_eq!(warnings("my.plugin=5"), "my.plugin is not a key and is ignored");
    assert_eq!(
        warnings("num.io.threads=5"),
        "num.io.threads has no effect in this version"
    );
    assert_eq!(warnings("num.io.threads=8"), "");
    assert_eq!(
        warnings("super.users=User:a"),
        "super.users has no effect in this version"
    );
    assert!(warnings("zookeeper.connect=z:2181").contains("ZooKeeper is gone"));
}
