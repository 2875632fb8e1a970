//! The production node under 200 seeds of faults: nothing that was acknowledged is lost, and the faults were real.

use ottla_sim::scenario;

/// Seeds whose run showed an effect more often than `beyond` times, by counter.
fn runs_with(counters: &[std::collections::BTreeMap<String, u64>], what: &str, beyond: u64) -> usize {
    counters
        .iter()
        .filter(|c| c.get(what).copied().unwrap_or(0) > beyond)
        .count()
}

fn replay(plan: &str) -> ottla_sim::Report {
    let broker = scenario::find("broker").expect("it is listed");
    broker
        .run(&ottla_sim::Plan::parse(plan).expect("a plan"))
        .expect_pass()
}

#[test]
fn two_hundred_seeds_keep_every_acknowledged_record() {
    let broker = scenario::find("broker").expect("it is listed");
    let mut counters = Vec::new();
    for seed in 0..200 {
        let report = broker.run(&broker.draw(seed)).expect_pass();
        counters.push(
            report
                .counters
                .into_iter()
                .map(|(k, v)| (k.to_string(), v))
                .collect(),
        );
    }
    assert_eq!(runs_with(&counters, "checked.acknowledged-is-durable", 0), 200);
    for (what, least) in [
        ("loss.bytes", 50),
        ("loss.torn_files", 20),
        ("loss.renames", 20),
        ("disk.write_error", 10),
        ("disk.no_space", 10),
        ("disk.sync_error", 10),
        ("fault.crash", 20),
        ("fault.power_loss", 50),
    ] {
        // The story itself ends with a loss of power, which is no fault of the plan.
        let beyond = u64::from(what == "fault.power_loss");
        let runs = runs_with(&counters, what, beyond);
        assert!(
            runs >= least,
            "{what} had an effect in {runs} of 200 runs, wanted {least}"
        );
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let broker = scenario::find("broker").expect("it is listed");
    for seed in [1, 7, 42] {
        let (first, second) = (broker.run(&broker.draw(seed)), broker.run(&broker.draw(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

/// Formatting did not sync the parent of a new log directory, so a power loss soon after took the directory away, with all that had
/// been acknowledged in it. Found by the first seed ever run.
#[test]
fn a_new_log_directory_survives_a_power_loss() {
    let report = replay(include_str!("../../scenarios/store/log-directory-name-lost.toml"));
    assert!(
        report.count("fault.power_loss") > 1,
        "the witness: power was lost before the end of the story, which takes it too"
    );
}

/// The same, when the process had died between making the directory and syncing its parent.
#[test]
fn a_crash_while_formatting_leaves_no_name_undurable() {
    let report = replay(include_str!("../../scenarios/store/crash-while-formatting.toml"));
    assert!(
        report.count("fault.crash") > 0,
        "the witness: the process crashed"
    );
}

/// A process crash left a partition's folder without its `partition.metadata`; the partition then stayed offline for good.
#[test]
fn a_crash_while_a_partition_is_made_is_made_good() {
    let report = replay(include_str!(
        "../../scenarios/store/crash-while-creating-partition.toml"
    ));
    assert!(
        report.count("fault.crash") > 0,
        "the witness: the process crashed"
    );
}

/// A batch of a new leader epoch was written before `leader-epoch-checkpoint` named the epoch, so recovery after a crash of the process
/// took it for a torn one and cut it.
#[test]
fn a_crash_of_the_process_loses_nothing_that_was_only_cached() {
    let broker = scenario::find("broker-cached").expect("it is listed");
    let mut crashes = 0;
    for seed in 0..100 {
        let report = broker.run(&broker.draw(seed)).expect_pass();
        crashes += u64::from(report.count("fault.crash") > 0);
    }
    assert!(crashes >= 20, "the witness: processes crashed in {crashes} runs");
}
