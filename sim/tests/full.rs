//! The production node on a disk that runs full, under 100 seeds: it stops for none of them, and the disks were full.

use ottla_sim::scenario;

#[test]
fn a_hundred_full_disks_stop_no_node() {
    let full = scenario::find("full").expect("it is listed");
    let mut runs = std::collections::BTreeMap::<&str, usize>::new();
    let seen = [
        "full.refused",
        "full.topics_refused",
        "full.retention",
        "full.resumed",
        "disk.no_space",
    ];
    for seed in 0..100 {
        let report = full.run(&full.draw(seed)).expect_pass();
        for what in seen {
            *runs.entry(what).or_default() += usize::from(report.count(what) > 0);
        }
    }
    println!("{runs:?}");
    for (what, least) in seen.into_iter().zip([50, 20, 20, 10, 5]) {
        assert!(
            runs[what] >= least,
            "{what} in {} of 100 runs, wanted {least}",
            runs[what]
        );
    }
}
