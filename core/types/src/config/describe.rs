//! What DescribeConfigs and CreateTopics say about configurations: each key with its value, where that comes from, and what
//! stands behind it (Kafka class `ConfigHelper`). Choosing keys and building the response is the request's handler's.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::broker::{BrokerConfig, base_key, broker_synonyms, listener_override};
use super::key::{ConfigKey, ConfigType, Scope, Visibility};
use super::table::{broker_keys, find_broker, find_topic, topic_keys};
use super::topic::resolve_key;

/// Where a value comes from, numbered as on the wire (Kafka class `DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigSource {
    /// The topic itself.
    Topic = 1,
    /// Set while running, for this broker.
    DynamicBroker = 2,
    /// Set while running, for all brokers.
    DynamicDefaultBroker = 3,
    /// The file or the command line.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// A logger's level.
    DynamicBrokerLogger = 6,
    /// A client metrics subscription.
    ClientMetrics = 7,
    /// A group.
    Group = 8,
}

impl ConfigSource {
    /// The number on the wire.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// A value that holds, or would hold if the stronger ones were not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSynonym {
    /// The key.
    pub name: String,
    /// Its value; `None` when it is not shown.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// A key as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// The key.
    pub name: String,
    /// Its value; `None` when unset or not shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can only be set at start.
    pub read_only: bool,
    /// Whether its value is never shown: passwords, and everything that is not a key of Kafka.
    pub sensitive: bool,
    /// Its type, if it is a key of Kafka.
    pub kind: Option<ConfigType>,
    /// The values behind it, the strongest first.
    pub synonyms: Vec<DescribedSynonym>,
    /// A line about it.
    pub documentation: Option<Cow<'static, str>>,
}

impl DescribedConfig {
    /// The number of its type on the wire, 0 for none.
    pub fn type_code(&self) -> i8 {
        self.kind.map_or(0, ConfigType::code)
    }
}

/// Every key of a topic that sets `overrides`, by name.
pub fn describe_topic(overrides: &BTreeMap<String, String>, broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let public = topic_keys()
        .iter()
        .filter(|key| key.visibility == Visibility::Public)
        .map(|key| key.name);
    let names: BTreeSet<&str> = public.chain(overrides.keys().map(String::as_str)).collect();
    names
        .into_iter()
        .map(|name| {
            let key = find_topic(name);
            let sensitive = key.is_none_or(ConfigKey::is_sensitive);
            let value = match key {
                Some(key) => resolve_key(key, overrides, broker).to_text(),
                None => None,
            };
            let mut synonyms = Vec::new();
            if overrides.contains_key(name) {
                let (name, value) = (name.to_string(), value.clone());
                synonyms.push(DescribedSynonym {
                    name,
                    value,
                    source: ConfigSource::Topic,
                });
            }
            if let Some(first) = key.and_then(|key| key.synonyms.first()) {
                synonyms.extend(synonyms_of(first.name, broker, sensitive));
            }
            described(name, value, sensitive, false, key, synonyms)
        })
        .collect()
}

/// Every key of the broker, by name.
pub fn describe_broker(broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let public = broker_keys()
        .iter()
        .filter(|key| key.visibility == Visibility::Public)
        .map(|key| key.name);
    let names: BTreeSet<&str> = public
        .chain(broker.effective().keys().map(String::as_str))
        .collect();
    names
        .into_iter()
        .map(|name| {
            let key = base_key(name);
            let sensitive = key.is_none_or(ConfigKey::is_sensitive);
            let value = match find_broker(name) {
                Some(_) => broker.value(name).to_text(),
                None => broker.effective().get(name).cloned(),
            };
            let synonyms = synonyms_of(name, broker, sensitive);
            described(
                name,
                value.filter(|_| !sensitive),
                sensitive,
                is_read_only(name),
                key,
                synonyms,
            )
        })
        .collect()
}

/// The keys that were set while running as the default of all brokers, by name: the broker resource with an empty name.
pub fn describe_broker_defaults(broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let describe = |(name, raw): (&String, &String)| {
        let key = base_key(name);
        let sensitive = key.is_none_or(ConfigKey::is_sensitive);
        let value = (!sensitive).then(|| raw.clone());
        let mut synonyms = synonyms_of(name, broker, sensitive);
        synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        described(name, value, sensitive, is_read_only(name), key, synonyms)
    };
    broker.dynamic_default().iter().map(describe).collect()
}

pub(super) fn described(
    name: &str,
    value: Option<String>,
    sensitive: bool,
    read_only: bool,
    key: Option<&'static ConfigKey>,
    synonyms: Vec<DescribedSynonym>,
) -> DescribedConfig {
    DescribedConfig {
        name: name.to_string(),
        value,
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only,
        sensitive,
        kind: key.map(|key| key.kind),
        synonyms,
        documentation: key.map(ConfigKey::documentation),
    }
}

/// Kafka calls read-only whatever is not by its own name a key that can change, overrides for one listener included.
fn is_read_only(name: &str) -> bool {
    find_broker(name).is_none_or(|key| key.scope == Scope::ReadOnly)
}

/// The values behind the broker key `name`: per source, per key that says the same. The list begins with `name` itself; if
/// nobody sets `name` it is therefore empty, even where a weaker key gives the value. That is Kafka's way.
pub(super) fn synonyms_of(name: &str, broker: &BrokerConfig, sensitive: bool) -> Vec<DescribedSynonym> {
    let names: Vec<&str> = match (broker_synonyms(name), listener_override(name)) {
        ([], Some(base)) => vec![name, base],
        ([], None) => vec![name],
        (names, _) => names.to_vec(),
    };
    let set = [
        (ConfigSource::DynamicBroker, broker.dynamic_broker()),
        (ConfigSource::DynamicDefaultBroker, broker.dynamic_default()),
        (ConfigSource::StaticBroker, broker.given()),
    ];
    let mut all = Vec::new();
    let mut push = |name: &str, value: &str, source| {
        let value = (!sensitive).then(|| value.to_string());
        all.push(DescribedSynonym {
            name: name.to_string(),
            value,
            source,
        });
    };
    for (source, values) in set {
        for name in &names {
            if let Some(value) = values.get(*name) {
                push(name, value, source);
            }
        }
    }
    for key in names.iter().filter_map(|name| find_broker(name)) {
        if let (Some(value), true) = (key.default_text(), key.visibility != Visibility::DynamicOnly) {
            push(key.name, value, ConfigSource::Default);
        }
    }
    let weaker = all
        .iter()
        .position(|synonym| synonym.name == name)
        .unwrap_or(all.len());
    all.split_off(weaker)
}

#[cfg(test)]
mod tests {
    use super::super::properties;
    use super::*;

    /// What a real Kafka 4.3.1 says with the four files beside it: resource, name, value, source, ro or rw, secret or open,
    /// type, synonyms (`\N` is no value).
    const FACTS: &str = include_str!("facts/described.tsv");

    fn row(resource: &str, config: &DescribedConfig) -> String {
        let or_null = |value: &Option<String>| value.clone().unwrap_or_else(|| "\\N".to_string());
        let synonyms: Vec<String> = config
            .synonyms
            .iter()
            .map(|s| format!("{}:{}={}", s.source.code(), s.name, or_null(&s.value)))
            .collect();
        [
            resource,
            &config.name,
            &or_null(&config.value),
            &config.source.code().to_string(),
            if config.read_only { "ro" } else { "rw" },
            if config.sensitive { "secret" } else { "open" },
            &config.type_code().to_string(),
            &synonyms.join(" "),
        ]
        .join("\t")
    }

    #[test]
    fn describes_as_kafka_does() {
        let file = |text: &str| properties::to_map(properties::parse(text).unwrap());
        let (broker, _) =
            BrokerConfig::from_properties(&file(include_str!("facts/static.properties"))).unwrap();
        let defaults = file(include_str!("facts/default.properties"));
        let broker = broker
            .with_dynamic(defaults, file(include_str!("facts/dynamic.properties")))
            .unwrap();
        let topic = file(include_str!("facts/topic.properties"));

        let mut ours: Vec<String> = describe_broker(&broker)
            .iter()
            .map(|c| row("broker", c))
            .collect();
        ours.extend(
            describe_broker_defaults(&broker)
                .iter()
                .map(|c| row("default", c)),
        );
        ours.extend(describe_topic(&topic, &broker).iter().map(|c| row("topic", c)));
        for (ours, kafkas) in ours.iter().zip(FACTS.lines()) {
            assert_eq!(ours, kafkas);
        }
        assert_eq!(ours.len(), FACTS.lines().count());
    }

    #[test]
    fn what_is_known_is_documented_and_what_is_not_is_secret() {
        let file = BTreeMap::from(
            [
                ("my.key", "x"),
                ("node.id", "1"),
                ("process.roles", "broker"),
                ("controller.listener.names", "C"),
            ]
            .map(|(k, v)| (k.to_string(), v.to_string())),
        );
        let mut file = file;
        file.insert("controller.quorum.bootstrap.servers".into(), "c:9093".into());
        let (broker, _) = BrokerConfig::from_properties(&file).unwrap();
        for config in describe_broker(&broker) {
            let strange = config.name == "my.key";
            assert_eq!(config.documentation.is_none(), strange, "{}", config.name);
            assert!(!strange || config.sensitive && config.value.is_none());
        }
    }
}
