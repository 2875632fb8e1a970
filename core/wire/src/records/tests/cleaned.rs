//! What the cleaner keeps of a batch.

use super::*;

/// Offset delta, timestamp, key, value, headers.
type Kept = (i32, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<OwnedHeader>);

fn kept(record: &RecordRef<'_>, header: &BatchHeader) -> Kept {
    let own = |h: Header<'_>| (h.key.to_vec(), h.value.map(<[u8]>::to_vec));
    let headers = record.headers().map(|h| own(h.expect("readable"))).collect();
    (
        record.offset_delta,
        header.timestamp(record.timestamp_delta),
        record.key.map(<[u8]>::to_vec),
        record.value.map(<[u8]>::to_vec),
        headers,
    )
}

proptest! {
    /// Some of its records, each where and when it was, whatever the delete horizon.
    #[test]
    fn a_cleaned_batch_keeps_its_records(
        records in vec((record(), any::<bool>()), 1..12), codec in codec(),
        horizon in proptest::option::of(0..NOW * 2), append_time in proptest::option::of(0..NOW),
    ) {
        let (all, stays): (Vec<Owned>, Vec<bool>) = records.into_iter().unzip();
        let options = BatchOptions {
            base_offset: 70,
            producer_id: 8,
            producer_epoch: 2,
            base_sequence: 5,
            log_append_time: append_time,
            ..BatchOptions::default().with_codec(codec)
        };
        let bytes = build(&all, &options);
        let batch = BatchRef::first(&bytes).expect("a batch");
        let (mut scratch, header) = (Decompressor::default(), *batch.header());
        let mut builder = BatchBuilder::cleaned(horizon);
        let mut expected = Vec::new();
        let mut stream = batch.records_with(&mut scratch).expect("readable");
        for stays in &stays {
            let record = stream.next_record().expect("one more").expect("readable");
            if *stays {
                let one = kept(&record, &header);
                builder.keep(&record, one.1).expect("small");
                expected.push(one);
            }
        }
        let options = BatchOptions { last_offset_delta: Some(header.last_offset_delta), ..options };
        let cleaned = match builder.finish(&options, &mut Compressor::new()) {
            Err(BuildError::Empty) => header.emptied().to_vec(),
            built => built.expect("small"),
        };
        let cleaned = BatchRef::first(&cleaned).expect("a batch");
        prop_assert_eq!(cleaned.verify_crc(), Ok(()));
        let after = *cleaned.header();
        prop_assert_eq!((after.base_offset, after.last_offset()), (70, header.last_offset()));
        prop_assert_eq!(after.last_sequence(), header.last_sequence());
        prop_assert_eq!((after.producer_id, after.producer_epoch), (8, 2));
        prop_assert_eq!(after.delete_horizon(), horizon.filter(|_| !expected.is_empty()));
        let mut stream = cleaned.records_with(&mut scratch).expect("readable");
        let mut found = Vec::new();
        while let Some(record) = stream.next_record() {
            found.push(kept(&record.expect("readable"), &after));
        }
        prop_assert_eq!(found, expected);
    }
}
