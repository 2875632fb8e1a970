//! Dumps of a log that Kafka wrote, as it is and damaged.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_io::{Env, OpenOptions, write_all_at};
use serde_json::Value;

use super::{Report, dump};
use crate::context;
use crate::output::{Format, Printer};

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
const TIMES: &str = "00000000000000000000.timeindex";
const SNAPSHOT: &str = "00000000000000000114.snapshot";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../log/tests/data/fixture-0")
}

/// What is printed for the file, and how many damages are found.
async fn printed(env: &Env, path: &Path, format: Format, metadata: bool) -> Result<(String, u64), String> {
    let mut out = Vec::new();
    let mut printer = Printer::new(format, Box::new(&mut out));
    let mut report = Report::new(path, &mut printer);
    dump(env, path, true, metadata, &mut report).await?;
    let damages = report.damages;
    printer.finish()?;
    let text = String::from_utf8(out).map_err(|e| e.to_string())?;
    Ok((text, damages))
}

/// Copies the first segment's files into a folder of their own, changes `changed`, and dumps `dumped`.
fn after(test: &str, changed: &str, dumped: &str, change: impl Fn(&mut Vec<u8>)) -> (String, u64) {
    let dir = std::env::temp_dir().join(format!("ottla-cli-{test}-{}", std::process::id()));
    let result = context::run(async |env| {
        env.disk.create_dir_all(&dir).await.map_err(|e| e.to_string())?;
        for name in [LOG, INDEX, TIMES, SNAPSHOT] {
            let mut bytes = context::read(env, &fixture().join(name)).await?.to_vec();
            if name == changed {
                change(&mut bytes);
            }
            let file = env
                .disk
                .open(&dir.join(name), OpenOptions::Truncate)
                .await
                .map_err(|e| e.to_string())?;
            write_all_at(file.as_ref(), 0, vec![Bytes::from(bytes)])
                .await
                .0
                .map_err(|e| e.to_string())?;
        }
        let result = printed(env, &dir.join(dumped), Format::Text, false).await;
        env.disk.remove_dir_all(&dir).await.map_err(|e| e.to_string())?;
        result
    });
    result.unwrap()
}

#[test]
fn all_that_kafka_wrote_is_sound() {
    let result = context::run(async |env| {
        let mut files = 0;
        let mut records = 0;
        for entry in env.disk.list(&fixture()).await.map_err(|e| e.to_string())? {
            for format in [Format::Text, Format::Json] {
                let (text, damages) = printed(env, &fixture().join(&entry.name), format, false).await?;
                assert_eq!(damages, 0, "{}:\n{text}", entry.name);
                if format == Format::Json {
                    let lines: Vec<Value> = text
                        .lines()
                        .map(|line| serde_json::from_str(line).unwrap())
                        .collect();
                    records += lines.iter().filter(|line| line["kind"] == "record").count();
                    assert_eq!(lines.last().unwrap()["kind"], "end");
                }
            }
            files += 1;
        }
        Ok((files, records))
    });
    assert_eq!(
        result,
        Ok((21, 400)),
        "every file, and every record up to the last snapshot's offset"
    );
}

#[test]
fn a_flipped_bit_is_found_and_the_batches_behind_it_are_still_shown() {
    let sound = after("sound", "", LOG, |_| ()).0;
    let (text, damages) = after("bit", LOG, LOG, |bytes| bytes[80] ^= 1);
    assert_eq!(damages, 1, "{text}");
    let batches = |text: &str| text.lines().filter(|line| line.starts_with("  batch ")).count();
    assert!(batches(&text) > 1 && batches(&text) == batches(&sound));
    assert!(text.lines().last().unwrap().ends_with("damaged"), "{text}");
}

#[test]
fn ends_that_hold_no_batch_are_found() {
    for (test, part, change) in [
        (
            "torn",
            "hold no batch",
            (|bytes| bytes.truncate(bytes.len() - 1)) as fn(&mut Vec<u8>),
        ),
        ("zeros", "zeros", |bytes| bytes.resize(bytes.len() + 4096, 0)),
        ("junk", "hold no batch", |bytes| bytes.extend([7; 100])),
        ("huge", "hold no batch", |bytes| {
            bytes[8..12].copy_from_slice(&[0x7f; 4])
        }),
    ] {
        let (text, damages) = after(test, LOG, LOG, change);
        assert!(damages >= 1 && text.contains(part), "{test}: {text}");
    }
}

#[test]
fn offsets_that_descend_are_found() {
    let (text, damages) = after("descend", LOG, LOG, |bytes| {
        let first = 12 + i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
        bytes[first..first + 8].copy_from_slice(&[0; 8]);
    });
    assert_eq!(damages, 1, "{text}");
    assert!(text.contains("must follow"), "{text}");
}

#[test]
fn an_index_that_contradicts_its_segment_is_found() {
    for (test, file, change) in [
        ("position", INDEX, (|bytes| bytes[7] ^= 1) as fn(&mut Vec<u8>)),
        ("behind", INDEX, |bytes| bytes[4] = 0x70),
        ("order", INDEX, |bytes| bytes.extend_from_within(..8)),
        ("length", INDEX, |bytes| bytes.push(1)),
        ("time", TIMES, |bytes| bytes[7] ^= 1),
        ("offset", TIMES, |bytes| bytes[8] = 0x70),
        ("crc", SNAPSHOT, |bytes| bytes[20] ^= 1),
    ] {
        let (text, damages) = after(test, file, file, change);
        assert!(damages >= 1, "{test}: {text}");
    }
}

#[test]
fn an_index_without_its_segment_says_that_it_was_not_compared() {
    let (text, damages) = after("alone", LOG, INDEX, |_| ());
    assert!(damages == 0 && !text.contains("not compared"), "{text}");
    let result = context::run(async |env| {
        let dir = std::env::temp_dir().join(format!("ottla-cli-lone-{}", std::process::id()));
        env.disk.create_dir_all(&dir).await.map_err(|e| e.to_string())?;
        let bytes = context::read(env, &fixture().join(INDEX)).await?.freeze();
        let file = env
            .disk
            .open(&dir.join(INDEX), OpenOptions::Create)
            .await
            .map_err(|e| e.to_string())?;
        write_all_at(file.as_ref(), 0, vec![bytes])
            .await
            .0
            .map_err(|e| e.to_string())?;
        let result = printed(env, &dir.join(INDEX), Format::Text, false).await;
        env.disk.remove_dir_all(&dir).await.map_err(|e| e.to_string())?;
        result
    });
    let (text, damages) = result.unwrap();
    assert!(damages == 0 && text.contains("not compared"), "{text}");
}

#[test]
fn records_that_are_no_metadata_are_not_shown_as_such() {
    let result = context::run(async |env| printed(env, &fixture().join(LOG), Format::Text, true).await);
    let (text, damages) = result.unwrap();
    assert!(damages > 0 && text.contains("metadata record"), "{text}");
}

#[test]
fn a_foreign_file_is_refused_with_what_would_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = context::run(async |env| printed(env, &path, Format::Text, false).await).unwrap_err();
    assert!(error.contains(".timeindex"), "{error}");
}
