//! Values of configuration keys: reading and checking the text as Kafka's `ConfigDef` does, and writing it back in the form
//! that DescribeConfigs shows. Rules that concern several keys at once are in `checks.rs` and `topic.rs`.

use std::fmt;

use super::key::{ConfigKey, ConfigType, Rule};
use super::listener::{host_port, voter};

/// A configuration that cannot be used: which key, what stood there, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvalidConfig {
    /// The key.
    pub key: String,
    /// Its value as given, unless it is secret or missing.
    pub value: Option<String>,
    /// What is wrong, and what is allowed or to be done.
    pub reason: String,
    /// What Kafka's own validators say, where they say something: clients are answered in their words.
    pub kafkas: Option<String>,
}

impl InvalidConfig {
    /// `value` of `key` is not acceptable because of `reason`.
    pub fn new(key: impl Into<String>, value: impl Into<String>, reason: impl Into<String>) -> Self {
        InvalidConfig {
            key: key.into(),
            value: Some(value.into()),
            reason: reason.into(),
            kafkas: None,
        }
    }

    /// `key` itself is the trouble, not what it holds.
    pub fn of_key(key: impl Into<String>, reason: impl Into<String>) -> Self {
        InvalidConfig {
            key: key.into(),
            value: None,
            reason: reason.into(),
            kafkas: None,
        }
    }

    /// As a client is told: in Kafka's words, else in ours.
    pub fn answer(&self) -> String {
        self.kafkas.clone().unwrap_or_else(|| self.to_string())
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={}: {}", self.key, value, self.reason),
            None => write!(f, "{}: {}", self.key, self.reason),
        }
    }
}

impl std::error::Error for InvalidConfig {}

/// Text that neither `Debug` nor `Display` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The value of a key, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigValue {
    /// Unset.
    Null,
    /// A boolean.
    Boolean(bool),
    /// Text.
    String(String),
    /// A 32-bit number.
    Int(i32),
    /// A 16-bit number.
    Short(i16),
    /// A 64-bit number.
    Long(i64),
    /// A floating-point number; never NaN.
    Double(f64),
    /// Texts.
    List(Vec<String>),
    /// A class name.
    Class(String),
    /// A secret.
    Password(Secret),
}

impl ConfigValue {
    /// The value as DescribeConfigs shows it (Kafka's `ConfigDef.convertToString`); `None` when unset or secret.
    pub fn to_text(&self) -> Option<String> {
        match self {
            ConfigValue::Null | ConfigValue::Password(_) => None,
            ConfigValue::Boolean(v) => Some(v.to_string()),
            ConfigValue::String(v) | ConfigValue::Class(v) => Some(v.clone()),
            ConfigValue::Int(v) => Some(v.to_string()),
            ConfigValue::Short(v) => Some(v.to_string()),
            ConfigValue::Long(v) => Some(v.to_string()),
            ConfigValue::Double(v) => Some(java_double(*v)),
            ConfigValue::List(v) => Some(v.join(",")),
        }
    }

    /// Any whole number.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            ConfigValue::Int(v) => Some(i64::from(*v)),
            ConfigValue::Short(v) => Some(i64::from(*v)),
            ConfigValue::Long(v) => Some(*v),
            _ => None,
        }
    }

    /// A whole number of 32 bits or fewer.
    pub fn as_i32(&self) -> Option<i32> {
        self.as_i64().and_then(|v| i32::try_from(v).ok())
    }

    /// A whole number of 16 bits.
    pub fn as_i16(&self) -> Option<i16> {
        self.as_i64().and_then(|v| i16::try_from(v).ok())
    }

    /// A floating-point number.
    pub fn as_f64(&self) -> Option<f64> {
        if let ConfigValue::Double(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let ConfigValue::Boolean(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    /// Text or a class name.
    pub fn as_str(&self) -> Option<&str> {
        if let ConfigValue::String(v) | ConfigValue::Class(v) = self {
            Some(v)
        } else {
            None
        }
    }

    /// The entries of a list.
    pub fn as_list(&self) -> Option<&[String]> {
        if let ConfigValue::List(v) = self {
            Some(v)
        } else {
            None
        }
    }
}

/// What Java's `String.trim` removes: everything up to the space.
pub(super) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A number as Java's `Double.toString` writes it.
pub(super) fn java_double(v: f64) -> String {
    if v.is_infinite() {
        return if v > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    if v == 0.0 || (1e-3..1e7).contains(&v.abs()) {
        return format!("{v:?}");
    }
    let text = format!("{v:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

/// Java's `Double.parseDouble` without its hexadecimal form and without NaN, which would pass every range.
fn parse_double(text: &str) -> Option<f64> {
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "Infinity" => Some(if text.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        digits => {
            let digits = digits.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(digits);
            let plain = !digits.starts_with(['+', '-'])
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
            let value: f64 = if plain { digits.parse().ok()? } else { return None };
            Some(if text.starts_with('-') { -value } else { value })
        }
    }
}

/// Splits at commas with the white space around them, as `ConfigDef.parseType` does for lists; an empty text has no entries.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|entry| entry.trim_matches(space).to_string())
        .collect()
}

/// See [`ConfigKey::parse`].
pub(super) fn parse(key: &ConfigKey, raw: &str) -> Result<ConfigValue, InvalidConfig> {
    let text = java_trim(raw);
    let bad = |reason: String, value: Option<&ConfigValue>| InvalidConfig {
        key: key.name.to_string(),
        value: (!key.is_sensitive()).then(|| raw.to_string()),
        reason,
        kafkas: super::answer::of(key, raw, value),
    };
    let value = match key.kind {
        ConfigType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Some(ConfigValue::Boolean(true)),
            "false" => Some(ConfigValue::Boolean(false)),
            _ => None,
        },
        ConfigType::String => Some(ConfigValue::String(text.to_string())),
        ConfigType::Class => Some(ConfigValue::Class(text.to_string())),
        ConfigType::Password => Some(ConfigValue::Password(Secret(text.to_string()))),
        ConfigType::Int => text.parse().ok().map(ConfigValue::Int),
        ConfigType::Short => text.parse().ok().map(ConfigValue::Short),
        ConfigType::Long => text.parse().ok().map(ConfigValue::Long),
        ConfigType::Double => parse_double(text).map(ConfigValue::Double),
        ConfigType::List => Some(ConfigValue::List(entries(key, text))),
    };
    let Some(value) = value else {
        return Err(bad(format!("{} is expected", expectation(key.kind)), None));
    };
    check(&key.rule, &value).map_err(|reason| bad(reason, Some(&value)))?;
    Ok(value)
}

/// The entries of a list; where they must differ, an entry that stands twice counts once, where it stands first (KIP-1161).
fn entries(key: &ConfigKey, text: &str) -> Vec<String> {
    let all = split_list(text);
    if !matches!(key.rule, Rule::Distinct { .. } | Rule::DistinctOf { .. }) {
        return all;
    }
    let mut different: Vec<String> = Vec::with_capacity(all.len());
    for entry in all {
        if !different.contains(&entry) {
            different.push(entry);
        }
    }
    different
}

/// What a text of this type must be.
fn expectation(kind: ConfigType) -> &'static str {
    match kind {
        ConfigType::Boolean => "`true` or `false`",
        ConfigType::Int => "a whole number between -2147483648 and 2147483647",
        ConfigType::Short => "a whole number between -32768 and 32767",
        ConfigType::Long => "a whole number between -9223372036854775808 and 9223372036854775807",
        ConfigType::Double => "a number",
        ConfigType::List => "a list of texts between commas",
        ConfigType::String | ConfigType::Class | ConfigType::Password => "text",
    }
}

/// Checks `value` against `rule`; the error says what would be allowed.
fn check(rule: &Rule, value: &ConfigValue) -> Result<(), String> {
    let say = |ok: bool, reason: &dyn Fn() -> String| if ok { Ok(()) } else { Err(reason()) };
    match (rule, value) {
        (Rule::AtLeast(min), v) => say(v.as_i64().is_some_and(|n| n >= *min), &|| {
            format!("a number of at least {min} is expected")
        }),
        (Rule::Between(min, max), v) => say(v.as_i64().is_some_and(|n| (*min..=*max).contains(&n)), &|| {
            format!("a number from {min} to {max} is expected")
        }),
        (Rule::BetweenF(min, max), v) => say(v.as_f64().is_some_and(|n| (*min..=*max).contains(&n)), &|| {
            format!("a number from {min} to {max} is expected")
        }),
        (Rule::UnsetOr(min, max), v) => say(
            v.as_i64().is_some_and(|n| n == -1 || (*min..=*max).contains(&n)),
            &|| format!("-1, or a number from {min} to {max}, is expected"),
        ),
        (Rule::OneOf(words), ConfigValue::String(v)) => say(words.contains(&v.as_str()), &|| {
            format!("one of {} is expected", words.join(", "))
        }),
        (Rule::OneOfAnyCase(words), ConfigValue::String(v)) => {
            say(words.iter().any(|word| word.eq_ignore_ascii_case(v)), &|| {
                format!("one of {} (in any case) is expected", words.join(", "))
            })
        }
        (Rule::NonEmpty, ConfigValue::String(v)) => say(!v.is_empty(), &|| "it must not be empty".into()),
        (Rule::Distinct { may_be_empty }, ConfigValue::List(v)) => distinct(v, *may_be_empty),
        (Rule::DistinctOf { words, may_be_empty }, ConfigValue::List(v)) => {
            distinct(v, *may_be_empty)?;
            let stranger = v.iter().find(|entry| !words.contains(&entry.as_str()));
            say(stranger.is_none(), &|| {
                format!("only {} may stand in this list", words.join(", "))
            })
        }
        (Rule::OffsetReset, ConfigValue::String(v)) => say(offset_reset(v), &|| {
            "`earliest`, `latest` or `by_duration:` with an ISO 8601 duration such as PT1H is expected".into()
        }),
        (Rule::Voters, ConfigValue::List(v)) => v.iter().try_for_each(|entry| voter(entry).map(|_| ())),
        (Rule::HostPorts, ConfigValue::List(v)) => {
            v.iter().try_for_each(|entry| host_port(entry).map(|_| ()))
        }
        (Rule::ThrottledReplicas, ConfigValue::List(v)) => say(throttled(v), &|| {
            "`*` or entries of the form partition:broker are expected".into()
        }),
        _ => Ok(()),
    }
}

fn distinct(entries: &[String], may_be_empty: bool) -> Result<(), String> {
    if entries.is_empty() && !may_be_empty {
        return Err("at least one entry is expected".into());
    }
    if entries.iter().any(String::is_empty) {
        return Err("the list has an empty entry: remove the comma that is too many".into());
    }
    Ok(())
}

/// Kafka class `ShareGroupAutoOffsetResetStrategy`: a Java duration, days to seconds, not negative.
fn offset_reset(text: &str) -> bool {
    if matches!(text, "earliest" | "latest") {
        return true;
    }
    let Some(duration) = text
        .strip_prefix("by_duration:")
        .and_then(|d| d.strip_prefix('P'))
    else {
        return false;
    };
    let (days, time) = match duration.split_once('T') {
        Some((_, "")) => return false,
        Some((days, time)) => (days, time),
        None => (duration, ""),
    };
    let mut parts = 0;
    let mut units = |mut text: &str, units: &[char]| {
        for unit in units {
            let Some((number, rest)) = text.split_once(*unit) else {
                continue;
            };
            let number = number.strip_prefix('+').unwrap_or(number);
            let number = if *unit == 'S' {
                number.replacen('.', "", 1)
            } else {
                number.to_string()
            };
            if number.is_empty() || number.len() > 18 || !number.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            parts += 1;
            text = rest;
        }
        text.is_empty()
    };
    units(days, &['D']) && units(time, &['H', 'M', 'S']) && parts > 0
}

/// Kafka class `ThrottledReplicaListValidator`.
fn throttled(entries: &[String]) -> bool {
    let pair = |entry: &String| match entry.split_once(':') {
        Some((p, b)) => [p, b]
            .iter()
            .all(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit())),
        None => false,
    };
    matches!(entries, [only] if only == "*") || entries.iter().all(pair)
}
