//! What Kafka Connect reads from outside: its offset file as Java serialises it, messages of JSON with and without schemas, the files
//! of connectors.

use bytes::Bytes;
use ottla_connect::config::{Props, parse_connector};
use ottla_connect::convert::{Converter, JsonConverter};
use ottla_connect::offsets::{OffsetKey, java};

/// The target: the first byte says what the rest is.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => offsets(rest),
        1 => message(rest, "true"),
        2 => message(rest, "false"),
        _ => {
            if let Ok(connector) = parse_connector(rest) {
                assert!(!connector.name.is_empty());
            }
        }
    }
}

/// A map that is read is written to the same map.
fn offsets(bytes: &[u8]) {
    let Ok(entries) = java::read(bytes) else {
        return;
    };
    assert_eq!(java::read(&java::write(&entries)).as_ref(), Ok(&entries));
    for (key, _) in &entries {
        if let Some(key) = OffsetKey::from_bytes(key) {
            assert_eq!(
                OffsetKey::from_bytes(&key.to_bytes()),
                Some(key),
                "a key is stable"
            );
        }
    }
}

/// What a message says is written to the same message again and again.
fn message(bytes: &[u8], schemas: &str) {
    let props: Props = [("schemas.enable".to_owned(), schemas.to_owned())].into();
    let converter = JsonConverter::new(&props).expect("a valid setting");
    let Ok(data) = converter.decode("t", Some(&Bytes::copy_from_slice(bytes))) else {
        return;
    };
    let written = converter
        .encode("t", &data)
        .expect("what was read can be written");
    let again = converter
        .decode("t", written.as_ref())
        .expect("what was written can be read");
    assert_eq!(converter.encode("t", &again), Ok(written));
    let _ = data.value.to_string();
}
