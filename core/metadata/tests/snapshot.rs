//! Snapshots that Apache Kafka 4.3.1 wrote (`data/README.md`): read, and written again byte for byte. And snapshots that are
//! damaged, cut or invented: refused, whatever is in them.

use ottla_metadata::quorum::{Quorum, Voter};
use ottla_metadata::records::{Records, decode};
use ottla_metadata::snapshot::{Head, SnapshotError, write};
use ottla_metadata::{Loader, Snapshot, SnapshotId};
use ottla_types::Uuid;
use ottla_wire::records::{BatchHeader, Batches};
use proptest::prelude::*;

const DYNAMIC: &[u8] = include_bytes!("data/kafka-4.3.1-dynamic.checkpoint");
const STATIC: &[u8] = include_bytes!("data/kafka-4.3.1-static.checkpoint");
const STANDALONE: &[u8] = include_bytes!("data/kafka-4.3.1-standalone.checkpoint");
const BOOTSTRAP: &[u8] = include_bytes!("data/kafka-4.3.1-bootstrap.checkpoint");

fn records(snapshot: &Snapshot) -> Records {
    let mut records = Records::unbounded(30);
    for value in snapshot.values() {
        records.push(&decode(value).unwrap()).unwrap();
    }
    records
}

/// The files differ in when their batches were written: Kafka takes the time for each.
fn with_times_of(mut bytes: Vec<u8>, theirs: &[u8]) -> Vec<u8> {
    let mut at = 0;
    for batch in Batches::new(theirs) {
        let batch = batch.unwrap();
        let header = BatchHeader::parse(&bytes[at..]).unwrap();
        let head = BatchHeader {
            crc: batch.header().crc,
            base_timestamp: batch.header().base_timestamp,
            max_timestamp: batch.header().max_timestamp,
            ..header
        };
        bytes[at..at + head.to_bytes().len()].copy_from_slice(&head.to_bytes());
        at += header.size_in_bytes();
    }
    bytes
}

#[test]
fn kafkas_snapshots_are_written_again() {
    for (bytes, offset, epoch) in [
        (DYNAMIC, 104, 1),
        (STATIC, 103, 1),
        (STANDALONE, 0, 0),
        (BOOTSTRAP, 0, 0),
    ] {
        let snapshot = Snapshot::read(bytes).unwrap();
        let head = Head {
            id: SnapshotId { offset, epoch },
            now: 0,
            last_contained_timestamp: snapshot.last_contained_timestamp,
            quorum: &snapshot.quorum,
        };
        let ours = write(&head, &records(&snapshot)).unwrap();
        assert!(Snapshot::read(&ours).unwrap() == snapshot);
        // The CRCs are Kafka's here, so that they show whether anything else differs.
        let ours = with_times_of(ours, bytes);
        assert!(ours == bytes, "{:?}\n{:?}", &ours[..], bytes);
        assert!(Batches::new(&ours).all(|batch| batch.unwrap().verify_crc().is_ok()));
    }
}

#[test]
fn a_snapshot_says_who_votes() {
    let voter = Voter {
        id: 1,
        directory_id: "75CS6PvvQZKLaWCDW2jAhQ".parse::<Uuid>().unwrap(),
        endpoints: vec![("CONTROLLER".into(), "127.0.0.1".into(), 31093)],
        kraft_versions: (0, 1),
    };
    let dynamic = Quorum {
        kraft_version: 1,
        voters: vec![voter],
    };
    assert_eq!(Snapshot::read(DYNAMIC).unwrap().quorum, dynamic);
    assert_eq!(Snapshot::read(STANDALONE).unwrap().quorum, dynamic);
    assert_eq!(Snapshot::read(STATIC).unwrap().quorum, Quorum::default());
}

#[test]
fn a_snapshot_becomes_the_image_that_it_was_made_of() {
    let snapshot = Snapshot::read(DYNAMIC).unwrap();
    let mut loader = Loader::new();
    loader.load_snapshot(snapshot.values(), 103).unwrap();
    let image = loader.image();
    assert_eq!(image.topics().by_name("t1").unwrap().partitions.size(), 3);
    assert_eq!((image.metadata_version(), image.offset()), (30, 103));
    assert_eq!(image.security().acls.size(), 2);
    let again: Vec<Vec<u8>> = image.to_records().unwrap().iter().map(<[u8]>::to_vec).collect();
    assert_eq!(again.len(), snapshot.len());
}

#[test]
fn what_is_cut_is_no_snapshot() {
    for whole in [DYNAMIC, STANDALONE] {
        for end in 0..whole.len() {
            let refused = Snapshot::read(&whole[..end]).unwrap_err();
            assert!(
                matches!(refused, SnapshotError::NoHeader | SnapshotError::NoFooter),
                "{end}: {refused}"
            );
        }
        let mut more = whole.to_vec();
        more.extend(whole);
        assert!(matches!(Snapshot::read(&more), Err(SnapshotError::Misplaced(_))));
    }
}

#[test]
fn a_flipped_bit_is_found() {
    // Offsets, lengths and leader epochs lie outside the CRC.
    for at in 21..DYNAMIC.len() {
        let mut bytes = DYNAMIC.to_vec();
        bytes[at] ^= 0x10;
        let outside = Batches::new(DYNAMIC).scan(0, |begin, batch| {
            let from = *begin;
            *begin += batch.unwrap().size_in_bytes();
            Some(from)
        });
        if outside
            .into_iter()
            .all(|begin| !(begin..begin + 17).contains(&at))
        {
            assert!(Snapshot::read(&bytes).is_err(), "byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..DYNAMIC.len(), n in 0..60_usize) {
        let _ = Snapshot::read(&bytes);
        let mut spliced = DYNAMIC.to_vec();
        let end = (at + n).min(spliced.len());
        spliced.splice(at..end, bytes);
        let _ = Snapshot::read(&spliced);
    }
}
