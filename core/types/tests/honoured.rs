//! Holds `CONFIG.md` to the tables of keys and to the code: a key is honoured when something reads it, and only then.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_types::config::{ConfigKey, Effect, broker_keys, topic_keys};

/// A row of the page.
struct Row {
    file: String,
    reader: String,
    test: String,
}

/// The rows by key: of brokers, and of topics.
fn rows() -> [BTreeMap<String, Row>; 2] {
    let page = include_str!("../CONFIG.md");
    let (broker, topic) = page.split_once("| topic key |").expect("two tables");
    [broker, topic].map(|part| {
        let lines = part
            .lines()
            .filter(|line| line.starts_with("| ") && line.matches('|').count() == 5);
        let cells = lines.map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
        });
        let rows = cells.filter(|cells| cells[0] != "key" && !cells[0].starts_with("---"));
        rows.map(|cells| {
            let row = Row {
                file: cells[1].into(),
                reader: cells[2].into(),
                test: cells[3].into(),
            };
            (cells[0].to_string(), row)
        })
        .collect()
    })
}

/// A file of `core/`.
fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn honoured(keys: &'static [ConfigKey]) -> Vec<&'static ConfigKey> {
    keys.iter().filter(|key| key.effect == Effect::Honoured).collect()
}

/// Whether a broker key does nothing but give honoured topic keys their values.
fn is_behind_a_topic_key(name: &str) -> bool {
    honoured(topic_keys())
        .iter()
        .any(|key| key.synonyms.iter().any(|synonym| synonym.name == name))
}

#[test]
fn every_honoured_key_has_a_row_and_no_other_has() {
    let [broker, topic] = rows();
    let expected: Vec<&str> = honoured(broker_keys())
        .iter()
        .map(|key| key.name)
        .filter(|name| !is_behind_a_topic_key(name))
        .collect();
    assert_eq!(broker.keys().collect::<Vec<_>>(), expected);
    let expected: Vec<&str> = honoured(topic_keys()).iter().map(|key| key.name).collect();
    assert_eq!(topic.keys().collect::<Vec<_>>(), expected);
}

#[test]
fn a_broker_key_behind_topic_keys_is_honoured_as_they_are() {
    for key in topic_keys().iter().filter(|key| key.effect == Effect::Honoured) {
        for synonym in key.synonyms {
            let broker = broker_keys().iter().find(|broker| broker.name == synonym.name);
            assert_eq!(
                broker.map(|key| key.effect),
                Some(Effect::Honoured),
                "{}",
                synonym.name
            );
        }
    }
}

#[test]
fn every_reader_reads_outside_of_comments_and_tests() {
    for (key, row) in rows().iter().flatten() {
        assert!(!row.file.starts_with("types/"), "{key}: a getter is no reader");
        let source = source(&row.file);
        let served = source.split("#[cfg(test)]").next().unwrap_or_default();
        let mut code = served.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(
            code.any(|line| line.contains(&row.reader)),
            "{key}: {} does not read {}",
            row.file,
            row.reader
        );
    }
}

#[test]
fn every_test_exists() {
    for (key, row) in rows().iter().flatten().filter(|(_, row)| row.test != "-") {
        let (file, name) = row.test.split_once(' ').expect("a file and a test");
        let function = format!("fn {}()", name.trim_matches('`'));
        assert!(
            source(file).contains(&function),
            "{key}: {file} has no {function}"
        );
    }
}
