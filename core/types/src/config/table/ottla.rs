//! Keys that Kafka does not have. All begin with `ottla.`. Columns: `table/mod.rs`.

use super::super::key::*;

pub(super) const KEYS: &[ConfigKey] = keys! {
    group "Ottla" {
        "ottla.http.listeners" List "" [distinct may_be_empty] ReadOnly Honoured (Internal)
            "Where /metrics and /v1/ready are served, without TLS or passwords: http://host:port entries; empty or off for nowhere.";
    }
};
