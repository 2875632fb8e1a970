//! The producer rules one by one.

use super::*;
use crate::batch::EndTxn;

const CLIENT: Origin = Origin::Client;
const FOREVER: u64 = u64::MAX;

/// A batch of two records of producer 7.
fn batch(offset: Offset, epoch: i16, sequence: i32) -> BatchMeta {
    BatchMeta {
        base_offset: offset,
        last_offset: offset + 1,
        size: 100,
        max_timestamp: 1000 + offset,
        leader_epoch: 0,
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: 2,
        is_transactional: false,
        is_control: false,
        control: None,
    }
}

fn txn(offset: Offset, producer_id: ProducerId, epoch: i16, sequence: i32) -> BatchMeta {
    BatchMeta {
        is_transactional: true,
        producer_id,
        ..batch(offset, epoch, sequence)
    }
}

fn marker(
    offset: Offset,
    producer_id: ProducerId,
    epoch: i16,
    commit: bool,
    coordinator_epoch: i32,
) -> BatchMeta {
    BatchMeta {
        last_offset: offset,
        is_control: true,
        control: Some(EndTxn {
            commit,
            coordinator_epoch,
        }),
        ..txn(offset, producer_id, epoch, -1)
    }
}

fn take(table: &mut Producers, batch: &BatchMeta) -> Option<CompletedTxn> {
    table.apply(batch).expect("no violation")
}

fn out_of_order(sequence: i32, last: i32) -> Result<(), ProducerError> {
    Err(ProducerError::OutOfOrderSequence {
        producer_id: 7,
        sequence,
        last,
    })
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let table = Producers::new(0);
    assert_eq!(table.validate(&batch(0, 3, 42), CLIENT, None), Ok(()));
    // But not while its transaction is being verified: then its first batch is known.
    let known = |lowest_sequence, supports_epoch_bump| {
        Some(Verification {
            lowest_sequence,
            supports_epoch_bump,
        })
    };
    assert_eq!(
        table.validate(&batch(0, 3, 42), CLIENT, known(40, false)),
        out_of_order(42, 40)
    );
    assert_eq!(table.validate(&batch(0, 3, 40), CLIENT, known(40, false)), Ok(()));
    assert_eq!(
        table.validate(&batch(0, 3, 40), CLIENT, known(40, true)),
        out_of_order(40, -1)
    );
}

#[test]
fn sequences_follow_each_other_and_wrap() {
    let mut table = Producers::new(0);
    take(&mut table, &batch(0, 0, 10));
    assert_eq!(table.validate(&batch(2, 0, 12), CLIENT, None), Ok(()));
    assert_eq!(
        table.validate(&batch(2, 0, 13), CLIENT, None),
        out_of_order(13, 11)
    );
    assert_eq!(
        table.validate(&batch(2, 0, 11), CLIENT, None),
        out_of_order(11, 11)
    );
    assert_eq!(
        table.validate(&batch(2, 0, 13), Origin::Replication, None),
        Ok(()),
        "the leader has checked it"
    );
    take(&mut table, &batch(2, 0, i32::MAX - 1));
    assert_eq!(
        table.validate(&batch(4, 0, 0), CLIENT, None),
        Ok(()),
        "after 2^31 - 1 comes 0"
    );
    take(&mut table, &batch(4, 0, i32::MAX));
    assert_eq!(
        table
            .get(7)
            .and_then(|e| e.last())
            .map(|b| (b.first_sequence(), b.last_sequence)),
        Some((i32::MAX, 0))
    );
    assert_eq!(table.validate(&batch(6, 0, 1), CLIENT, None), Ok(()));
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    let mut table = Producers::new(0);
    take(&mut table, &batch(0, 4, 10));
    assert_eq!(
        table.validate(&batch(2, 5, 12), CLIENT, None),
        out_of_order(12, 11)
    );
    assert_eq!(table.validate(&batch(2, 5, 0), CLIENT, None), Ok(()));
    take(&mut table, &batch(2, 5, 0));
    let old = ProducerError::InvalidEpoch {
        producer_id: 7,
        epoch: 4,
        current: 5,
    };
    assert_eq!(table.validate(&batch(4, 4, 12), CLIENT, None), Err(old));
    assert_eq!(
        table.duplicate_of(&batch(4, 4, 10)),
        None,
        "the old epoch's batches are forgotten"
    );
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut table = Producers::new(0);
    for i in 0..6 {
        take(&mut table, &batch(i * 2 + 100, 0, i as i32 * 2));
    }
    assert_eq!(table.duplicate_of(&batch(0, 0, 0)), None, "the sixth is too old");
    assert_eq!(
        table.validate(&batch(112, 0, 0), CLIENT, None),
        out_of_order(0, 11)
    );
    for i in 1..6 {
        let found = table
            .duplicate_of(&batch(999, 0, i as i32 * 2))
            .expect("remembered");
        assert_eq!(
            (found.first_offset(), found.last_offset),
            (100 + i * 2, 101 + i * 2)
        );
    }
    let shorter = BatchMeta {
        last_offset: 999,
        ..batch(999, 0, 4)
    };
    assert_eq!(
        table.duplicate_of(&shorter),
        None,
        "another range is another batch"
    );
    let without_sequence = batch(999, 0, -1);
    assert_eq!(table.duplicate_of(&without_sequence), None);
}

#[test]
fn transactions_hold_the_stable_offset_back() {
    let mut table = Producers::new(0);
    take(&mut table, &txn(0, 7, 0, 0));
    take(&mut table, &txn(2, 8, 0, 0));
    take(&mut table, &txn(4, 7, 0, 2));
    assert!(table.has_open_txn(7, 0) && !table.has_open_txn(7, 1));
    let plain = BatchMeta {
        base_sequence: 4,
        ..batch(6, 0, 4)
    };
    let outside = ProducerError::InvalidTxnState {
        producer_id: 7,
        open_since: 0,
    };
    assert_eq!(table.validate(&plain, CLIENT, None), Err(outside));

    let done = take(&mut table, &marker(6, 7, 0, false, 1)).expect("completes");
    assert!(done.aborted);
    let expected = AbortedTxn {
        producer_id: 7,
        first_offset: 0,
        last_offset: 6,
        last_stable_offset: 2,
    };
    assert_eq!(done.txn, expected, "producer 8 is still open from 2");
    assert_eq!(
        table.first_unstable_offset(),
        Some(0),
        "the marker is not replicated yet"
    );
    table.high_watermark(6);
    assert_eq!(table.first_unstable_offset(), Some(0));
    table.high_watermark(7);
    assert_eq!(table.first_unstable_offset(), Some(2));
    let done = take(&mut table, &marker(7, 8, 0, true, 1)).expect("completes");
    assert_eq!((done.aborted, done.txn.last_stable_offset), (false, 8));
    table.high_watermark(8);
    assert_eq!(table.first_unstable_offset(), None);
    assert_eq!(
        take(&mut table, &marker(8, 9, 0, false, 1)),
        None,
        "a marker without a transaction"
    );
    table.check().expect("invariants");
}

#[test]
fn markers_are_fenced_by_epoch_and_coordinator() {
    let mut table = Producers::new(0);
    let version = |transaction_version| Origin::Coordinator { transaction_version };
    take(&mut table, &txn(0, 7, 3, 0));
    let stale = ProducerError::InvalidEpoch {
        producer_id: 7,
        epoch: 3,
        current: 3,
    };
    assert_eq!(
        table.validate(&marker(2, 7, 3, true, 5), version(1), None),
        Ok(())
    );
    assert_eq!(
        table.validate(&marker(2, 7, 3, true, 5), version(2), None),
        Err(stale)
    );
    assert_eq!(
        table.validate(&marker(2, 7, 4, true, 5), version(2), None),
        Ok(())
    );
    take(&mut table, &marker(2, 7, 4, true, 5));
    assert_eq!(
        table.validate(&marker(3, 7, 4, true, 5), version(2), None),
        Ok(()),
        "written once more (KAFKA-19999)"
    );
    let fenced = ProducerError::CoordinatorFenced {
        producer_id: 7,
        epoch: 4,
        current: 5,
    };
    assert_eq!(
        table.validate(&marker(3, 7, 5, true, 4), version(2), None),
        Err(fenced)
    );
    // The largest epoch can't be exceeded.
    take(&mut table, &txn(3, 7, i16::MAX, 0));
    assert_eq!(
        table.validate(&marker(5, 7, i16::MAX, true, 5), version(2), None),
        Ok(())
    );
}

#[test]
fn idle_producers_expire_unless_a_transaction_is_open() {
    let mut table = Producers::new(0);
    take(&mut table, &batch(0, 0, 0));
    take(&mut table, &txn(2, 8, 0, 0));
    assert_eq!(table.expire(Time(1999), 1000), 0);
    assert_eq!(table.expire(Time(2000), 1000), 1);
    assert_eq!(table.expire(Time(1 << 40), 1000), 0);
    assert!(table.get(7).is_none() && table.get(8).is_some());
    assert!(table.has_late_transaction(Time(2003), 1000) && !table.has_late_transaction(Time(2002), 1000));
}

#[test]
fn a_snapshot_keeps_the_last_batch_and_open_transactions() {
    let mut table = Producers::new(0);
    take(&mut table, &batch(0, 0, 0));
    take(&mut table, &batch(2, 0, 2));
    take(&mut table, &txn(4, 8, 1, 0));
    take(&mut table, &marker(6, 9, 2, true, 3));
    let bytes = table.snapshot();
    let loaded = Producers::from_snapshot(7, &bytes, Time(0), FOREVER).expect("loads");
    assert_eq!(loaded.snapshot(), bytes);
    assert_eq!((loaded.end(), loaded.first_open_offset()), (7, Some(4)));
    assert!(loaded.duplicate_of(&batch(9, 0, 2)).is_some() && loaded.duplicate_of(&batch(9, 0, 0)).is_none());
    let expired = Producers::from_snapshot(7, &bytes, Time(1 << 40), 1000).expect("loads");
    assert_eq!(expired.entries().map(|(id, _)| id).collect::<Vec<_>>(), [8]);
    // Damage is found, and so is a transaction that could not be.
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        assert!(
            Producers::from_snapshot(7, &bad, Time(0), FOREVER).is_err(),
            "byte {at}"
        );
    }
    assert!(Producers::from_snapshot(4, &bytes, Time(0), FOREVER).is_err());
}

/// After a restart from a snapshot, the batches that are read again are found when they are repeated.
#[test]
fn recalled_batches_are_found_as_duplicates() {
    let mut table = Producers::new(0);
    let written: Vec<BatchMeta> = (0..7).map(|i| batch(2 * i, 4, 2 * i as i32)).collect();
    for batch in &written {
        take(&mut table, batch);
    }
    let live = table.clone();
    let mut table = Producers::from_snapshot(14, &live.snapshot(), Time(0), FOREVER).expect("a snapshot");
    assert_eq!(
        table.duplicate_of(&written[5]),
        None,
        "the snapshot has the last only"
    );
    for batch in written.iter().chain(&written) {
        table.recall(batch);
    }
    assert_eq!(
        table.entries().collect::<Vec<_>>(),
        live.entries().collect::<Vec<_>>()
    );
    // Another epoch's, markers and those without a sequence are none that could be repeated.
    for other in [
        batch(1, 3, 1),
        marker(1, 7, 4, true, 0),
        batch(1, 4, -1),
        txn(1, 8, 4, 0),
    ] {
        table.recall(&other);
    }
    assert_eq!(
        table,
        Producers {
            end: table.end,
            ..live
        }
    );
}
