//! What programs can see of each thing that the network does.

mod common;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::time::Duration;

use common::*;
use ottla_io::mem::Profile;
use ottla_io::{Env, Mono, timeout_at};
use ottla_sim::{Host, NetConfig, Options, Report, World, run};

fn two(world: &World) -> ([Host; 2], [Env; 2]) {
    let hosts = [world.add_node("a"), world.add_node("b")];
    (hosts, hosts.map(|h| world.boot_idle(h)))
}

fn tried<F: Future<Output = ()> + 'static>(
    story: impl Fn(World) -> F + Send + Sync + Clone + 'static,
) -> Vec<Report> {
    (0..10)
        .map(|seed| run(Options::seed(seed), story.clone()).expect_pass())
        .collect()
}

async fn for_ms<T>(env: &Env, ms: u64, future: impl Future<Output = T>) -> Option<T> {
    timeout_at(
        &*env.clock,
        env.clock.now().after(Duration::from_millis(ms)),
        future,
    )
    .await
}

#[test]
fn a_connect_across_a_partition_times_out_and_one_to_a_closed_port_is_refused() {
    tried(|world| async move {
        let ([a, b], [env, _]) = two(&world);
        let refused = env.net.connect("b", 9).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        for (from, to) in [(a, b), (b, a)] {
            // Either direction is enough: no SYN arrives, or no answer.
            world.partition_one_way(&[from], &[to]);
            let before = world.now();
            let error = env.net.connect("b", 9).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(world.now() - before >= Duration::from_secs(10));
            world.heal_one_way(&[from], &[to]);
        }
        assert_eq!(
            env.net.connect("nowhere", 9).await.err().unwrap().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn a_syn_is_sent_again_until_the_partition_heals() {
    tried(|world| async move {
        let ([a, b], [env, other]) = two(&world);
        let mut listener = other.net.listen("b", 9).await.unwrap();
        world.partition(&[a], &[b]);
        let healing = world.clone();
        world.after(Duration::from_secs(4), move || healing.heal(&[a], &[b]));
        let mut conn = env.net.connect("10.0.0.2", 9).await.unwrap();
        assert!(world.now() > Duration::from_secs(4));
        let mut peer = accept(&mut listener).await.unwrap();
        write(&mut conn, b"late").await.unwrap();
        assert_eq!(read(&mut peer).await.unwrap(), b"late");
    });
}

#[test]
fn data_waits_for_a_partition_to_heal_and_arrives_once_and_in_order() {
    let reports = tried(|world| async move {
        let ([a, b], [env, other]) = two(&world);
        let (mut conn, mut peer) = pair(&env, &other, "b").await;
        write(&mut conn, b"1").await.unwrap();
        world.partition_one_way(&[a], &[b]);
        write(&mut conn, b"2").await.unwrap();
        write(&mut conn, b"3").await.unwrap();
        let early = for_ms(&other, 5_000, async { read(&mut peer).await.unwrap() }).await;
        assert!(early.is_none() || early.as_deref() == Some(b"1"), "{early:?}");
        write(&mut peer, b"the other way is open").await.unwrap();
        assert_eq!(read(&mut conn).await.unwrap(), b"the other way is open");
        world.heal_one_way(&[a], &[b]);
        let mut got = early.unwrap_or_default();
        while got.len() < 3 {
            got.extend(read(&mut peer).await.unwrap());
        }
        assert_eq!(got, b"123");
    });
    assert!(reports.iter().all(|r| r.count("net.stalled") > 0));
}

#[test]
fn data_without_an_answer_fails_the_sender_and_leaves_the_other_half_open() {
    tried(|world| async move {
        let ([a, b], [env, other]) = two(&world);
        let (mut conn, mut peer) = pair(&env, &other, "b").await;
        world.partition(&[a], &[b]);
        write(&mut conn, b"lost").await.unwrap();
        let error = for_ms(&env, 100_000, read(&mut conn))
            .await
            .expect("it must fail")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        world.heal(&[a], &[b]);
        assert!(
            for_ms(&other, 600_000, read(&mut peer)).await.is_none(),
            "the peer has heard nothing"
        );
        write(&mut peer, b"?").await.unwrap();
        let error = read(&mut peer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "until it asks");
    });
}

#[test]
fn a_killed_process_ends_its_connections_and_a_machine_without_power_does_not() {
    tried(|world| async move {
        let ([_, b], [env, other]) = two(&world);
        let (mut idle, _idle_peer) = pair(&env, &other, "b").await;
        let (mut unread, _unread_peer) = pair(&env, &other, "b").await;
        write(&mut unread, b"nobody will read this").await.unwrap();
        world.sleep(Duration::from_millis(5)).await;
        world.crash(b);
        assert_eq!(read(&mut idle).await.unwrap(), b"", "a finish");
        assert_eq!(
            read(&mut unread).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "unread bytes: a reset"
        );
        assert_eq!(
            env.net.connect("b", 9).await.err().unwrap().kind(),
            ErrorKind::ConnectionRefused
        );

        let other = world.restart(b);
        let (mut conn, _peer) = pair(&env, &other, "b").await;
        world.power_loss(b, Profile::Strict);
        assert!(
            for_ms(&env, 600_000, read(&mut conn)).await.is_none(),
            "half open"
        );
        assert_eq!(
            env.net.connect("b", 9).await.err().unwrap().kind(),
            ErrorKind::TimedOut
        );
        world.restart(b);
        write(&mut conn, b"are you there?").await.unwrap();
        assert_eq!(
            read(&mut conn).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "the new kernel knows nothing"
        );
    });
}

#[test]
fn handles_of_a_dead_incarnation_reach_nothing() {
    tried(|world| async move {
        let ([_, b], [env, old]) = two(&world);
        let (mut conn, mut peer) = pair(&env, &old, "b").await;
        let mut listener = old.net.listen("", 9).await.unwrap();
        world.crash(b);
        let new = world.restart(b);
        let _again = new.net.listen("", 9).await.unwrap();
        assert!(write(&mut peer, b"late").await.is_err());
        assert!(accept(&mut listener).await.is_err());
        assert!(old.net.listen("", 10).await.is_err() && old.net.connect("a", 9).await.is_err());
        drop((peer, listener));
        assert!(
            new.net.listen("", 9).await.is_err(),
            "a late drop does not close the successor's port"
        );
        assert_eq!(
            read(&mut conn).await.unwrap(),
            b"",
            "only the kernel's finish arrives"
        );
    });
}

#[test]
fn a_paused_process_keeps_its_connections() {
    tried(|world| async move {
        let hosts = [world.add_node("a"), world.add_node("b")];
        let env = world.boot_idle(hosts[0]);
        world.boot(hosts[1], |env| async move {
            let mut listener = env.net.listen("", 9).await.unwrap();
            let mut conn = accept(&mut listener).await.unwrap();
            loop {
                let bytes = read(&mut conn).await.unwrap();
                write(&mut conn, &bytes).await.unwrap();
            }
        });
        world.sleep(Duration::from_millis(1)).await;
        let mut conn = env.net.connect("b", 9).await.unwrap();
        world.pause(hosts[1]);
        write(&mut conn, b"x").await.unwrap();
        assert!(for_ms(&env, 30_000, read(&mut conn)).await.is_none());
        world.resume(hosts[1]);
        assert_eq!(for_ms(&env, 100, read(&mut conn)).await.unwrap().unwrap(), b"x");
    });
}

#[test]
fn a_window_holds_64_kib_and_slow_links_are_slow() {
    tried(|world| async move {
        let ([a, b], [env, other]) = two(&world);
        world.slow_link(a, b, Duration::from_secs(1));
        let (mut conn, mut peer) = pair(&env, &other, "b").await;
        let mut sent = 0;
        while let Some(n) = for_ms(&env, 5_000, write(&mut conn, &[7; 10_000])).await {
            sent += n.unwrap();
        }
        assert_eq!(sent, 64 * 1024);
        world.slow_link(a, b, Duration::ZERO);
        let mut got = 0;
        while got < sent {
            got += read(&mut peer).await.unwrap().len();
        }
        let before = env.clock.now();
        assert!(write(&mut conn, b"x").await.is_ok());
        assert!(before > Mono(0) && env.clock.now().since(before) < Duration::from_millis(10));
    });
}

#[test]
fn injected_resets_and_losses_happen() {
    let mut total = (0, 0);
    for seed in 0..20 {
        let net = NetConfig {
            loss: 0.1,
            reset: 0.02,
            ..NetConfig::default()
        };
        let report = run(
            Options {
                net,
                ..Options::seed(seed)
            },
            |world| async move {
                let ([a, b], [env, other]) = two(&world);
                let (mut conn, mut peer) = pair(&env, &other, "b").await;
                for _ in 0..50 {
                    if write(&mut conn, b"ping").await.is_err() || read(&mut peer).await.is_err() {
                        break;
                    }
                }
                let (mut conn, mut peer) = pair(&env, &other, "b").await;
                assert!(world.reset_connections(a, b) >= 1);
                for end in [&mut conn, &mut peer] {
                    assert_eq!(read(end).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
                }
            },
        )
        .expect_pass();
        total = (
            total.0 + report.count("net.reset_injected"),
            total.1 + report.count("net.retransmit"),
        );
    }
    assert!(total.0 > 20 && total.1 > 20, "{total:?}");
}

#[test]
fn a_full_backlog_drops_the_syn_until_somebody_accepts() {
    let net = NetConfig {
        backlog: 2,
        ..NetConfig::default()
    };
    let report = run(
        Options {
            net,
            ..Options::seed(1)
        },
        |world| async move {
            let (_, [env, other]) = two(&world);
            let mut listener = other.net.listen("", 9).await.unwrap();
            let mut conns = Vec::new();
            for _ in 0..2 {
                conns.push(env.net.connect("b", 9).await.unwrap());
                world.sleep(Duration::from_millis(5)).await;
            }
            let mut third = env.net.connect("b", 9);
            assert!(for_ms(&env, 500, &mut third).await.is_none());
            conns.push(accept(&mut listener).await.unwrap());
            assert!(
                for_ms(&env, 2_000, &mut third)
                    .await
                    .expect("the SYN is sent again")
                    .is_ok()
            );
        },
    )
    .expect_pass();
    assert!(report.count("net.backlog") > 0);
}

#[test]
fn a_long_stream_is_whole_under_loss_and_partitions() {
    for seed in 0..5 {
        let net = NetConfig {
            loss: 0.01,
            short: 0.1,
            ..NetConfig::default()
        };
        let report = run(
            Options {
                net,
                ..Options::seed(seed)
            },
            |world| async move {
                let ([a, b], [env, other]) = two(&world);
                let (mut conn, mut peer) = pair(&env, &other, "b").await;
                for i in 0..20u64 {
                    let w = world.clone();
                    let (from, to) = if i % 2 == 0 { (a, b) } else { (b, a) };
                    world.after(Duration::from_millis(i * 100), move || {
                        w.partition_one_way(&[from], &[to])
                    });
                    let w = world.clone();
                    world.after(Duration::from_millis(i * 100 + 70), move || {
                        w.heal_one_way(&[from], &[to])
                    });
                }
                let total = 4_000_000usize;
                let writer = env.tasks.spawn(
                    "writer",
                    Box::pin(async move {
                        let mut sent = 0;
                        while sent < total {
                            let bytes: Vec<u8> = (sent..total.min(sent + 50_000))
                                .map(|i| (i * 31 % 251) as u8)
                                .collect();
                            sent += write(&mut conn, &bytes).await.unwrap();
                        }
                        poll_fn(|cx| conn.poll_shutdown(cx)).await.unwrap();
                    }),
                );
                let mut got = 0;
                loop {
                    let bytes = read(&mut peer).await.unwrap();
                    if bytes.is_empty() {
                        break;
                    }
                    for byte in bytes {
                        assert_eq!(byte, (got * 31 % 251) as u8, "at {got}");
                        got += 1;
                    }
                }
                assert_eq!((got, writer.join().await), (total, ottla_io::Outcome::Done));
            },
        )
        .expect_pass();
        assert!(report.count("net.stalled") > 0 && report.count("net.window_full") > 0);
    }
}
