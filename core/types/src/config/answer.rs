//! What Kafka's own validators say of a value that they refuse (Kafka classes `ConfigDef`, `ConfigException`). Clients are
//! answered in these words, because tools and people look for them; at start a person gets ours, which say what is allowed.

use super::key::{ConfigKey, ConfigType, Rule};
use super::value::ConfigValue;

/// Kafka's words for `raw`, which `key` does not accept; `value` is what it was read as, if it could be read. `None` where Kafka
/// has no words for clients, and for secrets, which Kafka repeats.
pub(super) fn of(key: &ConfigKey, raw: &str, value: Option<&ConfigValue>) -> Option<String> {
    if key.is_sensitive() {
        return None;
    }
    let Some(value) = value else {
        let what = match key.kind {
            ConfigType::Boolean => "Expected value to be either true or false".to_string(),
            kind => format!("Not a number of type {}", kind.name()),
        };
        return Some(invalid(key, raw, &what));
    };
    if let ConfigValue::List(entries) = value {
        return list(key, entries);
    }
    let shown = value.to_text().unwrap_or_default();
    Some(invalid(key, &shown, &scalar(key, value)?))
}

fn invalid(key: &ConfigKey, value: &str, what: &str) -> String {
    format!("Invalid value {value} for configuration {}: {what}", key.name)
}

/// Why a value that is no list is not accepted.
fn scalar(key: &ConfigKey, value: &ConfigValue) -> Option<String> {
    let least = |min: &dyn std::fmt::Display| format!("Value must be at least {min}");
    let most = |max: &dyn std::fmt::Display| format!("Value must be no more than {max}");
    Some(match key.rule {
        Rule::AtLeast(min) => least(&min),
        Rule::Between(min, _) if value.as_i64()? < min => least(&min),
        Rule::Between(_, max) => most(&max),
        Rule::BetweenF(min, _) if value.as_f64()? < min => least(&min),
        Rule::BetweenF(_, max) => most(&max),
        Rule::UnsetOr(min, max) => format!("Value must be between {min} and {max} or equal to -1"),
        Rule::OneOf(words) => format!("String must be one of: {}", words.join(", ")),
        Rule::OneOfAnyCase(words) => {
            format!("String must be one of (case insensitive): {}", words.join(", "))
        }
        Rule::NonEmpty => "String must be non-empty".to_string(),
        Rule::OffsetReset => format!(
            "Invalid value `{}` for configuration {}. The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'.",
            value.as_str()?,
            key.name
        ),
        _ => return None,
    })
}

/// Why a list is not accepted (Kafka class `ConfigDef.ValidList`).
fn list(key: &ConfigKey, entries: &[String]) -> Option<String> {
    let name = key.name;
    let words = match key.rule {
        Rule::DistinctOf { words, .. } => words,
        Rule::Distinct { .. } => &[],
        Rule::ThrottledReplicas => {
            let what = format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            );
            return Some(invalid(key, &format!("[{}]", entries.join(", ")), &what));
        }
        _ => return None,
    };
    if entries.is_empty() {
        let valid = match words {
            [] => "any non-empty value".to_string(),
            words => format!("[{}]", words.join(", ")),
        };
        return Some(format!(
            "Configuration '{name}' must not be empty. Valid values include: {valid}"
        ));
    }
    if entries.iter().any(String::is_empty) {
        return Some(format!("Configuration '{name}' values must not be empty."));
    }
    let stranger = entries.iter().find(|entry| !words.contains(&entry.as_str()))?;
    Some(invalid(
        key,
        stranger,
        &format!("String must be one of: {}", words.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::table::{find_broker, find_topic};

    /// Taken from a Kafka 4.3.1: key, value, and its words.
    const KAFKAS: &[(&str, &str, &str)] = &[
        (
            "retention.ms",
            "abc",
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "retention.ms",
            "",
            "Invalid value  for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "retention.ms",
            "-5",
            "Invalid value -5 for configuration retention.ms: Value must be at least -1",
        ),
        (
            "cleanup.policy",
            "compact,foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "cleanup.policy",
            "delete,,compact",
            "Configuration 'cleanup.policy' values must not be empty.",
        ),
        (
            "min.cleanable.dirty.ratio",
            "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "log.cleaner.min.cleanable.ratio",
            "3",
            "Invalid value 3.0 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1",
        ),
        (
            "preallocate",
            "maybe",
            "Invalid value maybe for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "compression.gzip.level",
            "12",
            "Invalid value 12 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "compression.zstd.level",
            "55",
            "Invalid value 55 for configuration compression.zstd.level: Value must be no more than 22",
        ),
        (
            "follower.replication.throttled.replicas",
            "x",
            "Invalid value [x] for configuration follower.replication.throttled.replicas: \
             follower.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        (
            "process.roles",
            "",
            "Configuration 'process.roles' must not be empty. Valid values include: [broker, controller]",
        ),
        (
            "listeners",
            "",
            "Configuration 'listeners' must not be empty. Valid values include: any non-empty value",
        ),
        (
            "group.consumer.migration.policy",
            "x",
            "Invalid value x for configuration group.consumer.migration.policy: String must be one of (case \
             insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL",
        ),
    ];

    #[test]
    fn clients_hear_kafkas_words() {
        for (name, raw, words) in KAFKAS {
            let key = find_topic(name).or_else(|| find_broker(name)).unwrap();
            assert_eq!(key.parse(raw).unwrap_err().answer(), *words);
        }
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let key = find_broker("ssl.keystore.password").unwrap();
        assert_eq!(super::of(key, "hunter2", None), None);
    }
}
