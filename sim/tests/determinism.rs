//! Equal seeds, equal bytes: in one process, in two, and under a plan that went through a file.

use std::process::Command;

use ottla_sim::{Plan, scenario};

#[test]
fn a_seed_gives_the_same_run_twice_in_one_process() {
    let echo = scenario::find("echo").unwrap();
    for seed in 0..20 {
        let plan = echo.draw(seed);
        let first = echo.run(&plan);
        assert_eq!(first, echo.run(&plan), "seed {seed}");
        let read = Plan::parse(&plan.to_toml().unwrap()).unwrap();
        assert_eq!(first, echo.run(&read), "seed {seed} through a file");
    }
}

#[test]
fn seeds_differ_and_schedules_too() {
    let echo = scenario::find("echo").unwrap();
    let mut hashes: Vec<u64> = (0..30).map(|seed| echo.run(&echo.draw(seed)).hash).collect();
    let mut plan = echo.draw(0);
    for schedule in 100..110 {
        plan.schedule = schedule;
        hashes.push(echo.run(&plan).hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 40, "two runs that should differ are equal");
}

#[test]
fn a_seed_gives_the_same_bytes_in_another_process() {
    let output = |seed: u64, marker: &str| {
        Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(["run", "echo", "--seed", &seed.to_string()])
            .env("OTTLA_UNRELATED", marker)
            .current_dir(if marker.is_empty() {
                "/"
            } else {
                env!("CARGO_MANIFEST_DIR")
            })
            .output()
            .unwrap()
    };
    for seed in [3, 7, 11] {
        let (first, second) = (output(seed, ""), output(seed, "another environment and folder"));
        assert!(
            first.status.success(),
            "{}",
            String::from_utf8_lossy(&first.stderr)
        );
        assert!(first.stdout.len() > 500);
        assert_eq!(first.stdout, second.stdout, "seed {seed}");
    }
}

#[test]
fn seeds_in_parallel_threads_do_not_disturb_each_other() {
    let echo = scenario::find("echo").unwrap();
    let alone: Vec<u64> = (0..12).map(|seed| echo.run(&echo.draw(seed)).hash).collect();
    let together: Vec<u64> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..12)
            .map(|seed| scope.spawn(move || echo.run(&echo.draw(seed)).hash))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}
