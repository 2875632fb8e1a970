//! The file source as its users meet it: files that grow, are cut, replaced, missing; restarts. Where Kafka's differs by a defect,
//! the test says so.

mod support;

use std::path::Path;
use std::sync::Arc;

use ottla_io::mem::MemDisk;
use proptest::prelude::*;
use support::{Console, Source, now, rewrite};

fn at(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines
        .iter()
        .map(|(line, position)| (line.to_string(), *position))
        .collect()
}

#[test]
fn what_has_no_end_is_no_line() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    source.append("a\nb\nlast");
    assert_eq!(source.all(), at(&[("a", 2), ("b", 4)]));
    source.append("-more\n\n\r\n");
    assert_eq!(source.all(), at(&[("last-more", 14), ("", 15), ("", 17)]));
    source.append("x\r");
    assert_eq!(source.all(), [], "a line feed may follow");
    source.append("y\n");
    assert_eq!(source.all(), at(&[("x", 19), ("y", 21)]));
}

/// Kafka leaves line 2001 of a file unread until something is appended.
#[test]
fn a_batch_ends_at_its_size_and_the_rest_follows() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    let text: String = (1..=2001).map(|n| format!("{n}\n")).collect();
    source.append(&text);
    assert_eq!(source.poll().len(), 2000);
    assert_eq!(source.poll().last().unwrap().0, "2001");
    let mut small = Source::start(
        &disk,
        Arc::default(),
        &[("file", "/f"), ("topic", "t"), ("batch.size", "3")],
    )
    .unwrap();
    assert_eq!(small.poll().len(), 3);
    assert_eq!(small.poll()[0].0, "4");
}

#[test]
fn a_missing_file_is_waited_for_and_a_directory_is_named() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    assert_eq!(source.all(), []);
    source.append("a\n");
    assert_eq!(source.all(), at(&[("a", 2)]));
    now(source.disk.create_dir_all(Path::new("/d"))).unwrap();
    let mut source = Source::start(&disk, Arc::default(), &[("file", "/d"), ("topic", "t")]).unwrap();
    let error = source.poll_records().unwrap_err().to_string();
    assert!(error.contains("/d") && error.contains("`file`"), "{error}");
}

/// Kafka stays at the old position: it gives `jkl`, `mno` and loses the rest.
#[test]
fn a_file_that_was_cut_is_read_anew() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    source.append("one\ntwo\nthree\nunfinished");
    assert_eq!(source.lines(), ["one", "two", "three"]);
    rewrite(&source.disk, "/f", b"abc\ndef\n");
    assert_eq!(source.all(), at(&[("abc", 4), ("def", 8)]), "shorter");
    rewrite(&source.disk, "/f", b"abc\ndef\nghi\njkl\nmno\n");
    assert_eq!(
        source.lines(),
        ["ghi", "jkl", "mno"],
        "what begins like the old content goes on behind it"
    );
    rewrite(&source.disk, "/f", b"ABC\ndef\nghi\njkl\nmno\npqr\n");
    assert_eq!(
        source.lines(),
        ["ABC", "def", "ghi", "jkl", "mno", "pqr"],
        "longer, and another one"
    );
    rewrite(&source.disk, "/f", b"");
    assert_eq!(source.lines(), [""; 0]);
    source.append("new\n");
    assert_eq!(source.all(), at(&[("new", 4)]));
}

/// Kafka reads the old file for ever.
#[test]
fn a_file_that_took_its_name_is_read_once_the_old_one_is_done() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    source.append("one\n");
    assert_eq!(source.lines(), ["one"]);
    let (path, old) = (Path::new("/f"), Path::new("/f.1"));
    now(source.disk.rename(path, old)).unwrap();
    support::append(&source.disk, "/f.1", b"two\n");
    assert_eq!(source.lines(), ["two"], "its writer has not let go of it yet");
    source.append("three\n");
    assert_eq!(source.poll(), [], "the old one gets a second");
    support::append(&source.disk, "/f.1", b"last\nunfinished");
    assert_eq!(source.all(), at(&[("last", 13), ("three", 6)]));
    support::append(&source.disk, "/f.1", b"!\n");
    source.append("four\n");
    assert_eq!(source.lines(), ["four"]);
}

#[test]
fn a_restart_goes_on_at_the_committed_position() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    source.append("héllo wörld\nb\r\nc\n");
    let lines = source.all();
    assert_eq!(
        lines,
        at(&[("héllo wörld", 14), ("b", 17), ("c", 19)]),
        "positions count bytes"
    );
    source.commit(lines[0].1);
    assert_eq!(Source::on_file(&disk).lines(), ["b", "c"]);
    source.commit(19);
    let mut source = Source::on_file(&disk);
    assert_eq!(source.lines(), [""; 0]);
    source.append("d\n");
    assert_eq!(source.lines(), ["d"]);
}

/// Kafka looks for the position behind the end for ever, and never ends.
#[test]
fn a_position_behind_the_end_is_another_files() {
    let disk = MemDisk::new();
    let source = Source::on_file(&disk);
    source.append("a\nb\n");
    source.commit(5);
    assert_eq!(Source::on_file(&disk).all(), at(&[("a", 2), ("b", 4)]));
}

/// Kafka counts characters and goes on at that many bytes: it gives a `d` that is no line.
#[test]
fn a_position_within_a_line_repeats_that_line() {
    let disk = MemDisk::new();
    let source = Source::on_file(&disk);
    source.append("héllo wörld\nnext\n");
    source.commit(12);
    assert_eq!(Source::on_file(&disk).lines(), ["héllo wörld", "next"]);
    let long = "x".repeat(200_000);
    rewrite(&source.disk, "/f", format!("a\n{long}\nz\n").as_bytes());
    source.commit(150_000);
    assert_eq!(Source::on_file(&disk).lines(), [long.as_str(), "z"]);
}

#[test]
fn long_lines_and_bytes_that_are_no_text() {
    let disk = MemDisk::new();
    let mut source = Source::on_file(&disk);
    let long = "é".repeat(300_000);
    source.append(&long);
    assert_eq!(source.all(), []);
    source.append(b"\n\xff\xfeok\n");
    assert_eq!(source.lines(), [long.as_str(), "\u{fffd}\u{fffd}ok"]);
}

#[test]
fn stdin_has_no_offsets() {
    let console = Arc::new(Console::default());
    for piece in ["one\ntw", "o\nlost"] {
        console.input.lock().unwrap().push_back(piece.into());
    }
    for pairs in [&[("topic", "t")][..], &[("topic", "t"), ("file", "")]] {
        let mut source = Source::start(&MemDisk::new(), console.clone(), pairs).unwrap();
        let expected = if pairs.len() == 1 {
            at(&[("one", -1), ("two", -1)])
        } else {
            Vec::new()
        };
        assert_eq!(source.all(), expected);
    }
}

#[test]
fn an_offset_without_a_position_is_named() {
    let disk = MemDisk::new();
    let source = Source::on_file(&disk);
    source.append("a\n");
    source.commit(-1);
    let error = Source::start(&disk, Arc::default(), &[("file", "/f"), ("topic", "t")])
        .err()
        .unwrap();
    assert!(error.to_string().contains("position"), "{error}");
}

/// What a trial does with a file and its source.
#[derive(Debug, Clone)]
enum Step {
    Append(String),
    Poll,
    Commit,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => "[ab\\r\\né]{1,12}".prop_map(Step::Append),
        3 => Just(Step::Poll),
        1 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    /// Whatever is appended when: every line comes, in order, once between restarts; a restart repeats only what came after the
    /// last commit.
    #[test]
    fn no_line_is_lost_and_none_repeated_but_for_a_restart(steps in steps()) {
        let disk = MemDisk::new();
        let start = |disk: &MemDisk| Source::start(disk, Arc::default(), &[("file", "/f"), ("topic", "t"), ("batch.size", "2")]).unwrap();
        let mut source = start(&disk);
        // The lines so far; `committed` of them are safe, and the source gives number `next` next.
        let (mut seen, mut next, mut committed) = (Vec::<(String, i64)>::new(), 0, 0);
        let mut text = String::new();
        for step in steps.into_iter().chain([Step::Append("\n.".into()), Step::Poll]) {
            match step {
                Step::Append(more) => {
                    source.append(&more);
                    text += &more;
                }
                Step::Poll => {
                    for line in source.all() {
                        match seen.get(next) {
                            Some(before) => prop_assert_eq!(before, &line, "the same again"),
                            None => seen.push(line),
                        }
                        next += 1;
                    }
                    prop_assert_eq!(next, seen.len());
                }
                Step::Commit if next > 0 => {
                    source.commit(seen[next - 1].1);
                    committed = next;
                }
                Step::Commit => {}
                Step::Restart => {
                    source = start(&disk);
                    next = committed;
                }
            }
        }
        let whole = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut expected: Vec<&str> = whole.split('\n').collect();
        expected.pop();
        let seen: Vec<&str> = seen.iter().map(|(line, _)| line.as_str()).collect();
        prop_assert_eq!(seen, expected);
    }
}
