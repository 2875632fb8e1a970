//! Every configuration key of Kafka 4.3.1, one row each, in files by subject, and in `ottla.rs` the few that are ours. A row of a
//! broker key is
//!
//! ```text
//! "name" Type default [rule] Scope Effect "one line about it";
//! ```
//!
//! The default is a text, `null` or `required`; rules are spelled in `rule!` below; after the effect `(Internal)` or
//! `(DynamicOnly)` may stand; only honoured keys carry the line. A topic key has no scope and names, after `from`, the broker
//! keys behind it, the strongest first. `../facts` holds name, type, default and scope as a real Kafka 4.3.1 gave them.

use std::sync::LazyLock;

use super::key::ConfigKey;

/// The rule of a row.
macro_rules! rule {
    (any) => { Rule::Any };
    (at_least $min:literal) => { Rule::AtLeast($min) };
    (between $min:literal $max:literal) => { Rule::Between($min, $max) };
    (between_f $min:literal $max:literal) => { Rule::BetweenF($min, $max) };
    (unset_or $min:literal $max:literal) => { Rule::UnsetOr($min, $max) };
    (one_of $($word:literal)+) => { Rule::OneOf(&[$($word),+]) };
    (one_of_any_case $($word:literal)+) => { Rule::OneOfAnyCase(&[$($word),+]) };
    (non_empty) => { Rule::NonEmpty };
    (distinct) => { Rule::Distinct { may_be_empty: false } };
    (distinct may_be_empty) => { Rule::Distinct { may_be_empty: true } };
    (distinct_of $($word:literal)+) => { Rule::DistinctOf { words: &[$($word),+], may_be_empty: false } };
    (distinct_of $($word:literal)+ may_be_empty) => { Rule::DistinctOf { words: &[$($word),+], may_be_empty: true } };
    (voters) => { Rule::Voters };
    (host_ports) => { Rule::HostPorts };
    (throttled_replicas) => { Rule::ThrottledReplicas };
    (offset_reset) => { Rule::OffsetReset };
}

/// The default of a row.
macro_rules! default {
    (null) => {
        DefaultValue::Null
    };
    (required) => {
        DefaultValue::Required
    };
    ($text:literal) => {
        DefaultValue::Value($text)
    };
}

/// What may be left out of a row.
macro_rules! or_else {
    (visibility) => {
        Visibility::Public
    };
    (visibility $given:ident) => {
        Visibility::$given
    };
    (doc) => {
        ""
    };
    (doc $given:literal) => {
        $given
    };
    (unit) => {
        Unit::Same
    };
    (unit $given:ident) => {
        Unit::$given
    };
}

/// Rows of broker keys.
macro_rules! keys {
    ($(group $group:literal { $(
        $name:literal $kind:ident $default:tt [$($rule:tt)+] $scope:ident $effect:ident $(($visibility:ident))? $($doc:literal)?;
    )* })*) => {
        &[$($(ConfigKey {
            name: $name,
            kind: ConfigType::$kind,
            default: default!($default),
            rule: rule!($($rule)+),
            scope: Scope::$scope,
            effect: Effect::$effect,
            visibility: or_else!(visibility $($visibility)?),
            group: $group,
            doc: or_else!(doc $($doc)?),
            synonyms: &[],
        },)*)*]
    };
}

/// Rows of the keys of topics, groups and client metrics subscriptions.
macro_rules! topic_keys {
    ($(group $group:literal { $(
        $name:literal $kind:ident $default:tt [$($rule:tt)+] $effect:ident $(($visibility:ident))?
            $(from $($broker:literal $($unit:ident)?),+)? $($doc:literal)?;
    )* })*) => {
        &[$($(ConfigKey {
            name: $name,
            kind: ConfigType::$kind,
            default: default!($default),
            rule: rule!($($rule)+),
            scope: Scope::ClusterWide,
            effect: Effect::$effect,
            visibility: or_else!(visibility $($visibility)?),
            group: $group,
            doc: or_else!(doc $($doc)?),
            synonyms: &[$($(Synonym { name: $broker, unit: or_else!(unit $($unit)?) }),+)?],
        },)*)*]
    };
}

mod groups;
mod log;
mod metrics;
mod network;
mod ottla;
mod raft;
mod remote;
mod replication;
mod resources;
mod security;
mod share;
mod topic;
mod transactions;

static BROKER: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    sorted(&[
        groups::KEYS,
        log::KEYS,
        metrics::KEYS,
        network::KEYS,
        ottla::KEYS,
        raft::KEYS,
        remote::KEYS,
        replication::KEYS,
        security::KEYS,
        share::KEYS,
        transactions::KEYS,
    ])
});

static TOPIC: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| sorted(&[topic::KEYS]));

static GROUP: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| sorted(&[resources::GROUP_KEYS]));

static CLIENT_METRICS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| sorted(&[resources::CLIENT_METRICS_KEYS]));

fn sorted(groups: &[&[ConfigKey]]) -> Vec<ConfigKey> {
    let mut keys = groups.concat();
    keys.sort_by_key(|key| key.name);
    keys
}

/// Every key of a broker, by name; among them the few that Kafka lists only when they are set.
pub fn broker_keys() -> &'static [ConfigKey] {
    &BROKER
}

/// Every key of a topic, by name.
pub fn topic_keys() -> &'static [ConfigKey] {
    &TOPIC
}

/// Every key of a group, by name.
pub fn group_keys() -> &'static [ConfigKey] {
    &GROUP
}

/// Every key of a client metrics subscription, by name.
pub fn client_metrics_keys() -> &'static [ConfigKey] {
    &CLIENT_METRICS
}

/// The group key `name`.
pub fn find_group(name: &str) -> Option<&'static ConfigKey> {
    find(&GROUP, name)
}

/// The key `name` of a client metrics subscription.
pub fn find_client_metrics(name: &str) -> Option<&'static ConfigKey> {
    find(&CLIENT_METRICS, name)
}

/// The broker key `name`.
pub fn find_broker(name: &str) -> Option<&'static ConfigKey> {
    find(&BROKER, name)
}

/// The topic key `name`.
pub fn find_topic(name: &str) -> Option<&'static ConfigKey> {
    find(&TOPIC, name)
}

fn find(keys: &'static [ConfigKey], name: &str) -> Option<&'static ConfigKey> {
    keys.binary_search_by_key(&name, |key| key.name)
        .ok()
        .and_then(|i| keys.get(i))
}

#[cfg(test)]
mod tests {
    use super::super::key::{Effect, Visibility};
    use super::super::value::ConfigValue;
    use super::*;

    /// Name, type, default (`\N` none, `\R` required), scope and visibility of each key, as a real Kafka 4.3.1 gave them.
    const BROKER_FACTS: &str = include_str!("../facts/broker.tsv");
    /// The same for topics, but the fourth column names the broker keys, each with what a seven in it becomes.
    const TOPIC_FACTS: &str = include_str!("../facts/topic.tsv");

    fn default_text(key: &ConfigKey) -> &'static str {
        match key.default {
            super::super::key::DefaultValue::Value(text) => text,
            super::super::key::DefaultValue::Null => "\\N",
            super::super::key::DefaultValue::Required => "\\R",
        }
    }

    fn visibility(key: &ConfigKey) -> &'static str {
        if key.visibility == Visibility::Internal {
            "internal"
        } else {
            "public"
        }
    }

    #[test]
    fn broker_keys_are_kafkas() {
        let row = |key: &ConfigKey| {
            let (kind, scope) = (key.kind.name(), key.scope.name());
            [key.name, kind, default_text(key), scope, visibility(key)].join("\t")
        };
        let keys = broker_keys()
            .iter()
            .filter(|key| key.visibility != Visibility::DynamicOnly && !key.name.starts_with("ottla."));
        let ours: Vec<String> = keys.map(row).collect();
        assert_eq!(ours, BROKER_FACTS.lines().collect::<Vec<_>>());
        assert_eq!(ours.len(), 360);
    }

    #[test]
    fn topic_keys_and_their_synonyms_are_kafkas() {
        let row = |key: &ConfigKey| {
            let synonyms: Vec<String> = key
                .synonyms
                .iter()
                .map(|s| format!("{}:{}", s.name, 7 * s.unit.factor()))
                .collect();
            [
                key.name,
                key.kind.name(),
                default_text(key),
                &synonyms.join(" "),
                visibility(key),
            ]
            .join("\t")
        };
        let ours: Vec<String> = topic_keys().iter().map(row).collect();
        assert_eq!(ours, TOPIC_FACTS.lines().collect::<Vec<_>>());
    }

    #[test]
    fn every_default_is_acceptable_and_written_as_kafka_shows_it() {
        let resources = group_keys().iter().chain(client_metrics_keys());
        for key in broker_keys().iter().chain(topic_keys()).chain(resources) {
            let Some(text) = key.default_text() else { continue };
            let value = key.parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(value.to_text().as_deref(), Some(text), "{}", key.name);
            assert_ne!(value, ConfigValue::Null);
        }
    }

    #[test]
    fn names_are_unique_and_honoured_keys_say_what_they_do() {
        for keys in [broker_keys(), topic_keys(), group_keys(), client_metrics_keys()] {
            assert!(keys.windows(2).all(|pair| pair[0].name < pair[1].name));
            for key in keys {
                assert_eq!(
                    key.effect == Effect::Honoured,
                    !key.doc.is_empty(),
                    "{}",
                    key.name
                );
                assert!(!key.documentation().is_empty());
            }
        }
        for synonym in topic_keys()
            .iter()
            .chain(group_keys())
            .flat_map(|key| key.synonyms)
        {
            assert!(find_broker(synonym.name).is_some(), "{}", synonym.name);
        }
    }
}
