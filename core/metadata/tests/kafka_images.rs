//! Images as Apache Kafka 4.3.1 writes them (`data/README.md`): the same records replayed here, the image written as records, and
//! each of those equal to Kafka's, byte for byte, at every `metadata.version` that changes a record's form.

use ottla_metadata::records::decode;
use ottla_metadata::{MetadataDelta, MetadataImage};
use std::collections::BTreeSet;

const IMAGES: &str = include_str!("data/kafka-4.3.1.images");

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

struct Case {
    level: i16,
    records: Vec<Vec<u8>>,
    image: Vec<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in IMAGES.lines() {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "level" => cases.push(Case {
                level: rest.parse().unwrap(),
                records: Vec::new(),
                image: Vec::new(),
            }),
            "in" => cases.last_mut().unwrap().records.push(hex(rest)),
            "out" => cases.last_mut().unwrap().image.push(hex(rest)),
            other => panic!("{other}"),
        }
    }
    cases
}

fn name(value: &[u8]) -> String {
    let text = format!("{:?}", decode(value).unwrap());
    text.split('(').next().unwrap().to_string()
}

#[test]
fn an_image_is_written_as_kafka_writes_it() {
    let cases = cases();
    assert_eq!(
        cases.iter().map(|c| c.level).collect::<Vec<_>>(),
        [7, 8, 10, 11, 14, 15, 17, 22, 23, 28, 30]
    );
    let mut seen = BTreeSet::new();
    for case in &cases {
        let mut image = MetadataImage::default();
        for value in &case.records {
            seen.insert(name(value));
            let record = decode(value).unwrap();
            image.replay(&record, 0, &mut MetadataDelta::default()).unwrap();
        }
        image.verify().unwrap();
        let records = image.to_records().unwrap();
        let ours: Vec<&[u8]> = records.iter().collect();
        // Kafka's records of one kind come in the order of its hash tables.
        let order = |values: &[&[u8]]| {
            let mut kinds: Vec<String> = values.iter().map(|v| name(v)).collect();
            kinds.dedup();
            kinds
        };
        let theirs: Vec<&[u8]> = case.image.iter().map(Vec::as_slice).collect();
        assert_eq!(order(&ours), order(&theirs), "level {}", case.level);
        assert_eq!(name(ours[0]), name(theirs[0]));
        let set = |values: &[&[u8]]| -> BTreeSet<Vec<u8>> { values.iter().map(|v| v.to_vec()).collect() };
        let (ours, theirs) = (set(&ours), set(&theirs));
        if let Some(value) = ours.symmetric_difference(&theirs).next() {
            let who = if ours.contains(value) { "ours" } else { "Kafka" };
            panic!(
                "level {}, only {who} writes {:?}",
                case.level,
                decode(value).unwrap()
            );
        }
        assert_eq!(records.len(), case.image.len());
    }
    // What is not here opens, ends and aborts metadata transactions, which no image holds.
    assert_eq!(seen.len(), 23, "{seen:?}");
}
