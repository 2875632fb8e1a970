//! The metadata log under 60 seeds: snapshots and cuts in all of them, many starts from a snapshot, and crashes while one was being written.

use ottla_sim::scenario;

#[test]
fn the_metadata_outlives_crashes_around_its_snapshots() {
    let metadata = scenario::find("metadata").expect("it is listed");
    let mut runs = std::collections::BTreeMap::<&str, usize>::new();
    let seen = [
        "metadata.snapshot",
        "metadata.loaded",
        "metadata.cut",
        "metadata.compared",
        "checked.metadata",
    ];
    for seed in 0..60 {
        let report = metadata.run(&metadata.draw(seed)).expect_pass();
        for what in seen {
            *runs.entry(what).or_default() += usize::from(report.count(what) > 2);
        }
    }
    println!("{runs:?}");
}
