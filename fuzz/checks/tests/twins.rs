//! The fuzz targets under proptest: the same checks, on random bytes and on the damage of valid things, in the usual test run.

use ottla_fuzz_checks::{
    connect, frames, group_records, log_dir, properties, record_batches, requests, seeds, segment,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A seed of a target with some of its bytes changed.
fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let seeds = seeds::of(target);
    let harm = (any::<u16>(), any::<u8>());
    (0..seeds.len(), vec(harm, 0..4)).prop_map(move |(n, harms)| {
        let mut bytes = seeds[n].1.clone();
        for (at, value) in harms {
            let at = usize::from(at) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_connect(bytes in mutated("connect")) {
        connect::check(&bytes);
    }

    #[test]
    fn segments(bytes in vec(any::<u8>(), 0..400)) {
        segment::check(&bytes);
    }

    #[test]
    fn log_dirs(bytes in vec(any::<u8>(), 0..300)) {
        log_dir::check(&bytes);
    }

    #[test]
    fn random_requests(bytes in vec(any::<u8>(), 0..200)) {
        requests::check(&bytes);
    }

    #[test]
    fn damaged_requests(bytes in mutated("requests")) {
        requests::check(&bytes);
    }

    #[test]
    fn random_batches(bytes in vec(any::<u8>(), 0..300)) {
        record_batches::check(&bytes);
    }

    #[test]
    fn damaged_batches(bytes in mutated("record_batches")) {
        record_batches::check(&bytes);
    }

    #[test]
    fn connections(bytes in vec(0..5u8, 0..400)) {
        frames::check(&bytes);
    }

    #[test]
    fn damaged_connections(bytes in mutated("frames")) {
        frames::check(&bytes);
    }

    #[test]
    fn property_files(bytes in vec(any::<u8>(), 0..200)) {
        properties::check(&bytes);
    }

    #[test]
    fn damaged_property_files(bytes in mutated("properties")) {
        properties::check(&bytes);
    }

    #[test]
    fn group_partitions(bytes in vec(any::<u8>(), 0..300)) {
        group_records::check(&bytes);
    }

    #[test]
    fn damaged_group_partitions(bytes in mutated("group_records")) {
        group_records::check(&bytes);
    }
}
