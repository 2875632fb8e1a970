//! The file sink as its users meet it, and the offset file: what is committed is there.

mod support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_connect::data::Value;
use ottla_connect::offsets::{FileOffsetStore, OffsetKey, OffsetReader, OffsetStore};
use ottla_io::mem::{MemDisk, Profile};
use ottla_io::{OpenOptions, Rng};
use ottla_types::TopicPartition;
use support::{Console, OFFSETS, Sink, append, env, now, text};

fn content(disk: &MemDisk) -> String {
    String::from_utf8(disk.peek("/f").unwrap()).unwrap()
}

fn on_file(disk: &MemDisk) -> Sink {
    Sink::start(disk, Arc::default(), &[("file", "/f")]).unwrap()
}

#[test]
fn a_line_for_each_value() {
    let disk = MemDisk::new();
    let mut sink = on_file(&disk);
    let list = Value::Array(vec![Value::Int64(1), text("b")]);
    sink.put([
        text("foo"),
        text("two\nlines"),
        Value::Null,
        list,
        Value::Bytes(Bytes::from_static(b"raw")),
    ])
    .unwrap();
    assert_eq!(content(&disk), "foo\ntwo\nlines\nnull\n[1, b]\nraw\n");
    sink.put([]).unwrap();
    let mut second = on_file(&disk);
    second.put([text("x")]).unwrap();
    sink.put([text("y")]).unwrap();
    assert!(
        content(&disk).ends_with("raw\nx\ny\n"),
        "tasks append to one file"
    );
}

#[test]
fn without_a_file_it_is_stdout() {
    let console = Arc::new(Console::default());
    let mut sink = Sink::start(&MemDisk::new(), console.clone(), &[]).unwrap();
    sink.put([text("a"), text("b")]).unwrap();
    assert_eq!(*console.output.lock().unwrap(), b"a\nb\n");
}

#[test]
fn a_missing_directory_is_named() {
    let error = Sink::start(&MemDisk::new(), Arc::default(), &[("file", "/no/f")])
        .err()
        .unwrap();
    let error = error.to_string();
    assert!(
        error.starts_with("Couldn't find or create file '/no/f' for FileStreamSinkTask"),
        "{error}"
    );
}

/// Kafka's tells nobody, and its worker commits what is lost.
#[test]
fn a_full_disk_is_an_error_and_what_was_cut_ends() {
    let disk = MemDisk::with_capacity(4096);
    let mut sink = on_file(&disk);
    let long = "x".repeat(3000);
    sink.put([text(&long)]).unwrap();
    let error = sink.put([text(&long)]).unwrap_err().to_string();
    assert!(error.contains("/f") && error.contains("make room"), "{error}");
    disk.set_capacity(None);
    let mut again = on_file(&disk);
    again.put([text("next")]).unwrap();
    let content = content(&disk);
    let lines: Vec<&str> = content.lines().collect();
    assert_eq!(
        (lines[0], lines[lines.len() - 1]),
        (long.as_str(), "next"),
        "a line of its own"
    );
}

#[test]
fn what_may_be_committed_survives_a_loss_of_power() {
    let disk = MemDisk::new();
    let mut sink = on_file(&disk);
    sink.put([text("a"), text("b")]).unwrap();
    let offsets = [(TopicPartition::new("t", 0), 2)].into();
    let safe = now(sink.task.pre_commit(&mut sink.context, offsets)).unwrap();
    assert_eq!(safe[&TopicPartition::new("t", 0)], 2);
    sink.put([text("c")]).unwrap();
    let mut rng = Rng::from_number(3, "loss");
    disk.power_loss(Profile::Strict, &mut |n| rng.below(n));
    assert!(content(&disk).starts_with("a\nb\n"), "{}", content(&disk));
}

fn key(name: &str) -> Arc<OffsetKey> {
    let bytes = format!(r#"["s",{{"filename":"{name}"}}]"#);
    Arc::new(OffsetKey::from_bytes(bytes.as_bytes()).unwrap())
}

#[test]
fn kafkas_offset_file_is_taken_over() {
    let disk = MemDisk::new();
    let world = env(&disk);
    append(&world.disk, OFFSETS, include_bytes!("data/kafka-4.3.1.offsets"));
    let store = Arc::new(now(FileOffsetStore::open(&world, Path::new(OFFSETS))).unwrap());
    let reader = OffsetReader::new(store, "local-file-source");
    let partition = [("filename".to_owned(), text("test.txt"))].into();
    let offset = now(reader.offset(&partition)).unwrap().unwrap();
    assert_eq!(offset["position"], Value::Int64(8));
    let other = [("filename".to_owned(), text("other"))].into();
    assert_eq!(now(reader.offset(&other)).unwrap(), None);
}

#[test]
fn an_offset_file_is_whole_after_any_loss_of_power() {
    for seed in 0..50 {
        let disk = MemDisk::new();
        let mut rng = Rng::from_number(seed, "loss");
        let mut last = [0; 2];
        for round in 1..=4u64 {
            let world = env(&disk);
            let store = now(FileOffsetStore::open(&world, Path::new(OFFSETS))).unwrap();
            for (number, name) in ["a", "b"].iter().enumerate() {
                let found = now(store.get(&key(name))).unwrap();
                let expected = (last[number] > 0).then(|| last[number].to_string().into_bytes());
                assert_eq!(found, expected, "what was set is there");
            }
            last[(round % 2) as usize] = round;
            let name = if round % 2 == 0 { "a" } else { "b" };
            now(store.set([(key(name), Some(round.to_string().into_bytes()))].into())).unwrap();
            // What a crash in the middle of the next one leaves.
            let torn = now(world.disk.open(Path::new("/offsets.tmp"), OpenOptions::Truncate)).unwrap();
            let _ = now(torn.write_at(0, vec![Bytes::from_static(b"\xac\xed\0")]));
            disk.power_loss(Profile::Strict, &mut |n| rng.below(n));
        }
    }
}

#[test]
fn what_is_no_offset_file_stays_untouched() {
    let disk = MemDisk::new();
    let world = env(&disk);
    append(&world.disk, OFFSETS, b"my notes");
    let error = now(FileOffsetStore::open(&world, Path::new(OFFSETS)))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(OFFSETS) && error.contains("offset.storage.file.filename"),
        "{error}"
    );
    assert_eq!(disk.peek(OFFSETS).unwrap(), b"my notes");
}
