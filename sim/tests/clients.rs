//! Ottla's clients against the production node under faults: exactly once and in order where they promise it, nothing lost that was
//! acknowledged or read.

use std::collections::BTreeMap;

use ottla_sim::{Plan, scenario};

fn sum(counters: &[BTreeMap<&'static str, u64>], what: &str) -> u64 {
    counters.iter().filter_map(|c| c.get(what)).sum()
}

fn seeds(name: &str, count: u64) -> Vec<BTreeMap<&'static str, u64>> {
    let clients = scenario::find(name).expect("it is listed");
    (0..count)
        .map(|seed| clients.run(&clients.draw(seed)).expect_pass().counters)
        .collect()
}

#[test]
fn clients_keep_their_promises_with_a_node_that_flushes() {
    let counters = seeds("clients", 200);
    for (what, least) in [
        ("checked.history", 200),
        ("loss.bytes", 10_000),
        ("sometimes.a_client_crashed", 50),
        ("sometimes.a_producer_died_with_records_under_way", 10),
        ("sometimes.a_record_was_given_up", 10),
        // Without idempotence retries do write twice: the faults reach what idempotence is for.
        ("sometimes.a_retry_wrote_twice", 50),
    ] {
        let times = sum(&counters, what);
        assert!(times >= least, "{what}: {times} in all, wanted {least}");
    }
}

#[test]
fn clients_keep_their_promises_with_a_node_that_does_not_flush() {
    let counters = seeds("clients-cached", 100);
    for (what, least) in [
        ("checked.history", 100),
        ("fault.crash", 200),
        ("sometimes.a_retry_wrote_twice", 50),
    ] {
        let times = sum(&counters, what);
        assert!(times >= least, "{what}: {times} in all, wanted {least}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let clients = scenario::find("clients").expect("it is listed");
    for seed in [1, 7, 42] {
        let (first, second) = (clients.run(&clients.draw(seed)), clients.run(&clients.draw(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

fn replay(name: &str, plan: &str) -> ottla_sim::Report {
    let clients = scenario::find(name).expect("it is listed");
    clients.run(&Plan::parse(plan).expect("a plan")).expect_pass()
}

/// A broker that knows nothing of a producer takes any sequence. It came up between two batches that were both on the wire, refused
/// the first and took the second, so the first stood behind it in the end.
#[test]
fn the_first_batches_of_a_producer_are_not_overtaken() {
    let report = replay(
        "clients-cached",
        include_str!("../../scenarios/client/first-batches-overtaken.toml"),
    );
    assert!(
        report.count("fault.crash") > 0,
        "the witness: the process crashed"
    );
}

/// A clean stop keeps a producer's last batch only, as Kafka's snapshots do. Retries of those before it were refused as out of order,
/// and the producer wrote them again under a new epoch.
#[test]
fn a_restart_that_forgets_batches_makes_no_copies() {
    replay(
        "clients-cached",
        include_str!("../../scenarios/client/retry-after-clean-stop.toml"),
    );
}

/// After a failed sync and a restart the log looked whole, but no later sync wrote what the failed one had not: it is written again
/// before it is built upon.
#[test]
fn a_failed_sync_is_made_good_by_the_next_start() {
    let report = replay(
        "clients",
        include_str!("../../scenarios/store/sync-failed-before-restart.toml"),
    );
    assert!(report.count("disk.sync_error") > 0, "the witness: a sync failed");
    assert!(
        report.count("fault.power_loss") > 0,
        "the witness: power was lost"
    );
}

/// The high watermark ran ahead of the flush, so consumers read what a loss of power took back.
#[test]
fn what_was_read_stays() {
    let report = replay(
        "clients",
        include_str!("../../scenarios/store/read-before-flush.toml"),
    );
    assert!(report.count("loss.bytes") > 0, "the witness: bytes were lost");
}
