//! Our converters beside Kafka 4.3.1's: `data/vectors.tsv` is what `data/MakeVectors.java` made of `data/inputs.txt`.

use bytes::Bytes;
use ottla_connect::config::Props;
use ottla_connect::convert::{Converter, JsonConverter};
use ottla_connect::json::Json;

const VECTORS: &str = include_str!("data/vectors.tsv");
const INPUTS: &str = include_str!("data/inputs.txt");

fn converter(mode: &str) -> JsonConverter {
    let (schemas, decimals) = match mode {
        "S" => ("true", "BASE64"),
        "P" => ("false", "BASE64"),
        _ => ("true", "NUMERIC"),
    };
    let props = [("schemas.enable", schemas), ("decimal.format", decimals)];
    let props: Props = props.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    JsonConverter::new(&props).unwrap()
}

/// What ours makes of an input, in the form of the file.
fn ours(input: &str) -> String {
    let converter = converter(&input[..1]);
    let bytes = Bytes::copy_from_slice(&input.as_bytes()[2..]);
    let Ok(data) = converter.decode("t", Some(&bytes)) else {
        return "ERROR".to_owned();
    };
    let printed = Json::text(data.value.to_string());
    match converter.encode("t", &data) {
        Ok(Some(back)) => format!("{printed}\t{}", String::from_utf8_lossy(&back)),
        Ok(None) => format!("{printed}\tNULL"),
        Err(_) => "ERROR".to_owned(),
    }
}

#[test]
fn messages_are_read_and_written_as_by_kafka() {
    let (mut count, mut different) = (0, Vec::new());
    for line in VECTORS.lines() {
        let (input, kafkas) = line.split_once('\t').unwrap();
        if ours(input) != kafkas {
            different.push(format!("{input}\n  Kafka {kafkas}\n  ours  {}", ours(input)));
        }
        count += 1;
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let inputs = INPUTS.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    assert_eq!(count, inputs.count(), "run MakeVectors.java again");
}

/// Kafka takes a value of another kind for nothing: a text where a number is due becomes 0.
#[test]
fn what_kafka_takes_for_nothing_is_refused() {
    for (kind, payload) in [
        ("int32", "\"x\""),
        ("int8", "300"),
        ("int64", "1.5"),
        ("boolean", "1"),
        ("string", "5"),
        ("bytes", "\"?\""),
        ("double", "\"x\""),
    ] {
        let message = format!("S {{\"schema\":{{\"type\":\"{kind}\"}},\"payload\":{payload}}}");
        assert_eq!(ours(&message), "ERROR", "{message}");
    }
}

/// A small message must not become a large one by the defaults of its schema.
#[test]
fn defaults_do_not_multiply_a_message() {
    let (long, nulls) = ("x".repeat(100_000), vec!["null"; 10_000].join(","));
    let element = format!("{{\"type\":\"string\",\"optional\":true,\"default\":\"{long}\"}}");
    let message =
        format!("S {{\"schema\":{{\"type\":\"array\",\"items\":{element}}},\"payload\":[{nulls}]}}");
    assert_eq!(ours(&message), "ERROR");
}

#[test]
fn a_key_that_comes_again_has_the_last_value() {
    let map = r#"{"type":"map","keys":{"type":"int32"},"values":{"type":"string"}}"#;
    let message = format!("S {{\"schema\":{map},\"payload\":[[1,\"a\"],[2,\"b\"],[1,\"c\"]]}}");
    assert!(
        ours(&message).starts_with("\"{1=c, 2=b}\"\t"),
        "{}",
        ours(&message)
    );
}
