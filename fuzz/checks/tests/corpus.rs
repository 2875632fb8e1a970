//! Every file of the corpus through its target's check, on the stable compiler: what fuzzing found once stays found. And what a check
//! takes in memory is bounded by the input, whatever the input claims.
#![allow(clippy::disallowed_methods, reason = "reads the corpus from the working tree")]

use std::path::Path;

use ottla_fuzz_checks::{TARGETS, seeds};

/// What a check may hold at once: the decompression limit of `record_batches` and its doubled window, with room.
const MOST: u64 = 24 << 20;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (name, std::fs::read(path).expect("a file"))
    };
    paths.iter().map(read).collect()
}

fn run(target: &str) {
    let (_, check) = TARGETS
        .into_iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let files = corpus(target);
    assert!(!files.is_empty(), "{target} has no corpus");
    for (name, bytes) in files {
        let memory = allocation_counter::measure(|| check(&bytes));
        assert!(
            memory.bytes_max < MOST,
            "{target}/{name}: {} bytes of memory for {} of input",
            memory.bytes_max,
            bytes.len()
        );
    }
}

#[test]
fn connect() {
    run("connect");
}

#[test]
fn log_recovery() {
    run("log_recovery");
}

#[test]
fn requests() {
    run("requests");
}

#[test]
fn record_batches() {
    run("record_batches");
}

#[test]
fn frames() {
    run("frames");
}

#[test]
fn properties() {
    run("properties");
}

/// The valid half is what `--bin seeds` writes.
#[test]
fn the_seeds_are_those_of_the_generator() {
    for (target, _) in TARGETS {
        let mut expected = seeds::of(target);
        expected.sort();
        let found: Vec<_> = corpus(target)
            .into_iter()
            .filter_map(|(name, bytes)| Some((name.strip_prefix("seed-")?.to_owned(), bytes)))
            .collect();
        assert!(
            found == expected,
            "the seeds of {target} are out of date: delete fuzz/corpus/{target}/seed-* and run \
             `cargo run -p ottla-fuzz-checks --bin seeds`"
        );
    }
}
