//! `server.properties` from any text: what it says survives being written, and what it makes of a node's configuration is a
//! configuration or a list of what is wrong.

use std::collections::BTreeMap;

use ottla_types::config::{BrokerConfig, TopicConfig, broker_keys, find_broker, properties, topic_keys};

use crate::input::Input;

/// The target. Text comes in as it is; a byte above 0x7f that is no UTF-8 stands for a key's name, so that a fuzzer need not guess
/// them.
pub fn check(data: &[u8]) {
    let text = text(data);
    let Ok(entries) = properties::parse(&text) else {
        return;
    };
    let pairs = entries.iter().map(|e| (e.key.as_str(), e.value.as_str()));
    let written = properties::write(pairs);
    assert!(written.is_ascii(), "{written:?}");
    let again = properties::parse(&written).expect("written properties can be read");
    let strip = |entries: &[properties::Entry]| -> Vec<(String, String)> {
        let pair = |e: &properties::Entry| (e.key.clone(), e.value.clone());
        entries.iter().map(pair).collect()
    };
    assert_eq!(strip(&again), strip(&entries), "as written: {written:?}");
    let map = properties::to_map(entries);
    // A suggestion for an unknown key costs more than all the rest: one shows as much as many.
    if map.keys().filter(|key| find_broker(key).is_none()).count() < 2 {
        configure(map);
    }
}

fn text(data: &[u8]) -> String {
    let mut input = Input::new(data);
    let mut text = String::new();
    while !input.is_empty() {
        let byte = input.byte();
        match byte {
            0x80.. => {
                let keys = broker_keys();
                let at = usize::from(byte & 0x7f) << 8 | usize::from(input.byte());
                text.push_str(keys[at % keys.len()].name);
            }
            ascii => text.push(char::from(ascii)),
        }
    }
    text
}

/// A configuration of these properties, and of a topic that overrides what it can.
fn configure(map: BTreeMap<String, String>) {
    match BrokerConfig::from_properties(&map) {
        Err(errors) => {
            assert!(!errors.is_empty(), "an error says what is wrong");
            errors.iter().for_each(|e| assert!(!e.to_string().is_empty()));
        }
        Ok((config, _)) => {
            let again =
                BrokerConfig::from_properties(config.given()).expect("what was given is accepted again");
            assert_eq!(again.0.effective(), config.effective());
            let of_topic = |name: &&String| topic_keys().iter().any(|key| key.name == name.as_str());
            let overrides = map.iter().filter(|(name, _)| of_topic(name));
            let overrides = overrides.map(|(k, v)| (k.clone(), v.clone())).collect();
            let _ = TopicConfig::resolve(&overrides, &config);
        }
    }
}
