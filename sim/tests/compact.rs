//! The production node compacting under 200 seeds of faults: nothing is lost that should stay, and the faults hit the cleaner.

use std::collections::BTreeMap;

use ottla_sim::scenario;

#[test]
fn two_hundred_seeds_lose_no_latest_value_and_no_tombstone_early() {
    let compact = scenario::find("compact").expect("it is listed");
    let mut runs = BTreeMap::<&str, usize>::new();
    let wanted = [
        ("checked.compacted", 200),
        ("compact.round", 200),
        ("compact.several_segments_became_one", 100),
        ("compact.tombstone_gone", 100),
        ("compact.died_while_cleaning", 100),
        ("compact.died_while_writing", 60),
        ("compact.died_in_a_swap", 40),
        ("compact.failed_round", 10),
        ("loss.renames", 40),
        ("disk.write_error", 10),
        ("disk.sync_error", 10),
        ("disk.no_space", 10),
    ];
    for seed in 0..200 {
        let report = compact.run(&compact.draw(seed)).expect_pass();
        for (what, _) in wanted {
            *runs.entry(what).or_default() += usize::from(report.count(what) > 0);
        }
    }
    println!("{runs:?}");
    for (what, least) in wanted {
        assert!(
            runs[what] >= least,
            "{what} in {} of 200 runs, wanted {least}",
            runs[what]
        );
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let compact = scenario::find("compact").expect("it is listed");
    for seed in [3, 11] {
        let (first, second) = (compact.run(&compact.draw(seed)), compact.run(&compact.draw(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}
