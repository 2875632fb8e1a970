//! The file pipeline under faults: no line is lost, none comes out of order.

use std::collections::BTreeMap;

use ottla_sim::scenario;

#[test]
fn every_line_arrives_in_order() {
    let connect = scenario::find("connect").expect("it is listed");
    let mut seen = BTreeMap::<&'static str, u64>::new();
    for seed in 0..60 {
        let report = connect.run(&connect.draw(seed)).expect_pass();
        for (what, times) in report.counters {
            *seen.entry(what).or_default() += times;
        }
    }
    for (what, least) in [
        ("checked.pipeline", 60),
        ("checked.order", 30),
        ("fault.crash", 60),
        ("sometimes.a_line_came_twice", 10),
        ("sometimes.a_task_failed", 5),
        ("sometimes.a_worker_stopped", 30),
    ] {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= least, "{what}: {times} in all, wanted {least}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let connect = scenario::find("connect").expect("it is listed");
    for seed in [1, 2] {
        let (first, second) = (connect.run(&connect.draw(seed)), connect.run(&connect.draw(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}
