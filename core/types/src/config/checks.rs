//! What must hold in a node's configuration beyond each value by itself, addresses apart: what is refused, and which keys must
//! agree (Kafka's `KafkaConfig.validateValues`). Addresses are in `endpoints.rs`.

use std::collections::BTreeMap;

use super::broker::{Warning, base_key, log_dirs, no_effect, unknown, value_in};
use super::value::InvalidConfig;

/// Prefixes and names of keys that belong to plug-ins of Kafka, which are not run here.
const OF_PLUGINS: [&str; 5] = [
    "rsm.config.",
    "rlmm.config.",
    "config.providers.",
    "super.users",
    "allow.everyone.if.no.acl.found",
];

/// Pairs of keys of which the first must not exceed the second.
const ORDERED: &[(&str, &str)] = &[
    ("replica.fetch.wait.max.ms", "replica.socket.timeout.ms"),
    ("replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    (
        "group.streams.num.standby.replicas",
        "group.streams.max.standby.replicas",
    ),
    ("group.share.max.size", "group.share.max.share.sessions"),
];

/// Keys of groups that have bounds: `group.<kind>.min.<name> <= group.<kind>.<name> <= group.<kind>.max.<name>`.
const BOUNDED: &[(&str, &str)] = &[
    ("consumer", "assignment.interval.ms"),
    ("consumer", "heartbeat.interval.ms"),
    ("consumer", "session.timeout.ms"),
    ("share", "assignment.interval.ms"),
    ("share", "delivery.count.limit"),
    ("share", "heartbeat.interval.ms"),
    ("share", "partition.max.record.locks"),
    ("share", "record.lock.duration.ms"),
    ("share", "session.timeout.ms"),
    ("streams", "assignment.interval.ms"),
    ("streams", "heartbeat.interval.ms"),
    ("streams", "session.timeout.ms"),
];

/// Checks one entry of a configuration by itself: an error, a warning, or neither.
pub(super) fn entry(name: &str, raw: &str) -> Result<Option<Warning>, InvalidConfig> {
    let Some(key) = base_key(name) else {
        let idle = OF_PLUGINS
            .iter()
            .any(|known| name == *known || known.ends_with('.') && name.starts_with(known));
        return Ok(Some(if idle {
            Warning::NoEffect {
                key: name.to_string(),
            }
        } else {
            unknown(name)
        }));
    };
    let value = key.parse(raw).map_err(|error| InvalidConfig {
        key: name.to_string(),
        ..error
    })?;
    if key.refuses(raw) {
        let shown = if key.is_sensitive() { "[hidden]" } else { raw };
        let reason = format!(
            "{} is not available, and running without what this asks for could expose or lose data: remove the key{}",
            lower_first(key.group),
            key.default_text()
                .filter(|text| !text.is_empty())
                .map(|t| format!(" or set it to {t}"))
                .unwrap_or_default(),
        );
        return Err(InvalidConfig::new(name, shown, reason));
    }
    Ok(no_effect(name, key, &value))
}

/// `Access control` in the middle of a sentence; `TLS` stays as it is.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().to_string() + &text[first.len_utf8()..]
        }
        _ => text.to_string(),
    }
}

/// The errors between values of different keys, addresses apart.
pub(super) fn agreement(effective: &BTreeMap<String, String>) -> Vec<InvalidConfig> {
    let mut check = Checker {
        effective,
        errors: Vec::new(),
    };
    check.limits();
    check.log_times();
    check.groups();
    check.cleaner();
    check.cordoned();
    check.errors
}

/// Looks at values and collects what is wrong.
struct Checker<'a> {
    effective: &'a BTreeMap<String, String>,
    errors: Vec<InvalidConfig>,
}

impl Checker<'_> {
    fn number(&self, name: &str) -> Option<i64> {
        value_in(self.effective, name).as_i64()
    }

    fn require(&mut self, ok: bool, key: &str, reason: impl Into<String>) {
        if !ok {
            let value = self
                .effective
                .get(key)
                .cloned()
                .or_else(|| value_in(self.effective, key).to_text());
            self.errors.push(InvalidConfig {
                key: key.to_string(),
                value,
                reason: reason.into(),
                kafkas: None,
            });
        }
    }

    /// `low` must not exceed `high`.
    fn ordered(&mut self, low: &str, high: &str) {
        if let (Some(a), Some(b)) = (self.number(low), self.number(high)) {
            self.require(a <= b, low, format!("it must not exceed {high}, which is {b}"));
        }
    }

    fn limits(&mut self) {
        for (low, high) in ORDERED {
            self.ordered(low, high);
        }
        let same = self.number("broker.id") == self.number("node.id");
        self.require(same, "broker.id", "it must be equal to node.id, or be removed");
        let queued = self.number("queued.max.request.bytes").unwrap_or(-1);
        let largest = self.number("socket.request.max.bytes").unwrap_or(0);
        self.require(
            queued <= 0 || queued >= largest,
            "queued.max.request.bytes",
            format!("it must not be below socket.request.max.bytes ({largest}), or such a request could never be read"),
        );
        let exceptions = value_in(self.effective, "max.connections.per.ip.overrides");
        let exceptions = exceptions.as_str().is_some_and(|text| !text.is_empty());
        self.require(
            self.number("max.connections.per.ip") != Some(0) || exceptions,
            "max.connections.per.ip",
            "0 locks everybody out unless max.connections.per.ip.overrides names exceptions",
        );
    }

    fn log_times(&mut self) {
        for (key, min) in [("log.roll.ms", 1), ("log.roll.jitter.ms", 0)] {
            let ok = self.number(key).is_none_or(|n| n >= min);
            self.require(ok, key, format!("a number of at least {min} is expected"));
        }
        let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
        if let Some(key) = retention.into_iter().find(|key| self.number(key).is_some()) {
            let ok = self.number(key) != Some(0);
            self.require(
                ok,
                key,
                "-1 (keep for ever) or a number of at least 1 is expected",
            );
        }
    }

    fn groups(&mut self) {
        for (kind, name) in BOUNDED {
            let [low, own, high] = ["min.", "", "max."].map(|bound| format!("group.{kind}.{bound}{name}"));
            self.ordered(&low, &high);
            self.ordered(&low, &own);
            self.ordered(&own, &high);
        }
        for kind in ["consumer", "share", "streams"] {
            let (beat, session) = (
                format!("group.{kind}.heartbeat.interval.ms"),
                format!("group.{kind}.session.timeout.ms"),
            );
            if let (Some(a), Some(b)) = (self.number(&beat), self.number(&session)) {
                self.require(a < b, &beat, format!("it must be below {session}, which is {b}"));
            }
        }
        let protocols = value_in(self.effective, "group.coordinator.rebalance.protocols");
        let classic = protocols
            .as_list()
            .is_some_and(|list| list.iter().any(|name| name == "classic"));
        self.require(
            classic,
            "group.coordinator.rebalance.protocols",
            "`classic` cannot be left out",
        );
        for key in [
            "offsets.topic.compression.codec",
            "share.coordinator.state.topic.compression.codec",
        ] {
            let known = self.number(key).is_some_and(|codec| (0..=4).contains(&codec));
            self.require(
                known,
                key,
                "0 (none), 1 (gzip), 2 (snappy), 3 (lz4) or 4 (zstd) is expected",
            );
        }
    }

    fn cleaner(&mut self) {
        let threads = self.number("log.cleaner.threads").unwrap_or(1);
        self.require(
            threads > 0,
            "log.cleaner.threads",
            "a number of at least 1 is expected",
        );
        let buffer = self.number("log.cleaner.dedupe.buffer.size").unwrap_or(i64::MAX);
        self.require(
            buffer / threads.max(1) > 1024 * 1024,
            "log.cleaner.dedupe.buffer.size",
            "more than 1048576 for each of log.cleaner.threads is expected",
        );
    }

    fn cordoned(&mut self) {
        let dirs = log_dirs(self.effective);
        let cordoned = value_in(self.effective, "cordoned.log.dirs");
        let cordoned = cordoned.as_list().unwrap_or_default();
        let known =
            matches!(cordoned, [only] if only == "*") || cordoned.iter().all(|dir| dirs.contains(dir));
        self.require(
            known,
            "cordoned.log.dirs",
            "only `*` by itself or directories of log.dirs may stand here",
        );
    }
}
