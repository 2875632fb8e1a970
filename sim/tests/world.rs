//! The lives of nodes: processes, disks under faults, clocks, events, plans, and what a report says.

mod common;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use common::*;
use ottla_io::mem::Profile;
use ottla_io::{Outcome, run_blocking};
use ottla_sim::disk::faults::DiskOp;
use ottla_sim::{DiskFaults, Fault, Options, Plan, Step, Survives, World, run};
use ottla_types::{Event, Violation, event::BrokerState};

fn pass<F: Future<Output = ()> + 'static>(
    story: impl FnOnce(World) -> F + Send + 'static,
) -> ottla_sim::Report {
    run(Options::seed(1), story).expect_pass()
}

#[test]
fn a_crash_keeps_the_page_cache_and_a_loss_of_power_does_not() {
    pass(|world| async move {
        let n1 = world.add_node("n1");
        let env = world.boot_idle(n1);
        put(&*env.disk, "/a", b"unsynced").await.unwrap();
        let report = world.crash(n1);
        assert!(report.pending_ops > 0);
        assert!(
            put(&*env.disk, "/b", b"late").await.is_err(),
            "the old handle is dead"
        );
        assert_eq!(world.disk(n1).export().len(), 1);
        let env = world.restart(n1);
        put(&*env.disk, "/a", b"more").await.unwrap();
        let report = world.power_loss(n1, Profile::Strict);
        assert_eq!((report.creates_lost, report.bytes_lost), (1, 8));
        assert!(world.disk(n1).export().is_empty());
    });
}

#[test]
fn tasks_die_with_their_process_and_main_ends_it() {
    pass(|world| async move {
        let n1 = world.add_node("n1");
        let ticks = Seen::<u8>::default();
        let seen = ticks.clone();
        world.boot(n1, move |env| {
            let seen = seen.clone();
            async move {
                let clock = env.clock.clone();
                env.tasks.spawn(
                    "ticks",
                    Box::pin(async move {
                        loop {
                            clock.sleep(Duration::from_millis(100)).await;
                            push(&seen, 1);
                        }
                    }),
                );
                env.clock.sleep(Duration::from_millis(1050)).await;
            }
        });
        world.wait_down(n1).await;
        assert_eq!(taken(&ticks).len(), 10);
        world.sleep(Duration::from_secs(5)).await;
        assert!(taken(&ticks).is_empty(), "the process has ended");
        world.restart(n1);
        world.sleep(Duration::from_millis(550)).await;
        world.crash(n1);
        world.sleep(Duration::from_secs(5)).await;
        assert_eq!(taken(&ticks).len(), 5);
        world.calm();
        assert!(
            world.is_up(n1),
            "a crashed node is started when the world calms down"
        );
        world.wait_down(n1).await;
        world.calm();
        assert!(!world.is_up(n1), "one that ended by itself is not");
    });
}

#[test]
fn a_panic_and_a_violation_are_in_the_report_and_a_world_that_hangs_too() {
    let report = run(Options::seed(1), |world| async move {
        let n1 = world.add_node("n1");
        let env = world.boot_idle(n1);
        let task = env.tasks.spawn("bad", Box::pin(async { panic!("on purpose") }));
        assert_eq!(task.join().await, Outcome::Panicked("on purpose".into()));
        let gone = run_blocking(&*env.tasks, "work", || -> u8 { panic!("in the pool") }).await;
        assert_eq!(gone, None);
        world.after(Duration::ZERO, || panic!("later"));
        world.sleep(Duration::from_millis(1)).await;
        world.violation(Violation::new("own", "said so"));
        panic!("the scenario itself");
    });
    let details: Vec<_> = report.violations.iter().map(|v| v.detail.as_str()).collect();
    let wanted = [
        "n1/bad: on purpose",
        "n1/work: in the pool",
        "something scheduled: later",
        "said so",
        "the scenario: the scenario itself",
    ];
    assert_eq!(details, wanted);
    let report = run(
        Options {
            limit: Duration::from_secs(5),
            ..Options::seed(1)
        },
        |_| std::future::pending(),
    );
    assert_eq!(report.violations[0].invariant, "ends-in-time");
    assert!(report.elapsed >= Duration::from_secs(5) && report.elapsed < Duration::from_secs(6));
}

#[test]
fn a_failed_sync_loses_what_it_should_have_written() {
    let report = pass(|world| async move {
        let n1 = world.add_node("n1");
        let env = world.boot_idle(n1);
        let file = put(&*env.disk, "/log", b"old").await.unwrap();
        file.sync_data().await.unwrap();
        env.disk.sync_dir(Path::new("/")).await.unwrap();
        put(&*env.disk, "/log", b"new").await.unwrap();
        world.fault_disk(
            n1,
            DiskFaults {
                sync_error: 1.0,
                ..DiskFaults::default()
            },
        );
        assert!(file.sync_data().await.is_err());
        world.calm_disk(n1);
        assert!(file.sync_data().await.is_ok(), "the kernel reports it once");
        assert_eq!(world.disk(n1).peek("/log").unwrap(), b"new");
        world.power_loss(n1, Profile::Ext4Ordered);
        assert_eq!(world.disk(n1).peek("/log").unwrap(), b"old");
    });
    assert_eq!(report.count("disk.sync_error"), 1);
}

#[test]
fn disk_errors_have_their_kinds_and_a_full_disk_is_full() {
    pass(|world| async move {
        let n1 = world.add_node("n1");
        let env = world.boot_idle(n1);
        let file = put(&*env.disk, "/log", b"content").await.unwrap();
        world.fault_disk(
            n1,
            DiskFaults {
                read_error: 1.0,
                no_space: 1.0,
                ..DiskFaults::default()
            },
        );
        let error = file.read_at(0, Default::default(), 7).await.0.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Other && error.to_string().contains("/log"),
            "{error}"
        );
        assert_eq!(
            put(&*env.disk, "/x", b"y").await.err().unwrap().kind(),
            ErrorKind::StorageFull
        );
        world.calm_disk(n1);
        world.limit_disk(n1, Some(3));
        assert_eq!(env.disk.free_space(Path::new("/")).await.unwrap(), 3);
        assert_eq!(
            put(&*env.disk, "/x", b"yyyy").await.err().unwrap().kind(),
            ErrorKind::StorageFull
        );
        assert_eq!(world.disk(n1).peek("/x").unwrap(), b"yyy", "what fitted is there");
    });
}

#[test]
fn clocks_drift_and_jump_and_sleeps_follow() {
    pass(|world| async move {
        let (n1, n2) = (world.add_node("n1"), world.add_node("n2"));
        let (fast, right) = (world.boot_idle(n1), world.boot_idle(n2));
        assert_eq!(fast.clock.wall(), right.clock.wall());
        world.set_drift(n1, 100_000);
        let before = world.now();
        fast.clock.sleep(Duration::from_secs(11)).await;
        let took = (world.now() - before).as_millis();
        assert!(
            (10_000..10_010).contains(&took),
            "11 s of a clock 10 % fast are 10 s, not {took} ms"
        );
        let ahead = fast.clock.wall().0 - right.clock.wall().0;
        assert!((999..1_002).contains(&ahead), "{ahead}");
        world.jump_wall(n1, -60_000);
        assert!(fast.clock.wall() < right.clock.wall());
        // A rate that changes during a sleep changes its end.
        let (slow, clock) = (world.clone(), fast.clock.clone());
        world.after(Duration::from_secs(1), move || slow.set_drift(n1, -500_000));
        let before = clock.now();
        let (start, _) = (world.now(), clock.sleep(Duration::from_millis(2_100)).await);
        assert!(clock.now().since(before) >= Duration::from_millis(2_100));
        let took = (world.now() - start).as_millis();
        assert!(
            (3_000..3_010).contains(&took),
            "1 s at 1.1 and 2 s at 0.5, not {took} ms"
        );
    });
}

#[test]
fn events_of_the_living_reach_observers_and_the_trace() {
    let report = pass(|world| async move {
        let n1 = world.add_node("n1");
        let seen = Seen::<Event>::default();
        let sink = seen.clone();
        world.on_event(move |host, _, event| {
            assert_eq!(host, n1);
            push(&sink, event.clone());
        });
        let env = world.boot_idle(n1);
        env.observe(|| Event::BrokerState(BrokerState::Running));
        world.crash(n1);
        env.observe(|| Event::BrokerState(BrokerState::ShuttingDown));
        assert_eq!(taken(&seen), [Event::BrokerState(BrokerState::Running)]);
    });
    assert!(
        report
            .trace
            .iter()
            .any(|line| line.ends_with("n1   BrokerState(Running)")),
        "{:?}",
        report.trace
    );
}

#[test]
fn entropy_never_repeats_after_a_restart() {
    pass(|world| async move {
        let (n1, n2) = (world.add_node("n1"), world.add_node("n2"));
        let mut draws = vec![world.boot_idle(n2).entropy.stream("uuid").next_u64()];
        let first = world.boot_idle(n1);
        draws.push(first.entropy.stream("uuid").next_u64());
        assert_eq!(draws[1], first.entropy.stream("uuid").next_u64());
        draws.push(world.restart(n1).entropy.stream("uuid").next_u64());
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 3);
    });
}

#[test]
fn a_power_loss_before_the_third_sync_comes_before_the_third_sync() {
    let survives = Survives::Strict;
    let fault = Fault::PowerLossBefore {
        node: "n1".into(),
        op: DiskOp::Sync,
        path: "t-0/".into(),
        skip: 2,
        survives,
        down_ms: 500,
    };
    let plan = Plan {
        faults: vec![Step { at_ms: 10, fault }],
        ..Plan::calm(1)
    };
    let plan = Plan::parse(&plan.to_toml().unwrap()).unwrap();
    let report = run(plan.options(Duration::from_secs(60)), move |world| async move {
        let n1 = world.add_node("n1");
        world.start_plan(&plan).unwrap();
        let starts = Seen::<u8>::default();
        let seen = starts.clone();
        world.boot(n1, move |env| {
            let seen = seen.clone();
            async move {
                push(&seen, 1);
                env.clock.sleep(Duration::from_millis(100)).await;
                env.disk.create_dir_all(Path::new("/t-0")).await.unwrap();
                let file = create(&env, "/t-0/log").await;
                for dir in ["/", "/t-0"] {
                    env.disk.sync_dir(Path::new(dir)).await.unwrap();
                }
                for i in 0.. {
                    let byte = bytes::Bytes::from_static(b"x");
                    file.write_at(i, vec![byte]).await.0.unwrap();
                    file.sync_data().await.unwrap();
                }
            }
        });
        while world.is_up(n1) {
            world.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(world.disk(n1).peek("/t-0/log").unwrap(), b"xx");
        world.sleep(Duration::from_millis(600)).await;
        assert!(world.is_up(n1), "it is started again");
        assert_eq!(taken(&starts).len(), 2);
    })
    .expect_pass();
    assert_eq!(report.count("disk.trigger"), 1);
}

#[test]
fn a_plan_that_names_a_stranger_is_refused() {
    pass(|world| async move {
        world.add_node("n1");
        let fault = Fault::Crash {
            node: "n9".into(),
            down_ms: 1,
        };
        let plan = Plan {
            faults: vec![Step { at_ms: 0, fault }],
            ..Plan::calm(1)
        };
        assert!(world.start_plan(&plan).unwrap_err().to_string().contains("n9"));
    });
}

#[test]
fn a_world_is_freed_when_it_has_ended() {
    // Tasks hold the world and the world holds their wakers: ending must cut that circle.
    let kept = std::sync::Arc::new(());
    let inside = kept.clone();
    pass(move |world| async move {
        let n1 = world.add_node("n1");
        world.boot(n1, move |env| {
            let inside = inside.clone();
            async move {
                let mut listener = env.net.listen("", 9).await.unwrap();
                let _conn = accept(&mut listener).await;
                drop(inside);
            }
        });
        world.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
}
