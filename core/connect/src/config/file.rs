//! The files that a worker is started with. Both are `java.util.Properties` in ISO-8859-1; a connector's may be JSON instead: its
//! configuration as one flat object, or `{"name", "config", "initial_state"}` as REST takes it.

use std::fmt;

use ottla_types::config::properties;

use super::Props;
use crate::json::{Json, parse};

/// The state in which a connector begins (KIP-980).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialState {
    /// It runs.
    #[default]
    Running,
    /// Its tasks exist and wait.
    Paused,
    /// It has no tasks.
    Stopped,
}

/// A connector as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorFile {
    /// `name`.
    pub name: String,
    /// Its configuration, `name` included.
    pub config: Props,
    /// How it begins.
    pub initial_state: InitialState,
}

/// A file that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem(String);

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileProblem {}

/// A file's text: UTF-8 where it is that, else ISO-8859-1, which Java's files are (any bytes are valid). Java reads the first as
/// the second too and shows two letters for one.
pub fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Reads properties; of a repeated key the last one counts.
pub fn parse_properties(bytes: &[u8]) -> Result<Props, FileProblem> {
    let entries = properties::parse(&latin1(bytes)).map_err(|e| FileProblem(e.to_string()))?;
    let entries = entries.into_iter();
    Ok(entries.map(|e| (e.key, e.value.trim().to_owned())).collect())
}

/// Reads a connector's file in any of its forms.
pub fn parse_connector(bytes: &[u8]) -> Result<ConnectorFile, FileProblem> {
    let missing = |which: &str| {
        FileProblem(format!(
            "the mandatory 'name' configuration is missing{which}: add name=..., unique among the worker's connectors"
        ))
    };
    match parse(bytes) {
        Ok(Json::Object(members)) => from_json(&Json::Object(members), missing),
        Ok(other) => Err(FileProblem(format!(
            "a JSON {} is no connector: write its configuration as an object or as properties",
            other.kind()
        ))),
        Err(_) => {
            let config = parse_properties(bytes)?;
            let name = config.get("name").filter(|name| !name.is_empty());
            let name = name.cloned().ok_or_else(|| missing(""))?;
            Ok(ConnectorFile {
                name,
                config,
                initial_state: InitialState::Running,
            })
        }
    }
}

fn from_json(json: &Json, missing: impl Fn(&str) -> FileProblem) -> Result<ConnectorFile, FileProblem> {
    let (config, outer, state) = match json.get("config") {
        Some(config @ Json::Object(_)) => {
            let name = json.get("name").and_then(Json::as_text).map(str::to_owned);
            (flat(config)?, Some(name), state(json.get("initial_state"))?)
        }
        _ => (flat(json)?, None, InitialState::Running),
    };
    let inner = config.get("name").cloned();
    let name = match (outer, inner) {
        (Some(Some(outer)), Some(inner)) if outer != inner => {
            return Err(FileProblem(format!(
                "the connector is called `{outer}` and in its config `{inner}`: use one name"
            )));
        }
        (Some(outer), inner) => outer.or(inner),
        (None, inner) => inner,
    };
    let name = name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| missing(" in the JSON"))?;
    let mut config = config;
    config.insert("name".into(), name.clone());
    Ok(ConnectorFile {
        name,
        config,
        initial_state: state,
    })
}

fn flat(json: &Json) -> Result<Props, FileProblem> {
    let Json::Object(members) = json else {
        return Ok(Props::new());
    };
    let entries = members.iter().map(|(key, value)| {
        let text = match value {
            Json::Text(text) => text.clone(),
            Json::Number(text) => text.clone(),
            Json::Bool(v) => v.to_string(),
            other => {
                return Err(FileProblem(format!(
                    "{key}: a configuration is a text, not a JSON {}",
                    other.kind()
                )));
            }
        };
        Ok((key.clone(), text))
    });
    entries.collect()
}

fn state(json: Option<&Json>) -> Result<InitialState, FileProblem> {
    match json.map(|json| json.as_text().map(str::to_ascii_uppercase)) {
        None => Ok(InitialState::Running),
        Some(Some(text)) if text == "RUNNING" => Ok(InitialState::Running),
        Some(Some(text)) if text == "PAUSED" => Ok(InitialState::Paused),
        Some(Some(text)) if text == "STOPPED" => Ok(InitialState::Stopped),
        Some(_) => Err(FileProblem(
            "initial_state must be RUNNING, PAUSED or STOPPED".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_can_be_written_in_three_ways() {
        let properties = parse_connector(b"# c\nname = a\nfile : t\\\n  est.txt\n").unwrap();
        assert_eq!(
            (properties.name.as_str(), properties.config["file"].as_str()),
            ("a", "test.txt")
        );
        let flat = parse_connector(br#"{"name":"a","file":"test.txt"}"#).unwrap();
        assert_eq!(flat, properties);
        let full = br#"{"name":"a","config":{"file":"test.txt"},"initial_state":"paused"}"#;
        let full = parse_connector(full).unwrap();
        assert_eq!(
            (full.config, full.initial_state),
            (flat.config, InitialState::Paused)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("file=x", "'name'"),
            ("name=", "'name'"),
            (r#"{"file":"x"}"#, "'name'"),
            (r#"{"name":"a","config":{"name":"b"}}"#, "`a`"),
            (
                r#"{"name":"a","config":{},"initial_state":"no"}"#,
                "initial_state",
            ),
            (r#"{"name":"a","tasks":[1]}"#, "tasks"),
            ("[1]", "ARRAY"),
            ("name=\\u12", "line 1"),
        ] {
            let error = parse_connector(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_latin_1() {
        assert_eq!(parse_properties(b"file=caf\xe9").unwrap()["file"], "café");
        assert_eq!(parse_properties("file=café".as_bytes()).unwrap()["file"], "café");
    }
}
