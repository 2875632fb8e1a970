//! The corpus's valid half: inputs made from valid things, for fuzzers and proptest to begin with. `--bin seeds` writes them.

use ottla_wire::ApiKey;
use ottla_wire::framing;
use ottla_wire::header::{RequestHeader, request_header_version};
use ottla_wire::records::{BatchBuilder, BatchOptions, Codec, Compressor, EndTxnMarker, Header};
use ottla_wire::testgen::{CASES, Seed};

use crate::env::NOW;
use crate::requests::case_of;

/// A seed: its name and its bytes.
pub type Named = (String, Vec<u8>);

/// The seeds of a target; none for an unknown one.
pub fn of(target: &str) -> Vec<Named> {
    match target {
        "log_recovery" => log_recovery(),
        "requests" => requests(),
        "record_batches" => record_batches(),
        "frames" => frames(),
        "properties" => properties(),
        "connect" => connect(),
        "group_records" => group_records(),
        _ => Vec::new(),
    }
}

/// Segments and directories: what a node did is a list of numbers, so a few well-chosen lists say it all.
fn log_recovery() -> Vec<Named> {
    let mut seeds = Vec::new();
    for harm in 0..9u8 {
        // No gaps, chunks of 64 bytes, six batches of every kind, one harm in the third.
        let mut segment = vec![0, 0, 0, 63, 6];
        for kind in 0..6u8 {
            segment.extend([
                kind,
                1,
                20 + 10 * kind,
                kind % 3,
                if kind == 3 { 9 } else { 0 },
                0,
                0,
                kind,
            ]);
        }
        segment.extend([1, harm, 0, 150, 0, 3, 7, 7]);
        seeds.push((format!("segment-{harm}"), segment));
    }
    for ending in 0..4u8 {
        for edit in 0..11u8 {
            seeds.push((format!("directory-{ending}-{edit}"), directory(ending, edit)));
        }
    }
    seeds
}

/// A node that does a bit of everything, ends one way, and one edit; 10 stands for none.
fn directory(ending: u8, edit: u8) -> Vec<u8> {
    let mut input = vec![1, 0, 0, 0, 0];
    let steps: [&[u8]; 14] = [
        &[0, 1, 60, 0, 3],
        &[5, 0, 1, 40, 0, 4],
        &[7, 1, 0, 50, 0, 5],
        &[12],
        &[13],
        &[11],
        &[7, 1, 2, 30, 3, 6],
        &[0, 2, 100, 0, 7],
        &[9, 1, 0],
        &[14, 0],
        &[5, 0, 0, 90, 0, 8],
        &[0, 0, 110, 3, 9],
        &[11],
        &[0, 0, 80, 0, 9],
    ];
    input.push(steps.len() as u8);
    steps.iter().for_each(|step| input.extend(*step));
    input.extend([ending, 1]);
    if ending > 1 {
        // Choices of the loss of power.
        input.extend([1; 6]);
    }
    if edit < 10 {
        input.extend([1, 1, 1, edit, 0, 90, 3]);
    }
    input
}

/// A request and a response of every API in its last version, and the metadata records.
fn requests() -> Vec<Named> {
    let mut seeds = Vec::new();
    for api in ApiKey::ALL {
        let (Some(request), Some(response)) = (case_of(*api, "Request"), case_of(*api, "Response")) else {
            continue;
        };
        let version = request.versions.1;
        let mut seed = Seed::new(api.id() as u64);
        let mut frame = vec![0];
        let header = RequestHeader {
            request_api_key: api.id(),
            request_api_version: version,
            correlation_id: 7,
            client_id: Some("seed"),
        };
        let header_version = request_header_version(*api, version);
        header
            .encode(&mut frame, header_version)
            .expect("a header can be written");
        frame.extend((request.round_trip)(&mut seed, version).expect("a valid value survives"));
        seeds.push((format!("{:02}-request-{version}", api.id()), frame));
        let (low, high) = response.versions;
        let mut frame = vec![1, api.id() as u8, (high - low) as u8];
        framing::put_response_header(&mut frame, *api, high, 7).expect("a header can be written");
        let mut seed = Seed::new(api.id() as u64);
        frame.extend((response.round_trip)(&mut seed, high).expect("a valid value survives"));
        seeds.push((format!("{:02}-response-{high}", api.id()), frame));
    }
    for (n, case) in CASES
        .iter()
        .enumerate()
        .filter(|(_, case)| case.group == "metadata_records")
    {
        let (low, high) = case.versions;
        let mut bytes = vec![2];
        // As `Input::below` reads a number of more than 256 values.
        bytes.extend((n as u16).to_be_bytes());
        bytes.push((high - low) as u8);
        bytes.extend((case.round_trip)(&mut Seed::new(n as u64), high).expect("a valid value survives"));
        seeds.push((format!("record-{}", case.name), bytes));
    }
    seeds
}

/// A batch per codec, idempotent and transactional ones, a marker, two batches in a row.
fn record_batches() -> Vec<Named> {
    let build = |options: &BatchOptions| {
        let mut builder = BatchBuilder::new();
        let header = Header {
            key: b"h",
            value: None,
        };
        for n in 0..3i64 {
            let at = NOW.as_millis() + n;
            builder
                .append(at, Some(b"key"), Some(b"a value, a value"), &[header])
                .expect("it fits");
            builder.append(at, None, None, &[]).expect("it fits");
        }
        builder
            .finish(options, &mut Compressor::new())
            .expect("it can be compressed")
    };
    let mut seeds = Vec::new();
    let mut add =
        |name: &str, flags: u8, batch: &[u8]| seeds.push((name.to_owned(), [&[flags], batch].concat()));
    for codec in Codec::ALL {
        add(
            codec.name(),
            1,
            &build(&BatchOptions::default().with_codec(codec)),
        );
    }
    let idempotent = BatchOptions {
        producer_id: 7,
        producer_epoch: 1,
        base_sequence: 40,
        ..BatchOptions::default()
    };
    add("idempotent", 0, &build(&idempotent));
    let transactional = BatchOptions {
        transactional: true,
        ..idempotent
    };
    add("transactional", 63, &build(&transactional));
    let marker = EndTxnMarker {
        committed: true,
        coordinator_epoch: 2,
    };
    add("marker", 3, &marker.to_batch(1, 7, 1, 0, 0).expect("a marker"));
    let two = [
        build(&idempotent),
        build(&BatchOptions::default().with_codec(Codec::Lz4)),
    ]
    .concat();
    add("two", 1, &two);
    add("cut", 0, &two[..two.len() - 9]);
    // Much out of little, in every codec.
    for codec in Codec::ALL.into_iter().skip(1) {
        let mut builder = BatchBuilder::new();
        builder
            .append(0, None, Some(&vec![0; 3 << 20]), &[])
            .expect("it fits");
        let options = BatchOptions::default().with_codec(codec);
        let bomb = builder
            .finish(&options, &mut Compressor::new())
            .expect("it can be compressed");
        if bomb.len() < 1 << 14 {
            add(&format!("bomb-{}", codec.name()), 33, &bomb);
        }
    }
    seeds
}

/// Connections: frames of several sizes, chunks of several sizes, ends of every kind.
fn frames() -> Vec<Named> {
    let frame = |bytes: &[u8]| [&(bytes.len() as i32).to_be_bytes(), bytes].concat();
    let good = [
        frame(b"aa"),
        frame(&[b'b'; 300]),
        frame(b""),
        frame(&[b'c', 3, 1]),
        frame(&[0xaa, 1]),
    ]
    .concat();
    // Limits: in flight, queued, budget; numbers of reads and writes; what they are.
    let slow = |in_flight: u8, budget: &[u8]| {
        let mut input = vec![in_flight, 9];
        input.extend(budget);
        input.extend([6, 6, 0, 3, 1, 69, 0, 2, 1, 0, 5, 0, 64, 7]);
        input
    };
    let ends: [(&str, Vec<u8>); 5] = [
        ("whole", Vec::new()),
        ("cut", vec![0, 0, 0, 9, 1]),
        ("negative", vec![0xff; 6]),
        ("too-large", 3001i32.to_be_bytes().to_vec()),
        ("rejected", [frame(&[0xee, 2]), frame(b"late")].concat()),
    ];
    let mut seeds = Vec::new();
    for (name, end) in ends {
        let bytes = [good.as_slice(), &end].concat();
        seeds.push((
            format!("{name}-quick"),
            [&[4, 99, 1, 0, 0], bytes.as_slice()].concat(),
        ));
        seeds.push((
            format!("{name}-slow"),
            [slow(1, &[0, 20]).as_slice(), &bytes].concat(),
        ));
    }
    seeds
}

fn properties() -> Vec<Named> {
    let texts = [
        (
            "minimal",
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.quorum.voters=1@localhost:9093\n",
        ),
        (
            "values",
            "log.dirs=/a, /b\nlog.retention.hours=168\nlog.segment.bytes=1073741824\ncompression.type=zstd\nlog.cleanup.policy=compact,delete\n",
        ),
        (
            "format",
            "# comment\n! comment\na = b\nc:d\ne f\\\n   g\nh\\u0041=\\t\\n\\\\\n\n=empty key\nkey\n",
        ),
        (
            "wrong",
            "node.id=x\nlog.retention.ms=-7\nprocess.roles=nobody\nlisteners=a://b://c\nunknwon.key=1\n",
        ),
    ];
    let named = |(name, text): (&str, &str)| (name.to_owned(), text.as_bytes().to_vec());
    texts.into_iter().map(named).collect()
}

/// A loaded group of two, one of them static, that goes on; an offset in a transaction; nothing but requests.
fn group_records() -> Vec<Named> {
    let group: &[u8] = &[0, 3, 0, 2, 0, 0, 61, 31, 1, 1, 61, 31, 0, 1, 1, 1, 1];
    let join: &[u8] = &[0, 3, 1, 0, 0, 0, 61, 0, 1, 0, 1, 1, 9];
    let seeds: [(&str, &[&[u8]]); 3] = [
        (
            "loaded",
            &[
                &[1],
                group,
                join,
                &[0, 0, 0, 0, 9, 200],
                join,
                &[0, 0, 0, 0, 10, 0],
            ],
        ),
        (
            "transaction",
            &[
                &[2],
                &[3, 2, 0, 0, 0, 0, 1],
                &[0; 24],
                &[0, 1, 1],
                &[0, 0, 0, 4, 6],
            ],
        ),
        (
            "asked",
            &[&[0], join, &[0, 3, 0, 4, 5], join, &[0, 0, 0, 0, 9, 255]],
        ),
    ];
    let named = |(name, parts): (&str, &[&[u8]])| (name.to_owned(), parts.concat());
    seeds.into_iter().map(named).collect()
}

/// An offset file, messages of each kind of schema, connectors.
fn connect() -> Vec<Named> {
    let key = br#"["source",{"filename":"test.txt"}]"#.to_vec();
    let entries = vec![
        (key, Some(b"{\"position\":8}".to_vec())),
        (b"other".to_vec(), None),
    ];
    let mut offsets = vec![0];
    offsets.extend(ottla_connect::offsets::java::write(&entries));
    let messages = [
        r#"{"schema":{"type":"string","optional":false},"payload":"foo"}"#,
        r#"{"schema":{"type":"struct","fields":[{"type":"int32","default":7,"field":"a"},{"type":"double","optional":true,"field":"b"}]},"payload":{"a":null,"b":1.5}}"#,
        r#"{"schema":{"type":"map","keys":{"type":"int8"},"values":{"type":"bytes"}},"payload":[[1,"AJw="]]}"#,
        r#"{"schema":{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},"payload":"AJw="}"#,
        r#"{"schema":{"type":"array","items":{"type":"int32","name":"org.apache.kafka.connect.data.Date"}},"payload":[1,-1]}"#,
    ];
    let mut seeds = vec![("offsets".to_owned(), offsets)];
    for (number, text) in messages.iter().enumerate() {
        for kind in [1u8, 2] {
            seeds.push((
                format!("message-{number}-{kind}"),
                [&[kind], text.as_bytes()].concat(),
            ));
        }
    }
    for (number, text) in [
        "name=a\nfile : b\\\n c",
        r#"{"name":"a","config":{"file":"b"},"initial_state":"paused"}"#,
    ]
    .iter()
    .enumerate()
    {
        seeds.push((format!("connector-{number}"), [&[3], text.as_bytes()].concat()));
    }
    seeds
}
