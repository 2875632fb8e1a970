//! The simulator on its smallest program: what is right passes under every fault, what is wrong is found.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_sim::campaign::campaign;
use ottla_sim::{Swarm, run, scenario};

#[test]
fn two_hundred_seeds_lose_nothing_and_every_fault_has_an_effect() {
    let echo = scenario::find("echo").unwrap();
    let summary = campaign(&echo, 0..200, 2);
    assert_eq!((summary.runs, &summary.failed), (200, &BTreeMap::new()));
    let wanted = [
        "checked.answered-is-durable",
        "disk.no_space",
        "disk.read_error",
        "disk.short_read",
        "disk.short_write",
        "disk.stall",
        "disk.sync_error",
        "disk.trigger",
        "disk.write_error",
        "fault.crash",
        "fault.drift",
        "fault.full",
        "fault.partition",
        "fault.partition_one_way",
        "fault.pause",
        "fault.power_loss",
        "fault.slow_link",
        "fault.wall_jump",
        "loss.bytes",
        "loss.creates",
        "loss.renames",
        "loss.torn_files",
        "net.lost",
        "net.refused",
        "net.reset",
        "net.reset_injected",
        "net.retransmit",
        "net.stalled",
    ];
    let missing: Vec<_> = wanted.iter().filter(|what| summary.count(what) == 0).collect();
    assert!(
        missing.is_empty(),
        "never happened: {missing:?} of {:?}",
        summary.counters
    );
}

/// The canary: a server that answers before it has synced must be caught.
#[test]
fn an_answer_before_the_sync_is_found() {
    let swarm = Swarm {
        others: vec!["c0".into(), "c1".into()],
        horizon: Duration::from_secs(10),
        ..Swarm::new(&["n1"])
    };
    let mut found = 0;
    for seed in 0..40 {
        let plan = swarm.draw(seed);
        let options = plan.options(Duration::from_secs(600));
        let report = run(options, move |world| {
            scenario::echo::story_without_sync(world, plan)
        });
        found += u64::from(
            report
                .violations
                .iter()
                .any(|v| v.invariant == "answered-is-durable"),
        );
    }
    assert_eq!(
        found, 40,
        "every run ends with a loss of power, so every run must fail"
    );
}
