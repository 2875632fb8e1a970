//! The property suites of the I/O layer against the disk in memory and against simulated nodes: healthy, slow, and torn into
//! small segments and short reads.

use std::path::Path;

use ottla_io::mem::MemDisk;
use ottla_io::{OpenOptions, Rng, suite};
use ottla_sim::{DiskFaults, NetConfig, Options, World, run};

/// The suite's own panics are caught and recorded, as every panic of a task.
const SUITE_PANICS: usize = 2;

async fn all(world: World, disk: DiskFaults) {
    let host = world.add_node("n1");
    world.set_disk(host, disk);
    let env = world.boot_idle(host);
    let mut rng = world.rng("suite");
    let root = Path::new("/suite");
    env.disk.create_dir_all(root).await.unwrap();
    suite::clock::all(&env, &mut rng).await;
    suite::entropy::all(&env, &mut rng).await;
    suite::disk::all(&*env.disk, root, &mut rng).await;
    suite::net::all(&env, "n1", root, &mut rng).await;
    assert_eq!(world.violations(), [], "before the suite's own panics");
    suite::tasks::all(&env, &mut rng).await;
    world.note("-", "the suites have ended");
}

fn passes(options: Options, disk: DiskFaults) {
    let seed = options.seed;
    let report = run(options, move |world| all(world, disk));
    let own = report
        .violations
        .iter()
        .filter(|v| v.detail.contains("the suite's panic"))
        .count();
    assert_eq!(
        (own, report.violations.len()),
        (SUITE_PANICS, SUITE_PANICS),
        "{seed}: {:?}",
        report.violations
    );
    assert!(
        report
            .trace
            .last()
            .is_some_and(|line| line.ends_with("the suites have ended"))
    );
}

#[test]
fn the_disk_in_memory_passes() {
    for seed in 0..20 {
        // Nothing on this disk waits, so any world can poll it.
        run(Options::seed(seed), |world| async move {
            let disk = MemDisk::new().handle();
            disk.create_dir_all(Path::new("/suite")).await.unwrap();
            suite::disk::all(&*disk, Path::new("/suite"), &mut world.rng("suite")).await;
        })
        .expect_pass();
    }
}

#[test]
fn a_node_without_faults_passes() {
    for seed in 0..6 {
        passes(Options::seed(seed), DiskFaults::default());
    }
}

#[test]
fn a_slow_node_passes() {
    for seed in 0..6 {
        let net = NetConfig {
            loopback_us: (50, 3_000),
            ..NetConfig::default()
        };
        let disk = DiskFaults {
            slow: 0.5,
            stall: 0.001,
            ..DiskFaults::healthy()
        };
        passes(
            Options {
                net,
                ..Options::seed(seed)
            },
            disk,
        );
    }
}

#[test]
fn a_node_with_torn_segments_and_short_calls_passes() {
    for seed in 0..6 {
        let net = NetConfig {
            segment: (1, 3_000),
            short: 0.3,
            reset_discards: true,
            ..NetConfig::default()
        };
        passes(
            Options {
                net,
                ..Options::seed(seed)
            },
            DiskFaults::healthy(),
        );
    }
}

#[test]
fn short_reads_and_writes_of_a_disk_are_seen_and_survived() {
    let report = run(Options::seed(1), |world| async move {
        let host = world.add_node("n1");
        world.set_disk(
            host,
            DiskFaults {
                short_read: 0.5,
                short_write: 0.5,
                ..DiskFaults::healthy()
            },
        );
        let env = world.boot_idle(host);
        let file = env.disk.open(Path::new("/f"), OpenOptions::Create).await.unwrap();
        let mut bytes = vec![0; 50_000];
        Rng::from_number(1, "bytes").fill(&mut bytes);
        let bytes = bytes::Bytes::from(bytes);
        for start in (0..50_000).step_by(5_000) {
            let bufs = vec![
                bytes.slice(start..start + 2_000),
                bytes.slice(start + 2_000..start + 5_000),
            ];
            ottla_io::write_all_at(&*file, start as u64, bufs)
                .await
                .0
                .unwrap();
        }
        let (n, read) = ottla_io::read_exact_at(&*file, 0, Default::default(), 60_000).await;
        assert_eq!((n.unwrap(), read.freeze()), (50_000, bytes));
    })
    .expect_pass();
    assert!(report.count("disk.short_read") > 0 && report.count("disk.short_write") > 0);
}
