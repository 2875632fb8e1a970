//! The keys that every connector has, whatever its class (Kafka: `ConnectorConfig`, `SinkConnectorConfig`).

use super::{Check, Config, ConfigDef, Default, Importance, Key, Props, Type};

/// A connector's keys that the worker reads.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// `name`.
    pub name: String,
    /// `connector.class`, as it was given.
    pub class: String,
    /// `tasks.max`.
    pub tasks_max: usize,
    /// Everything as it was given.
    pub props: Props,
}

/// Keys of Kafka's that nothing here acts on yet, and what their presence means.
const WITHOUT_EFFECT: [&str; 9] = [
    "transforms",
    "predicates",
    "errors.tolerance",
    "errors.deadletterqueue.topic.name",
    "errors.retry.timeout",
    "topic.creation.groups",
    "exactly.once.support",
    "transaction.boundary",
    "config.action.reload",
];

impl ConnectorConfig {
    /// The definitions.
    pub fn def() -> ConfigDef {
        let key = |name, kind, default, check, doc| Key {
            name,
            kind,
            default,
            check,
            importance: Importance::High,
            doc,
        };
        ConfigDef::new(vec![
            key(
                "name",
                Type::String,
                Default::Required,
                Check::NonEmpty,
                "A name that no other connector has.",
            ),
            key(
                "connector.class",
                Type::Class,
                Default::Required,
                Check::NonEmpty,
                "The connector's class: its full name or an alias, with or without the ending Connector.",
            ),
            key(
                "tasks.max",
                Type::Int,
                Default::Value("1"),
                Check::AtLeast(1),
                "How many tasks it may have.",
            ),
        ])
    }

    /// Reads them. The errors are Kafka's.
    pub fn parse(props: &Props) -> Result<Self, Vec<String>> {
        let config: Config = Self::def().parse(props)?;
        Ok(ConnectorConfig {
            name: config.text("name").to_owned(),
            class: config.text("connector.class").to_owned(),
            tasks_max: usize::try_from(config.number("tasks.max")).unwrap_or(1),
            props: props.clone(),
        })
    }

    /// Which of its keys ask for something that does not exist here yet; ignoring them could lose or change data.
    pub fn unsupported(&self) -> Vec<String> {
        let asks = |key: &&&str| {
            let value = self.props.get(**key).map(|v| v.trim().to_ascii_lowercase());
            !matches!(
                value.as_deref(),
                None | Some("" | "none" | "0" | "requested" | "poll" | "restart")
            )
        };
        WITHOUT_EFFECT
            .iter()
            .filter(asks)
            .map(|key| key.to_string())
            .collect()
    }
}

/// The topics of a sink: `topics`, or an error in Kafka's words. `topics.regex` is not supported yet.
pub fn sink_topics(props: &Props) -> Result<Vec<String>, String> {
    let given = |key: &str| props.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    match (given("topics"), given("topics.regex")) {
        (Some(_), Some(_)) => {
            Err("topics and topics.regex are mutually exclusive options, but both are set.".into())
        }
        (None, Some(_)) => Err("topics.regex is not supported yet: list the topics in `topics`".into()),
        (None, None) => Err("Must configure one of topics or topics.regex".into()),
        (Some(topics), None) => {
            let mut topics: Vec<String> = topics.split(',').map(|t| t.trim().to_owned()).collect();
            topics.retain(|topic| !topic.is_empty());
            topics.sort();
            topics.dedup();
            Ok(topics)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    #[test]
    fn topics_are_listed_once_each() {
        assert_eq!(
            sink_topics(&props(&[("topics", "b, a,,b")])),
            Ok(vec!["a".into(), "b".into()])
        );
        for bad in [
            props(&[]),
            props(&[("topics.regex", "a")]),
            props(&[("topics", "a"), ("topics.regex", "b")]),
        ] {
            assert!(sink_topics(&bad).unwrap_err().contains("topics.regex"));
        }
    }

    #[test]
    fn what_has_no_effect_is_found() {
        let given = props(&[
            ("name", "a"),
            ("connector.class", "X"),
            ("transforms", "t"),
            ("errors.tolerance", "none"),
        ]);
        assert_eq!(
            ConnectorConfig::parse(&given).unwrap().unsupported(),
            ["transforms"]
        );
    }
}
