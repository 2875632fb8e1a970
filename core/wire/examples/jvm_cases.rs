//! Prints random values of every message and record, one a line: Kafka's Java class, the version, the bytes in hexadecimal.
//! `tests/jvm/Rewrite.java` has Kafka itself read and write them; how to run the two stands there.
//!
//! Arguments: how many values of each version (default 20), the first seed (default 0), a module to restrict to.

use ottla_wire::testgen::{CASES, Case, Seed};

fn class(case: &Case) -> String {
    let package = match case.group {
        "metadata_records" => "common.metadata",
        "group_records" => "coordinator.group.generated",
        "txn_records" => "coordinator.transaction.generated",
        "share_records" => "coordinator.share.generated",
        "raft_records" => "raft.generated",
        "storage_records" => "server.log.remote.metadata.storage.generated",
        _ => "common.message",
    };
    let suffix = if matches!(case.group, "messages" | "header") {
        "Data"
    } else {
        ""
    };
    format!("org.apache.kafka.{package}.{}{suffix}", case.name)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |a| a.parse::<u64>().expect("a number"))
    };
    let (count, first) = (number(20), number(0));
    let only = arguments.next();
    for case in CASES
        .iter()
        .filter(|c| only.as_deref().is_none_or(|o| c.group.contains(o)))
    {
        for version in case.all_versions() {
            for seed in first..first + count {
                let bytes = (case.round_trip)(&mut Seed::new(seed), version).expect("values survive");
                let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                println!("{} {version} {hex}", class(case));
            }
        }
    }
}
