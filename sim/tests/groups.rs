//! Members of a consumer group against the production node under faults: nobody reads what is another's, no acknowledged commit is
//! taken back, nothing is passed over, and the group goes on.

use std::collections::BTreeMap;

use ottla_sim::{Plan, scenario};

fn sum(counters: &[BTreeMap<&'static str, u64>], what: &str) -> u64 {
    counters.iter().filter_map(|c| c.get(what)).sum()
}

#[test]
fn groups_share_commit_and_go_on() {
    let groups = scenario::find("groups").expect("it is listed");
    let counters: Vec<_> = (0..200)
        .map(|seed| groups.run(&groups.draw(seed)).expect_pass().counters)
        .collect();
    for (what, least) in [
        ("checked.owners", 2_000),
        ("checked.committed", 5_000),
        ("loss.bytes", 10_000),
        ("sometimes.a_generation_began", 2_000),
        ("sometimes.a_partition_was_given_up", 1_000),
        ("sometimes.partitions_were_lost", 50),
        ("sometimes.a_commit_was_acknowledged", 2_000),
        ("sometimes.a_commit_was_refused", 10),
        ("sometimes.a_member_died", 100),
        ("sometimes.a_member_left", 50),
        ("sometimes.a_member_did_not_poll", 50),
    ] {
        let times = sum(&counters, what);
        assert!(times >= least, "{what}: {times} in all, wanted {least}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let groups = scenario::find("groups").expect("it is listed");
    for seed in [2, 11] {
        let (first, second) = (groups.run(&groups.draw(seed)), groups.run(&groups.draw(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

/// Whoever connected or asked for metadata kept the others waiting, and was itself a future that only its consumer's poll drove. A
/// consumer that waited for a commit while the broker was away waited for ever.
#[test]
fn a_member_does_not_wait_for_itself() {
    let groups = scenario::find("groups").expect("it is listed");
    let plan = include_str!("../../scenarios/client/connecting-is-nobodys-to-hold.toml");
    let report = groups.run(&Plan::parse(plan).expect("a plan")).expect_pass();
    assert!(report.count("fault.crash") > 0, "the witness: the node crashed");
    assert!(
        report.count("sometimes.a_commit_failed") > 0,
        "the witness: commits were under way"
    );
}
