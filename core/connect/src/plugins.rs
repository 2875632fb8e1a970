//! Which class a name means. Kafka's aliases: the full name, the simple name, and the simple name without the ending that its kind
//! has (`FileStreamSource`, `Json`).

use crate::config::{Props, with_prefix};
use crate::connector::{ConnectorClass, ConnectorKind};
use crate::convert::{CONVERTERS, Converter, ConverterClass, HeaderConverter, Role};
use crate::file::{FILE_SINK, FILE_SOURCE};

/// All connector classes.
pub static CONNECTORS: [ConnectorClass; 2] = [FILE_SOURCE, FILE_SINK];

/// Whether `name` means `class`.
fn means(name: &str, class: &str, ending: &str) -> bool {
    let simple = class.rsplit('.').next().unwrap_or(class);
    name == class || name == simple || simple.strip_suffix(ending) == Some(name)
}

/// The connector class of this name.
pub fn connector(name: &str) -> Result<&'static ConnectorClass, String> {
    let found = CONNECTORS.iter().find(|c| means(name, c.class, "Connector"));
    found.ok_or_else(|| {
        let known: Vec<&str> = CONNECTORS.iter().map(|c| c.class).collect();
        format!(
            "Failed to find any class that implements Connector and which name matches {name}; available connectors are: \
             {}. Connectors written in Java run in Kafka's own connect-standalone, against this cluster too",
            known.join(", ")
        )
    })
}

fn converter_class(role: Role, name: &str) -> Result<&'static ConverterClass, String> {
    let fits = |c: &&ConverterClass| c.make.is_some() || role == Role::Header;
    let found = CONVERTERS
        .iter()
        .filter(fits)
        .find(|c| means(name, c.class, "Converter"));
    found.ok_or_else(|| {
        let known: Vec<&str> = CONVERTERS.iter().filter(fits).map(|c| c.class).collect();
        format!(
            "Invalid value {name} for configuration {}: Class {name} could not be found; available are: {}",
            role.key(),
            known.join(", ")
        )
    })
}

/// What the connector says of its converter, or else the worker: the class, and the settings behind it. A connector that names a
/// class takes none of the worker's settings for it.
fn converter_props<'a>(role: Role, worker: &'a Props, connector: &'a Props) -> Option<(&'a str, Props)> {
    let of = |props: &'a Props| {
        let class = props.get(role.key()).map(|class| class.trim())?;
        Some((class, with_prefix(props, &format!("{}.", role.key()))))
    };
    of(connector).or_else(|| of(worker))
}

/// The converter of keys or values.
pub fn converter(role: Role, worker: &Props, connector: &Props) -> Result<Box<dyn Converter>, String> {
    let (name, props) = converter_props(role, worker, connector).ok_or_else(|| {
        format!(
            "Missing required configuration \"{}\" which has no default value.",
            role.key()
        )
    })?;
    let class = converter_class(role, name)?;
    match class.make {
        Some(make) => make(&props).map_err(|e| format!("{}: {e}", role.key())),
        None => Err(format!("{}: {name} converts headers alone", role.key())),
    }
}

/// The converter of headers.
pub fn header_converter(worker: &Props, connector: &Props) -> Result<Box<dyn HeaderConverter>, String> {
    let (name, props) =
        converter_props(Role::Header, worker, connector).unwrap_or(("SimpleHeaderConverter", Props::new()));
    let class = converter_class(Role::Header, name)?;
    (class.make_header)(&props).map_err(|e| format!("{}: {e}", Role::Header.key()))
}

/// Whether this class of connector brings records.
pub fn is_source(class: &ConnectorClass) -> bool {
    class.kind == ConnectorKind::Source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_goes_by_three_names() {
        for name in [
            "FileStreamSource",
            "FileStreamSourceConnector",
            "org.apache.kafka.connect.file.FileStreamSourceConnector",
        ] {
            assert_eq!(connector(name).unwrap().kind, ConnectorKind::Source, "{name}");
        }
        assert_eq!(connector("FileStreamSink").unwrap().kind, ConnectorKind::Sink);
        let error = connector("JdbcSource").err().unwrap();
        assert!(
            error.contains("JdbcSource") && error.contains("FileStreamSinkConnector"),
            "{error}"
        );
        for name in [
            "Json",
            "JsonConverter",
            "String",
            "ByteArray",
            "org.apache.kafka.connect.json.JsonConverter",
        ] {
            converter_class(Role::Value, name).unwrap();
        }
        assert!(converter_class(Role::Value, "SimpleHeaderConverter").is_err());
        assert!(converter_class(Role::Header, "SimpleHeader").is_ok());
    }

    #[test]
    fn a_connectors_converter_leaves_the_workers_settings_behind() {
        let props = |pairs: &[(&str, &str)]| -> Props {
            pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect()
        };
        let worker = props(&[
            ("value.converter", "Json"),
            ("value.converter.schemas.enable", "false"),
        ]);
        let none = Props::new();
        let (class, found) = converter_props(Role::Value, &worker, &none).unwrap();
        assert_eq!((class, found["schemas.enable"].as_str()), ("Json", "false"));
        let own = props(&[("value.converter", "Json")]);
        assert!(converter_props(Role::Value, &worker, &own).unwrap().1.is_empty());
        assert!(
            converter(Role::Key, &worker, &own)
                .err()
                .unwrap()
                .contains("key.converter")
        );
    }
}
