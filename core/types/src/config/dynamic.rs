//! Whether a broker's settings may become these while it runs (Kafka class `DynamicBrokerConfig`, KIP-226). What then takes them
//! up is the node's business.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::key::Scope;
use super::table::find_broker;
use super::value::InvalidConfig;

/// Sizes of thread pools, which Kafka lets change by half to double at a time.
const THREADS: [&str; 10] = [
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// Keys that Kafka takes up while running and this server at its next start only.
const AT_START: [&str; 2] = ["listener.security.protocol.map", "listeners"];

/// `base`, which holds no dynamic settings yet, with those that the metadata holds: `default` for all brokers, `own` for this one.
/// What cannot be used is left out and returned, as Kafka goes on without it.
pub fn with_settings(
    base: &BrokerConfig,
    default: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
) -> (BrokerConfig, Vec<InvalidConfig>) {
    let (mut default, mut own) = (default.clone(), own.clone());
    let mut left_out = Vec::new();
    loop {
        let errors = match base.with_dynamic(default.clone(), own.clone()) {
            Ok(config) => return (config, left_out),
            Err(errors) => errors,
        };
        let before = default.len() + own.len();
        for error in errors {
            default.remove(&error.key);
            own.remove(&error.key);
            left_out.push(error);
        }
        if default.len() + own.len() == before {
            // A key of the file does not agree with one of these, and nothing says which.
            default.clear();
            own.clear();
            if before == 0 {
                return (base.clone(), left_out);
            }
        }
    }
}

/// `current` with `next` as all that is set while running, for this broker or, with `for_all`, as the default of all. The error is
/// what a client is told, in Kafka's words where Kafka has some.
pub fn check_broker(
    current: &BrokerConfig,
    next: &BTreeMap<String, String>,
    for_all: bool,
) -> Result<BrokerConfig, String> {
    let scope = |name: &str| find_broker(name).map(|key| key.scope);
    let refuse = |which: &dyn Fn(&str) -> bool, why: &str| {
        let names: Vec<&str> = next
            .keys()
            .map(String::as_str)
            .filter(|name| which(name))
            .collect();
        match names.is_empty() {
            true => Ok(()),
            false => Err(format!("{why}: [{}]", names.join(", "))),
        }
    };
    refuse(
        &|name| scope(name) == Some(Scope::ReadOnly),
        "Cannot update these configs dynamically",
    )?;
    refuse(
        &|name| name.starts_with("ssl.") && scope(name) == Some(Scope::PerBroker),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )?;
    for (name, raw) in next {
        if let Some(Err(error)) = find_broker(name).map(|key| key.parse(raw)) {
            return Err(error.answer());
        }
    }
    refuse(
        &|name| for_all && scope(name) == Some(Scope::PerBroker),
        "Cannot update these configs at default cluster level, broker id must be specified",
    )?;
    let (default, own) = match for_all {
        true => (next.clone(), current.dynamic_broker().clone()),
        false => (current.dynamic_default().clone(), next.clone()),
    };
    let changed = current.with_dynamic(default, own).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(|error| error.answer()).collect();
        texts.join("; ")
    })?;
    check_threads(current, &changed)?;
    for name in AT_START {
        if changed.value(name) != current.value(name) {
            return Err(format!(
                "{name} cannot be changed while running here: change it in server.properties and restart this broker"
            ));
        }
    }
    Ok(changed)
}

fn check_threads(current: &BrokerConfig, changed: &BrokerConfig) -> Result<(), String> {
    for name in THREADS {
        let (Some(old), Some(new)) = (current.value(name).as_i64(), changed.value(name).as_i64()) else {
            continue;
        };
        let bound = if new > old.saturating_mul(2) {
            format!("value should not be greater than double the current value {old}")
        } else if new < old / 2 {
            format!("value should be at least half the current value {old}")
        } else {
            continue;
        };
        return Err(format!(
            "Dynamic thread count update validation failed for {name}={new}, {bound}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::broker::tests::config;
    use super::*;

    fn check(changes: &[(&str, &str)], for_all: bool) -> String {
        let next = changes
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        match check_broker(&config("log.retention.hours=5"), &next, for_all) {
            Ok(changed) => format!("retention {:?}", changed.value("log.retention.ms").as_i64()),
            Err(message) => message,
        }
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect()
        };
        let default = map(&[("log.retention.ms", "x"), ("message.max.bytes", "5")]);
        let own = map(&[("num.partitions", "3"), ("log.segment.bytes", "2000000")]);
        let (config, left_out) = with_settings(&config(""), &default, &own);
        let keys: Vec<&str> = left_out.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["log.retention.ms", "num.partitions"]);
        assert_eq!(config.message_max_bytes(), 5);
        assert_eq!(config.value("log.segment.bytes").as_i64(), Some(2_000_000));
        assert_eq!(config.num_partitions(), 1);
    }

    /// As a Kafka 4.3.1 answers, but for the last two.
    #[test]
    fn what_may_change_while_running() {
        type Case = (&'static [(&'static str, &'static str)], bool, &'static str);
        let cases: &[Case] = &[
            (&[("log.retention.ms", "7")], false, "retention Some(7)"),
            (
                &[("num.partitions", "1"), ("log.retention.hours", "1")],
                false,
                "Cannot update these configs dynamically: [log.retention.hours, num.partitions]",
            ),
            (
                &[("ssl.keystore.location", "/x")],
                true,
                "These security configs can be dynamically updated only per-listener using the listener prefix: \
                 [ssl.keystore.location]",
            ),
            (
                &[("cordoned.log.dirs", "*")],
                true,
                "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]",
            ),
            (
                &[("log.retention.ms", "x")],
                false,
                "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
            ),
            (
                &[("num.io.threads", "100")],
                false,
                "Dynamic thread count update validation failed for num.io.threads=100, value should not be greater than \
                 double the current value 8",
            ),
            (
                &[("num.io.threads", "3")],
                true,
                "Dynamic thread count update validation failed for num.io.threads=3, value should be at least half the \
                 current value 8",
            ),
            (&[("my.plugin.key", "x")], false, "retention None"),
            (
                &[("log.retention.ms", "0")],
                false,
                "log.retention.ms=0: -1 (keep for ever) or a number of at least 1 is expected",
            ),
            (
                &[("listeners", "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:9093")],
                false,
                "listeners cannot be changed while running here: change it in server.properties and restart this broker",
            ),
        ];
        for (changes, for_all, expected) in cases {
            assert_eq!(check(changes, *for_all), *expected);
        }
    }
}
