//! Configuration of workers, connectors, tasks and converters: definitions, their check, and what came of it.
//! Kafka: `ConfigDef`, whose messages are kept because tools and people know them.
//!
//! `worker`: the worker's keys; `connector`: the keys that all connectors have; `clients`: what `producer.`, `consumer.` and
//! `admin.` hand on; `file`: how a connector's file is written.

pub mod clients;
mod connector;
mod file;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

pub use connector::{ConnectorConfig, sink_topics};
pub use file::{ConnectorFile, InitialState, latin1, parse_connector, parse_properties};
pub use worker::{WorkerConfig, WorkerProblem};

/// Keys and values as they were given.
pub type Props = BTreeMap<String, String>;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    String,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// `true` or `false`.
    Boolean,
    /// Parts separated by commas.
    List,
    /// A class, by name or alias.
    Class,
}

/// What holds when a key is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It must be given.
    Required,
    /// Null.
    Null,
    /// This.
    Value(&'static str),
}

/// What a value must satisfy beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    Any,
    /// Not empty.
    NonEmpty,
    /// A number of at least this.
    AtLeast(i64),
    /// One of these, in capitals or not.
    OneOf(&'static [&'static str]),
}

/// How much it matters, for user interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Everybody sets it.
    High,
    /// Some set it.
    Medium,
    /// Hardly anybody sets it.
    Low,
}

/// The definition of a key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What holds without it.
    pub default: Default,
    /// What its value must satisfy.
    pub check: Check,
    /// How much it matters.
    pub importance: Importance,
    /// Words for people.
    pub doc: &'static str,
}

/// A key with its value and what is wrong with it: what REST's `validate` answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The key.
    pub name: &'static str,
    /// Its value or default; `None` is null.
    pub value: Option<String>,
    /// What is wrong, in Kafka's words.
    pub errors: Vec<String>,
}

/// The definitions of a connector's or converter's keys.
#[derive(Debug, Clone, std::default::Default)]
pub struct ConfigDef(Vec<Key>);

impl ConfigDef {
    /// These keys.
    pub fn new(keys: Vec<Key>) -> Self {
        ConfigDef(keys)
    }

    /// The keys, in order.
    pub fn keys(&self) -> &[Key] {
        &self.0
    }

    /// Each key's value and errors.
    pub fn validate(&self, props: &Props) -> Vec<ConfigValue> {
        self.0.iter().map(|key| key.validate(props)).collect()
    }

    /// The values, or everything that is wrong.
    pub fn parse(&self, props: &Props) -> Result<Config, Vec<String>> {
        let values = self.validate(props);
        let errors: Vec<String> = values.iter().flat_map(|v| v.errors.clone()).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let values = values.into_iter().map(|v| (v.name, v.value)).collect();
        Ok(Config(values))
    }
}

impl Key {
    fn validate(&self, props: &Props) -> ConfigValue {
        let name = self.name;
        let given = props.get(name).map(|value| value.trim().to_owned());
        let mut errors = Vec::new();
        let value = match (given, self.default) {
            (Some(value), _) => Some(value),
            (None, Default::Value(value)) => Some(value.to_owned()),
            (None, Default::Null) => None,
            (None, Default::Required) => {
                errors.push(format!(
                    "Missing required configuration \"{name}\" which has no default value."
                ));
                None
            }
        };
        if let Some(text) = &value
            && let Some(problem) = self.problem(text)
        {
            errors.push(format!(
                "Invalid value {text} for configuration {name}: {problem}"
            ));
        }
        ConfigValue { name, value, errors }
    }

    fn problem(&self, text: &str) -> Option<String> {
        let number = match self.kind {
            Type::Int => match text.parse::<i32>() {
                Ok(number) => Some(i64::from(number)),
                Err(_) => return Some("Not a number of type INT".into()),
            },
            Type::Long => match text.parse::<i64>() {
                Ok(number) => Some(number),
                Err(_) => return Some("Not a number of type LONG".into()),
            },
            Type::Boolean if !["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => {
                return Some("Expected value to be either true or false".into());
            }
            _ => None,
        };
        match self.check {
            Check::NonEmpty if text.is_empty() => Some("String must be non-empty".into()),
            Check::AtLeast(least) if number.is_some_and(|n| n < least) => {
                Some(format!("Value must be at least {least}"))
            }
            Check::OneOf(words) if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) => Some(
                format!("String must be one of (case insensitive): {}", words.join(", ")),
            ),
            _ => None,
        }
    }
}

/// Checked values: what they are asked for is what their definition says.
#[derive(Debug, Clone)]
pub struct Config(BTreeMap<&'static str, Option<String>>);

impl Config {
    /// The text; `None` is null.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.as_deref())
    }

    /// The text; empty if it is null.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Whether it is true.
    pub fn is(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// The number; 0 if it is null.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// The duration of so many milliseconds.
    pub fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or(0))
    }

    /// The parts of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

/// The entries whose keys begin with `prefix`, without it.
pub fn with_prefix(props: &Props, prefix: &str) -> Props {
    let found = props.iter().filter_map(|(key, value)| {
        let key = key.strip_prefix(prefix)?;
        Some((key.to_owned(), value.clone()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def() -> ConfigDef {
        let key = |name, kind, default, check| Key {
            name,
            kind,
            default,
            check,
            importance: Importance::High,
            doc: "",
        };
        ConfigDef::new(vec![
            key("topic", Type::String, Default::Required, Check::NonEmpty),
            key("size", Type::Int, Default::Value("5"), Check::AtLeast(1)),
            key("file", Type::String, Default::Null, Check::Any),
            key("on", Type::Boolean, Default::Value("true"), Check::Any),
        ])
    }

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    #[test]
    fn values_come_with_defaults() {
        let config = def()
            .parse(&props(&[("topic", " t "), ("on", "FALSE"), ("other", "x")]))
            .unwrap();
        assert_eq!(
            (config.text("topic"), config.number("size"), config.get("file")),
            ("t", 5, None)
        );
        assert!(!config.is("on"));
    }

    #[test]
    fn everything_that_is_wrong_is_said_in_kafkas_words() {
        let errors = def().parse(&props(&[("size", "0"), ("on", "yes")])).unwrap_err();
        assert_eq!(
            errors,
            [
                "Missing required configuration \"topic\" which has no default value.",
                "Invalid value 0 for configuration size: Value must be at least 1",
                "Invalid value yes for configuration on: Expected value to be either true or false",
            ]
        );
        let errors = def().parse(&props(&[("topic", ""), ("size", "x")])).unwrap_err();
        assert_eq!(
            errors[0],
            "Invalid value  for configuration topic: String must be non-empty"
        );
        assert_eq!(
            errors[1],
            "Invalid value x for configuration size: Not a number of type INT"
        );
    }
}
