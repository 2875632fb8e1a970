//! Properties that every message and record has in every version: a value survives writing and reading, bytes that are
//! damaged, cut short or random are refused or read without a panic, and what was read can be written.

use ottla_wire::DecodeErrorKind;
use ottla_wire::codec::ALLOCATION_FACTOR;
use ottla_wire::testgen::{ARRAYS, CASES, Case, Seed};
use proptest::prelude::*;

/// Calls `check` for every message in every version.
fn each(mut check: impl FnMut(&'static Case, i16)) {
    for case in CASES {
        for version in case.all_versions() {
            check(case, version);
        }
    }
}

fn valid(case: &Case, version: i16, seed: &mut Seed) -> Vec<u8> {
    match (case.round_trip)(seed, version) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{} version {version}: {error}", case.name),
    }
}

#[test]
fn everything_is_there() {
    let count = |group: &str| CASES.iter().filter(|case| case.group == group).count();
    assert_eq!(count("messages"), 2 * 89);
    assert_eq!(count("metadata_records"), 26);
    assert_eq!(count("group_records"), 44);
    assert_eq!(count("txn_records"), 2);
    assert_eq!(count("share_records"), 4);
    assert_eq!(count("control_records"), 7);
    assert_eq!(count("storage_records"), 5);
    assert_eq!(count("raft_records"), 1);
    assert_eq!(count("header"), 2);
}

#[test]
fn a_version_outside_the_range_is_refused() {
    for case in CASES {
        for version in [case.versions.0 - 1, case.versions.1 + 1] {
            let error = (case.rewrite)(&[0; 64], version).unwrap_err();
            assert_eq!(
                error.kind,
                DecodeErrorKind::UnsupportedVersion {
                    message: case.name,
                    version
                }
            );
            assert!(
                (case.default)(version).is_err(),
                "{} version {version}",
                case.name
            );
        }
    }
}

#[test]
fn defaults_can_be_written_unless_a_field_has_none() {
    let mut refused = Vec::new();
    each(|case, version| {
        if let Err(error) = (case.default)(version) {
            refused.push(format!("{} {version}: {error}", case.name));
        }
    });
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn every_prefix_of_a_value_is_refused() {
    each(|case, version| {
        let bytes = valid(case, version, &mut Seed::new(version as u64));
        for cut in 0..bytes.len() {
            // A prefix is never the whole value, since the value needs all of its bytes.
            let result = (case.rewrite)(&bytes[..cut], version);
            assert!(
                result.is_err(),
                "{} version {version} cut at {cut} of {}",
                case.name,
                bytes.len()
            );
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_survive_writing_and_reading(number: u64) {
        let mut seed = Seed::new(number);
        each(|case, version| {
            let bytes = valid(case, version, &mut seed);
            assert_eq!((case.rewrite)(&bytes, version), Ok((bytes.clone(), bytes.len())), "{}", case.name);
        });
    }

    #[test]
    fn damaged_values_never_panic(number: u64) {
        let mut seed = Seed::new(number);
        each(|case, version| {
            let mut bytes = valid(case, version, &mut seed);
            for _ in 0..4 {
                let at = seed.number() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = seed.i64() as u8;
                }
                settles(case, version, &bytes);
            }
        });
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        each(|case, version| settles(case, version, &bytes));
    }
}

/// What can be read can be written, and what was written reads as the same.
fn settles(case: &Case, version: i16, bytes: &[u8]) {
    if let Ok((written, _)) = (case.rewrite)(bytes, version) {
        let again = (case.rewrite)(&written, version);
        assert_eq!(
            again,
            Ok((written.clone(), written.len())),
            "{} version {version}",
            case.name
        );
    }
}

#[test]
fn a_claimed_count_is_refused_before_anything_is_reserved() {
    // An int32 or compact count of about 2^31 in front of nothing: were it believed, this test would not survive.
    each(|case, version| {
        for bytes in [[0x7f; 64], [0xff; 64]] {
            settles(case, version, &bytes);
        }
    });
}

#[test]
fn no_element_outgrows_the_allocation_limit() {
    // While every element takes at most the factor times its least size on the wire, the limit refuses no valid message; it
    // only stops nested claims from multiplying.
    let ratio = |row: &&(&str, usize, usize)| row.1.div_ceil(row.2);
    let worst = ARRAYS.iter().max_by_key(ratio).unwrap();
    assert!(ratio(&worst) <= ALLOCATION_FACTOR / 2, "{worst:?}");
    assert!(ARRAYS.len() > 150);
}
