//! The formats: what is written is read back, what is looked up is found as a plain search finds it, damage is seen.

use super::CorruptIndex;
use super::file_name::{DirState, FileKind, FileName, FileState, PartitionDir};
use super::offset_index::{self, OffsetEntry};
use super::time_index::{self, TimeEntry};
use super::txn_index::{self, AbortedTxn};
use ottla_types::{TopicPartition, Uuid};
use proptest::prelude::*;

const BASE: i64 = 5000;

fn index(entries: &[(i64, u32)], zeros: usize) -> Vec<u8> {
    let entry = |(offset, position): &(i64, u32)| {
        OffsetEntry {
            offset: BASE + offset,
            position: *position,
        }
        .to_bytes(BASE)
    };
    entries
        .iter()
        .flat_map(entry)
        .chain(std::iter::repeat_n(0, zeros))
        .collect()
}

proptest! {
    #[test]
    fn index_lookups_are_a_plain_search(
        steps in prop::collection::vec((1..50i64, 1..9000u32), 0..40), zeros in 0..100usize, target in -10..2500i64,
    ) {
        let mut at = (0, 0);
        let entries: Vec<(i64, u32)> = steps.iter().map(|(o, p)| { at = (at.0 + o, at.1 + p); at }).collect();
        let bytes = index(&entries, zeros);
        let count = offset_index::valid_entries(&bytes);
        prop_assert_eq!(count, entries.len());
        let expected = entries.iter().rev().find(|(o, _)| *o <= target).copied().unwrap_or((0, 0));
        let found = offset_index::lookup(&bytes, BASE, count, BASE + target);
        prop_assert_eq!((found.offset - BASE, found.position), expected);
        let below = entries.iter().filter(|(o, _)| *o < target).count();
        prop_assert_eq!(offset_index::entries_below(&bytes, BASE, count, BASE + target), below);

        let times: Vec<TimeEntry> =
            entries.iter().map(|(o, p)| TimeEntry { timestamp: i64::from(*p), offset: BASE + o }).collect();
        let bytes: Vec<u8> = times.iter().flat_map(|e| e.to_bytes(BASE)).chain(std::iter::repeat_n(0, zeros)).collect();
        let count = time_index::valid_entries(&bytes);
        prop_assert_eq!(count, times.len());
        let expected = times.iter().rev().find(|e| e.timestamp <= target).copied().unwrap_or(TimeEntry::none(BASE));
        prop_assert_eq!(time_index::lookup(&bytes, BASE, count, target), expected);
        prop_assert_eq!(time_index::last(&bytes, BASE, count), times.last().copied().unwrap_or(TimeEntry::none(BASE)));
    }

    #[test]
    fn any_name_is_read_or_refused(name in "\\PC{0,60}", digits in "[0-9]{20}\\.(log|index|snapshot)(\\.swap)?") {
        for name in [&name, &digits] {
            if let Some(parsed) = FileName::parse(name) {
                prop_assert_eq!(&parsed.to_string(), name);
            }
            let _ = PartitionDir::parse(name);
        }
    }
}

#[test]
fn sanity_checks_are_kafkas() {
    assert_eq!(offset_index::sanity_check(&index(&[], 0), BASE, 0), Ok(()));
    assert_eq!(
        offset_index::sanity_check(&index(&[(3, 60)], 0), BASE, 100),
        Ok(())
    );
    let length = CorruptIndex::Length { length: 9, entry: 8 };
    assert_eq!(
        offset_index::sanity_check(&index(&[(3, 60)], 1), BASE, 100),
        Err(length)
    );
    let zeros = CorruptIndex::LastOffset {
        last: BASE,
        base: BASE,
    };
    assert_eq!(
        offset_index::sanity_check(&index(&[(3, 60)], 8), BASE, 100),
        Err(zeros),
        "not trimmed"
    );
    assert!(
        offset_index::sanity_check(&index(&[(3, 60)], 0), BASE, 60).is_err(),
        "beyond the segment"
    );

    let times = |rows: &[(i64, i64)]| -> Vec<u8> {
        rows.iter()
            .flat_map(|(timestamp, offset)| {
                TimeEntry {
                    timestamp: *timestamp,
                    offset: *offset,
                }
                .to_bytes(BASE)
            })
            .collect()
    };
    assert_eq!(
        time_index::sanity_check(&times(&[(7, BASE), (9, BASE + 4)]), BASE),
        Ok(())
    );
    assert!(time_index::sanity_check(&times(&[(7, BASE), (6, BASE + 4)]), BASE).is_err());
    assert!(time_index::sanity_check(&times(&[(7, BASE - 1)]), BASE).is_err());
    assert!(time_index::sanity_check(&[0; 11], BASE).is_err());
}

#[test]
fn aborted_transactions_are_collected_up_to_the_stable_offset() {
    let txn = |first_offset, last_offset, last_stable_offset| AbortedTxn {
        producer_id: 1,
        first_offset,
        last_offset,
        last_stable_offset,
    };
    let all = [txn(0, 10, 5), txn(5, 20, 21), txn(30, 40, 41)];
    let bytes: Vec<u8> = all.iter().flat_map(|t| t.to_bytes()).collect();
    let collect = |from, to| {
        let mut out = Vec::new();
        let more = txn_index::collect(&bytes, from, to, &mut out).expect("readable");
        (out.iter().map(|t| t.first_offset).collect::<Vec<_>>(), more)
    };
    assert_eq!(collect(0, 5), (vec![0], false));
    assert_eq!(collect(11, 30), (vec![5], false));
    assert_eq!(collect(0, 100), (vec![0, 5, 30], true));
    assert_eq!(collect(41, 100), (vec![], true));
    assert_eq!(txn_index::bytes_below(&bytes, 20), 34);
    assert_eq!(txn_index::sanity_check(&bytes, 0), Ok(()));
    assert!(
        txn_index::sanity_check(&bytes, 11).is_err(),
        "a marker below the segment"
    );
    assert!(txn_index::sanity_check(&bytes[..60], 0).is_err(), "a torn entry");
    let mut newer = bytes.clone();
    newer[1] = 1;
    assert_eq!(
        txn_index::sanity_check(&newer, 0),
        Err(CorruptIndex::Version { version: 1 })
    );
}

#[test]
fn file_names_are_kafkas() {
    let name = FileName::new(170, FileKind::TimeIndex);
    assert_eq!(name.to_string(), "00000000000000000170.timeindex");
    let swap = "00000000000000000170.log.swap";
    assert_eq!(
        FileName::parse(swap),
        Some(FileName::new(170, FileKind::Log).with_state(FileState::Swap))
    );
    for foreign in [
        "leader-epoch-checkpoint",
        "partition.metadata",
        "170.log",
        "+0000000000000000170.log",
        "99999999999999999999.log",
    ] {
        assert_eq!(FileName::parse(foreign), None, "{foreign}");
    }
}

#[test]
fn folder_names_are_kafkas() {
    let live = |topic: &str, partition| PartitionDir {
        partition: TopicPartition::new(topic, partition),
        state: DirState::Live,
    };
    assert_eq!(PartitionDir::parse("a-b-12"), Some(live("a-b", 12)));
    assert_eq!(PartitionDir::parse("t-delete-3"), Some(live("t-delete", 3)));
    for none in ["t", "-3", "t-", "t-x", "t-007", "t--1x", "t-99999999999"] {
        assert_eq!(PartitionDir::parse(none), None, "{none}");
    }
    let tp = TopicPartition::new("t.1", 4);
    for state in [DirState::Delete, DirState::Stray, DirState::Future] {
        let name = PartitionDir::renamed(&tp, state, Uuid::from_bytes([0xab; 16]));
        assert!(name.starts_with("t.1-4.abababab"), "{name}");
        assert_eq!(
            PartitionDir::parse(&name),
            Some(PartitionDir {
                partition: tp.clone(),
                state
            })
        );
    }
    let long = TopicPartition::new("x".repeat(249), 1000);
    assert_eq!(
        PartitionDir::renamed(&long, DirState::Delete, Uuid::ZERO).len(),
        255
    );
}
