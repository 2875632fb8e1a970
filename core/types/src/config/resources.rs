//! What groups and client metrics subscriptions may be configured with, and what DescribeConfigs says of them (Kafka classes
//! `GroupConfig`, `ClientMetricsConfigs`).

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::describe::{ConfigSource, DescribedConfig, DescribedSynonym, described, synonyms_of};
use super::key::ConfigKey;
use super::table::{client_metrics_keys, find_client_metrics, find_group, group_keys};
use super::value::ConfigValue;
use crate::ErrorCode;

/// What clients may be picked by (`match`).
const MATCHES: [&str; 6] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Milliseconds between two pushes (`interval.ms`).
const INTERVAL: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// Whether a group may be configured so under the bounds that `broker` sets. The error is what a client is told.
pub fn check_group(set: &BTreeMap<String, String>, broker: &BrokerConfig) -> Result<(), String> {
    if let Some(name) = set.keys().find(|name| find_group(name).is_none()) {
        return Err(format!("Unknown group config name: {name}"));
    }
    for (name, raw) in set {
        let Some(key) = find_group(name) else { continue };
        let value = key.parse(raw).map_err(|error| error.answer())?;
        let (Some((kind, rest)), Some(value)) = (name.split_once('.'), value.as_i64()) else {
            continue;
        };
        let bound = |side: &str| {
            let name = format!("group.{kind}.{side}.{rest}");
            let name = name.replace("max.num.standby", "max.standby");
            Some((broker.value(&name).as_i64()?, name))
        };
        if let Some((_, bound)) = bound("min").filter(|(min, _)| value < *min) {
            return Err(format!("{name} must be greater than or equal to {bound}"));
        }
        if let Some((_, bound)) = bound("max").filter(|(max, _)| value > *max) {
            return Err(format!("{name} must be less than or equal to {bound}"));
        }
    }
    for kind in ["consumer", "share", "streams"] {
        let [session, heartbeat] =
            ["session.timeout.ms", "heartbeat.interval.ms"].map(|rest| format!("{kind}.{rest}"));
        let value = |name: &str| find_group(name).map(|key| resolve(key, set, broker).0.as_i64());
        if value(&session) <= value(&heartbeat) {
            return Err(format!("{session} must be greater than {heartbeat}"));
        }
    }
    Ok(())
}

/// A group key's value and the synonyms behind it.
fn resolve(
    key: &ConfigKey,
    set: &BTreeMap<String, String>,
    broker: &BrokerConfig,
) -> (ConfigValue, Vec<DescribedSynonym>) {
    let mut synonyms = Vec::new();
    let own = set.get(key.name).and_then(|raw| key.parse(raw).ok());
    if let Some(value) = &own {
        synonyms.push(synonym(key.name, value, ConfigSource::Group));
    }
    let value = match key.synonyms.first() {
        Some(behind) => {
            synonyms.extend(synonyms_of(behind.name, broker, false));
            own.unwrap_or_else(|| broker.value(behind.name))
        }
        None => {
            synonyms.push(synonym(key.name, &key.default_value(), ConfigSource::Default));
            own.unwrap_or_else(|| key.default_value())
        }
    };
    (value, synonyms)
}

fn synonym(name: &str, value: &ConfigValue, source: ConfigSource) -> DescribedSynonym {
    DescribedSynonym {
        name: name.to_string(),
        value: value.to_text(),
        source,
    }
}

/// Every key of a group that sets `set`, by name.
pub fn describe_group(set: &BTreeMap<String, String>, broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let describe = |key: &'static ConfigKey| {
        let (value, synonyms) = resolve(key, set, broker);
        described(key.name, value.to_text(), false, false, Some(key), synonyms)
    };
    group_keys().iter().map(describe).collect()
}

/// Whether a client metrics subscription may be configured so. The error is what a client is told.
pub fn check_client_metrics(set: &BTreeMap<String, String>) -> Result<(), (ErrorCode, String)> {
    for (name, raw) in set {
        let Some(key) = find_client_metrics(name) else {
            let message = format!("Unknown client metrics configuration: {name}");
            return Err((ErrorCode::InvalidRequest, message));
        };
        let value = key
            .parse(raw)
            .map_err(|error| (ErrorCode::InvalidConfig, error.answer()))?;
        match (name.as_str(), &value) {
            ("interval.ms", value) if !value.as_i64().is_some_and(|ms| INTERVAL.contains(&ms)) => {
                let message = format!(
                    "Invalid value {raw} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                );
                return Err((ErrorCode::InvalidRequest, message));
            }
            ("match", ConfigValue::List(patterns)) => {
                let legal = |pattern: &&String| {
                    let parts = pattern.split_once('=');
                    parts.is_some_and(|(name, what)| MATCHES.contains(&name.trim()) && !what.is_empty())
                };
                if let Some(pattern) = patterns.iter().find(|pattern| !legal(pattern)) {
                    let message = format!("Illegal client matching pattern: {pattern}");
                    return Err((ErrorCode::InvalidConfig, message));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every key of a client metrics subscription that sets `set`, by name.
pub fn describe_client_metrics(set: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    let describe = |key: &'static ConfigKey| {
        let own = set.get(key.name).and_then(|raw| key.parse(raw).ok());
        let synonyms = own
            .iter()
            .map(|v| synonym(key.name, v, ConfigSource::ClientMetrics));
        let synonyms = synonyms.collect();
        let value = own.unwrap_or_else(|| key.default_value());
        described(key.name, value.to_text(), false, false, Some(key), synonyms)
    };
    client_metrics_keys().iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::super::broker::tests::config;
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    /// As a Kafka 4.3.1 answers.
    #[test]
    fn groups_keep_within_the_brokers_bounds() {
        let check = |pairs: &[(&str, &str)]| check_group(&set(pairs), &config("")).err().unwrap_or_default();
        for (name, value, answer) in [
            ("consumer.session.timeout.ms", "50000", ""),
            (
                "consumer.session.timeout.ms",
                "5",
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.heartbeat.interval.ms",
                "50000",
                "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
            ),
            (
                "streams.num.standby.replicas",
                "5",
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
            ),
            ("bogus", "x", "Unknown group config name: bogus"),
            (
                "share.auto.offset.reset",
                "foo",
                "Invalid value foo for configuration share.auto.offset.reset: Invalid value `foo` for configuration \
                 share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
                 'by_duration:<PnDTnHnMn.nS>'.",
            ),
            ("share.auto.offset.reset", "by_duration:P1DT2H0.5S", ""),
        ] {
            assert_eq!(check(&[(name, value)]), answer, "{name}={value}");
        }
        for duration in ["", "P", "PT", "P1", "PT1", "P1H", "PT1D", "P-1D", "PT1S1M", "1D"] {
            let value = format!("by_duration:{duration}");
            assert_ne!(check(&[("share.auto.offset.reset", &value)]), "", "{value}");
        }
    }

    #[test]
    fn a_group_has_its_values_from_the_broker() {
        let all = describe_group(
            &set(&[("share.isolation.level", "read_committed")]),
            &config("group.consumer.session.timeout.ms=50000"),
        );
        let of = |name: &str| all.iter().find(|c| c.name == name).unwrap();
        let session = of("consumer.session.timeout.ms");
        assert_eq!(
            (session.value.as_deref(), session.source),
            (Some("50000"), ConfigSource::StaticBroker)
        );
        let level = of("share.isolation.level");
        assert_eq!(
            (level.value.as_deref(), level.source),
            (Some("read_committed"), ConfigSource::Group)
        );
        assert_eq!(level.synonyms.len(), 2);
        assert_eq!(all.len(), 17);
    }

    #[test]
    fn subscriptions_name_clients_and_keep_an_interval() {
        let check = |name: &str, value: &str| check_client_metrics(&set(&[(name, value)]));
        assert_eq!(check("interval.ms", "100"), Ok(()));
        assert_eq!(
            check("interval.ms", "99").unwrap_err().0,
            ErrorCode::InvalidRequest
        );
        assert_eq!(check("match", "client_id=a.*,client_source_port=1"), Ok(()));
        assert_eq!(
            check("match", "foo=bar").unwrap_err(),
            (
                ErrorCode::InvalidConfig,
                "Illegal client matching pattern: foo=bar".to_string()
            )
        );
        assert_eq!(check("bogus", "1").unwrap_err().0, ErrorCode::InvalidRequest);
    }
}
