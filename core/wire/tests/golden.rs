//! Records that Apache Kafka 4.3.1 read and wrote again, unchanged, when `tests/golden/records.txt` was made. For the requests
//! and responses the crates of `tests/kafka_wire.rs` and `tests/kafka_protocol.rs` stand in; nobody else codes these.

use ottla_wire::testgen::CASES;

const RECORDS: &str = include_str!("golden/records.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

#[test]
fn records_are_read_and_written_as_kafka_does() {
    let mut seen = Vec::new();
    for line in RECORDS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, version, hex] = words[..] else {
            panic!("{line}")
        };
        let version: i16 = version.parse().unwrap();
        let case = CASES
            .iter()
            .find(|case| case.name == name)
            .unwrap_or_else(|| panic!("{name}"));
        let input = bytes(hex);
        assert_eq!(
            (case.rewrite)(&input, version),
            Ok((input.clone(), input.len())),
            "{name} version {version}"
        );
        seen.push((name, version));
    }
    let all = CASES.iter().filter(|case| case.group.ends_with("records"));
    let missing: Vec<_> = all
        .flat_map(|case| case.all_versions().map(|version| (case.name, version)))
        .filter(|record| !seen.contains(record))
        .collect();
    assert_eq!(missing, []);
}
