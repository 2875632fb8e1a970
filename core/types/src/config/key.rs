//! What a configuration key is: its name, type, default, what may stand in it, who may change it, and whether it has any
//! effect here. The keys themselves are rows in `table/`; reading a value is in `value.rs`.

use std::borrow::Cow;

use super::value::{ConfigValue, InvalidConfig};

/// The type of a key's value, numbered as DescribeConfigs sends it (Kafka class `DescribeConfigsResponse.ConfigType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// A 32-bit number.
    Int = 3,
    /// A 16-bit number.
    Short = 4,
    /// A 64-bit number.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts between commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// Text that is never shown.
    Password = 9,
}

impl ConfigType {
    /// The code on the wire.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The word that the table and its facts use.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }
}

/// What a key is worth when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none: the configuration is not valid without this key.
    Required,
    /// It stays unset.
    Null,
    /// This text, which the key itself accepts.
    Value(&'static str),
}

/// What may stand in a key beyond what its type says (Kafka interface `ConfigDef.Validator`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Anything.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number within these bounds, both included.
    Between(i64, i64),
    /// A floating-point number within these bounds, both included.
    BetweenF(f64, f64),
    /// −1, or a number within these bounds.
    UnsetOr(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Text that is not empty.
    NonEmpty,
    /// Different, non-empty entries; the flag says whether there may be none at all.
    Distinct {
        /// Whether the list may be empty.
        may_be_empty: bool,
    },
    /// Different entries out of these words; the flag says whether there may be none at all.
    DistinctOf {
        /// The words.
        words: &'static [&'static str],
        /// Whether the list may be empty.
        may_be_empty: bool,
    },
    /// Entries of the form `id@host:port` (`controller.quorum.voters`).
    Voters,
    /// Entries of the form `host:port` (`controller.quorum.bootstrap.servers`).
    HostPorts,
    /// `*`, or entries of the form `partition:broker`.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` and a duration (`share.auto.offset.reset`).
    OffsetReset,
}

/// Who may change a key while the broker runs (Kafka class `DynamicBrokerConfig`, KIP-226). Topic keys are all per topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nobody: it is read at start.
    ReadOnly,
    /// It can be set for one broker.
    PerBroker,
    /// It can be set for one broker and as the default of all.
    ClusterWide,
}

impl Scope {
    /// Kafka's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::ReadOnly => "read-only",
            Scope::PerBroker => "per-broker",
            Scope::ClusterWide => "cluster-wide",
        }
    }
}

/// Whether a key does anything in this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It works as in Kafka.
    Honoured,
    /// It is read, checked and shown, and changes nothing.
    Accepted,
    /// It asks for protection or behaviour that is not there: a value other than the default stops the server, because to
    /// run without would be worse than not to run.
    Refused,
}

/// When DescribeConfigs lists a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Always.
    Public,
    /// Only once it is set: Kafka calls these internal.
    Internal,
    /// Only once it is set, and it can only be set dynamically.
    DynamicOnly,
}

/// From the unit of a broker key to the unit of the topic key it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The same.
    Same,
    /// Minutes to milliseconds.
    Minutes,
    /// Hours to milliseconds.
    Hours,
}

impl Unit {
    /// How many of the topic key's unit one of this is.
    pub const fn factor(self) -> i64 {
        match self {
            Unit::Same => 1,
            Unit::Minutes => 60 * 1000,
            Unit::Hours => 60 * 60 * 1000,
        }
    }
}

/// A broker key that gives a topic key its value when the topic itself does not (Kafka class `ConfigSynonym`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
}

/// One key of a broker or a topic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigKey {
    /// Its name, as it stands in `server.properties`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: ConfigType,
    /// Its value when unset.
    pub default: DefaultValue,
    /// What may stand in it.
    pub rule: Rule,
    /// Who may change it.
    pub scope: Scope,
    /// Whether it does anything.
    pub effect: Effect,
    /// When it is listed.
    pub visibility: Visibility,
    /// What the keys around it are about.
    pub group: &'static str,
    /// One line about it; empty for a key that has no effect.
    pub doc: &'static str,
    /// For a key of a topic or group: the broker keys behind it, the strongest first.
    pub synonyms: &'static [Synonym],
}

impl ConfigKey {
    /// Whether its value is never shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, ConfigType::Password)
    }

    /// Its default as text, if it has one.
    pub const fn default_text(&self) -> Option<&'static str> {
        match self.default {
            DefaultValue::Value(text) => Some(text),
            DefaultValue::Required | DefaultValue::Null => None,
        }
    }

    /// Whether `raw` stops the server: the key is refused, and it is neither its default nor empty. A value that
    /// cannot be read is an error of its own.
    pub fn refuses(&self, raw: &str) -> bool {
        self.effect == Effect::Refused
            && !raw.trim().is_empty()
            && self.parse(raw).is_ok_and(|value| value != self.default_value())
    }

    /// What DescribeConfigs says about it.
    pub fn documentation(&self) -> Cow<'static, str> {
        match self.effect {
            Effect::Honoured => Cow::Borrowed(self.doc),
            Effect::Accepted => Cow::Owned(format!(
                "{}. Accepted for compatibility; has no effect here.",
                self.group
            )),
            Effect::Refused => Cow::Owned(format!(
                "{}. Not supported here: the server does not start when this is set to anything but its default.",
                self.group
            )),
        }
    }

    /// Reads `raw` as this key's type and checks it against this key's rule.
    pub fn parse(&self, raw: &str) -> Result<ConfigValue, InvalidConfig> {
        super::value::parse(self, raw)
    }

    /// The default as a value; [`ConfigValue::Null`] when there is none.
    pub fn default_value(&self) -> ConfigValue {
        match self.default_text() {
            Some(text) => self.parse(text).unwrap_or(ConfigValue::Null),
            None => ConfigValue::Null,
        }
    }
}
