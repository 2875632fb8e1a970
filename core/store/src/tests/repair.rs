//! `check` and `repair` of directories that a start refuses: what is lost is said, all else survives, whatever interrupts.

use std::sync::atomic::Ordering;

use super::*;
use crate::{DirectoryReport, LoadError, RepairError, check, repair};

/// Batches of the log.
const BATCHES: i64 = 25;

/// A log of 25 batches in segments of five, flushed, its node dead.
fn flushed(cfg: &LogConfig) -> World {
    let world = World::new();
    let (manager, mut writer) = world.create(cfg);
    for n in 0..BATCHES {
        append(&mut writer, &[n]);
    }
    run(writer.flush()).unwrap();
    run(manager.checkpoint()).unwrap();
    world.disk.settle();
    world.disk.crash();
    world
}

fn looked(world: &World) -> DirectoryReport {
    let before = world.disk.export();
    let report = run(check(&world.env(), DIR.as_ref())).unwrap();
    assert_eq!(world.disk.export(), before, "a check changes nothing");
    report
}

fn repaired(world: &World) -> Result<DirectoryReport, RepairError> {
    run(repair(&world.env(), DIR.as_ref()))
}

/// The offsets that are lost, by the account.
fn lost(report: &DirectoryReport) -> Vec<(Offset, Option<Offset>, u64)> {
    let plans = report.partitions.iter().filter_map(|p| p.findings.plan.as_ref());
    plans
        .flat_map(|plan| plan.lost.iter().map(|l| (l.first, l.next, l.bytes)))
        .collect()
}

/// The offsets that a node serves.
fn served(world: &World, cfg: &LogConfig) -> Vec<Offset> {
    let (_manager, writer) = world.reopen(cfg);
    let found = read_all(&writer.reader(), writer.reader().offsets().start);
    found.into_iter().map(|(base, _)| base).collect()
}

#[test]
fn a_sound_directory_is_left_alone() {
    let world = flushed(&small());
    let report = looked(&world);
    assert_eq!(report.damaged().count(), 0);
    let of = &report.partitions[0];
    assert_eq!((of.batches, of.records, of.start, of.end), (25, 25, 0, 25));
    assert_eq!(of.problems, Vec::<String>::new());
    let before = world.disk.export();
    repaired(&world).unwrap();
    assert_eq!(world.disk.export(), before);
}

#[test]
fn damage_below_the_recovery_point_is_cut_out() {
    let world = flushed(&small());
    let log = &world.files(".log")[4];
    let sizes: Vec<u64> = world
        .files(".log")
        .iter()
        .map(|f| world.disk.peek(f).unwrap().len() as u64)
        .collect();
    // The second batch of the last segment.
    let batch = sizes[4] / 5;
    world.disk.poke(log, batch + 100, b"rot");
    let manager = world.open();
    assert!(matches!(
        run(manager.load(&tp(0), small(), NOW)),
        Err(LoadError::Storage(_))
    ));
    let in_use = repaired(&world);
    assert!(matches!(in_use, Err(RepairError::InUse { .. })), "{in_use:?}");
    assert!(looked(&world).holder.is_some());
    drop(manager);
    let before = looked(&world);
    assert_eq!(lost(&before), [(21, Some(22), batch)]);
    let report = repaired(&world).unwrap();
    assert_eq!(lost(&report), lost(&before));
    let kept = report.partitions[0].kept_in.clone().unwrap();
    let kept = kept.join(format!("00000000000000000020.log@{batch}"));
    let kept = world.disk.peek(kept).unwrap();
    assert!(kept.len() as u64 == batch && kept[100..].starts_with(b"rot"));
    let (_manager, mut writer) = world.reopen(&small());
    assert_eq!(read_all(&writer.reader(), 0).len(), 24);
    assert_eq!(
        read_all(&writer.reader(), 21)[0],
        (22, 22),
        "readers pass over the hole"
    );
    assert_eq!(append(&mut writer, &[1]), 25);
}

#[test]
fn offsets_of_a_lost_end_are_not_given_out_again() {
    let world = flushed(&small());
    for log in &world.files(".log")[3..] {
        run(world.env().disk.remove_file(log.as_ref())).unwrap();
    }
    world.disk.settle();
    let report = repaired(&world).unwrap();
    assert_eq!(lost(&report), [(15, Some(25), 0)]);
    let (_manager, mut writer) = world.reopen(&small());
    assert_eq!(writer.reader().offsets().end, 25);
    assert_eq!(append(&mut writer, &[1]), 25);
    assert_eq!(read_all(&writer.reader(), 0).len(), 16);
}

#[test]
fn the_metadata_log_ends_at_its_first_damage() {
    let world = World::new();
    let manager = world.open();
    let metadata = TopicPartition::new("__cluster_metadata", 0);
    let mut writer = run(manager.create(&metadata, uuid(7), small(), NOW)).unwrap();
    for n in 0..BATCHES {
        append(&mut writer, &[n]);
    }
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    let folder = format!("{DIR}/__cluster_metadata-0");
    world
        .disk
        .poke(format!("{folder}/00000000000000000010.log"), 100, b"rot");
    let report = repaired(&world).unwrap();
    let account = lost(&report);
    assert_eq!((account[0].0, account.len()), (10, 3));
    let manager = world.open();
    let (_, writer) = run(manager.load(&metadata, small(), NOW)).unwrap().unwrap();
    assert_holds(&writer.reader(), 0, 10);
}

#[test]
fn what_was_never_flushed_is_left_to_a_start() {
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..3 {
        append(&mut writer, &[n]);
    }
    world.disk.crash();
    let log = &world.files(".log")[0];
    let size = world.disk.peek(log).unwrap().len() as u64;
    world.disk.poke(log, size - 1, b"x");
    let report = looked(&world);
    assert_eq!(report.damaged().count(), 0);
    assert_eq!(report.partitions[0].findings.tail[0].first, 2);
    repaired(&world).unwrap();
    assert_eq!(served(&world, &small()), [0, 1]);
    // With sound batches behind it, a start would drop those too.
    let world = World::new();
    let (_manager, mut writer) = world.create(&small());
    for n in 0..3 {
        append(&mut writer, &[n]);
    }
    world.disk.crash();
    world.disk.poke(&world.files(".log")[0], 100, b"rot");
    assert_eq!(lost(&looked(&world)), [(0, Some(1), size / 3)]);
    repaired(&world).unwrap();
    assert_eq!(served(&world, &small()), [1, 2]);
}

#[test]
fn blocks_that_cannot_be_read_count_as_damaged() {
    let world = flushed(&LogConfig::default());
    world.faults.bad_byte.store(4200, Ordering::Relaxed);
    let report = looked(&world);
    assert_eq!(report.partitions[0].unreadable, 4096);
    let report = repaired(&world).unwrap();
    let account = lost(&report);
    world.faults.bad_byte.store(0, Ordering::Relaxed);
    let served = served(&world, &LogConfig::default());
    assert!(
        !account.is_empty() && served.len() > 20,
        "{account:?}, {served:?}"
    );
}

#[test]
fn a_full_disk_is_refused_before_anything_is_changed() {
    let world = flushed(&small());
    world.disk.poke(&world.files(".log")[1], 100, b"rot");
    world.disk.set_capacity(Some(world.disk.used() + 10));
    let before = world.disk.export();
    let refused = repaired(&world);
    assert!(matches!(refused, Err(RepairError::NoRoom { .. })), "{refused:?}");
    assert_eq!(world.disk.export(), before);
}

/// A world with a log damaged at random, and the offsets that were not harmed.
fn damaged(seed: u64) -> (World, Vec<Offset>) {
    let mut rng = Rng::from_number(seed, "damage");
    let world = flushed(&small());
    let logs = world.files(".log");
    let whole: Vec<Vec<u8>> = logs.iter().map(|log| world.disk.peek(log).unwrap()).collect();
    for _ in 0..=rng.below(2) {
        let n = rng.below(logs.len() as u64) as usize;
        let at = rng.below(whole[n].len() as u64) as usize;
        let count = (1 + rng.below(300) as usize).min(whole[n].len() - at);
        world.disk.poke(&logs[n], at as u64, &vec![0; count]);
    }
    let mut sound = Vec::new();
    for (log, was) in logs.iter().zip(&whole) {
        let now = world.disk.peek(log).unwrap();
        let size = now.len() / 5;
        for i in 0..5 {
            let range = i * size..(i + 1) * size;
            if now[range.clone()] == was[range] {
                let base: Offset = log[log.len() - 24..log.len() - 4].parse().unwrap();
                sound.push(base + i as Offset);
            }
        }
    }
    (world, sound)
}

/// Whatever is damaged, and whenever the power goes in the middle of a repair: run again it leaves each batch that was not harmed,
/// the account is the rest, and a node starts.
#[test]
fn what_was_not_harmed_survives_repairs_that_are_interrupted() {
    let mut interrupted = 0;
    for seed in 0..120 {
        let (world, sound) = damaged(seed);
        let mut rng = Rng::from_number(seed, "power");
        let profile = [Profile::Strict, Profile::Ext4Ordered, Profile::Adversarial][seed as usize % 3];
        let mut at = 1 + rng.below(4);
        loop {
            world.faults.changes.store(0, Ordering::Relaxed);
            world.faults.dies_at.store(at, Ordering::Relaxed);
            if repaired(&world).is_ok() {
                break;
            }
            interrupted += 1;
            world.power_loss(profile, seed * 1000 + at);
            at += 1 + rng.below(4);
        }
        world.faults.dies_at.store(0, Ordering::Relaxed);
        let report = looked(&world);
        assert_eq!(report.damaged().count(), 0, "seed {seed}");
        assert_eq!(report.partitions[0].problems, Vec::<String>::new(), "seed {seed}");
        assert_eq!(served(&world, &small()), sound, "seed {seed}");
        let (_manager, mut writer) = world.reopen(&small());
        assert_eq!(append(&mut writer, &[1]), BATCHES, "seed {seed}");
    }
    assert!(interrupted > 500, "{interrupted}");
}

#[test]
fn the_account_is_the_difference() {
    for seed in 0..60 {
        let (world, sound) = damaged(seed);
        let size = |world: &World| {
            world
                .files(".log")
                .iter()
                .map(|f| world.disk.peek(f).unwrap().len() as u64)
                .sum::<u64>()
        };
        let before = size(&world);
        let account = lost(&repaired(&world).unwrap());
        let mut told: Vec<Offset> = account
            .iter()
            .flat_map(|(first, next, _)| *first..next.unwrap())
            .collect();
        assert_eq!(
            before - size(&world),
            account.iter().map(|l| l.2).sum::<u64>(),
            "seed {seed}"
        );
        told.extend(sound);
        told.sort_unstable();
        assert_eq!(told, (0..BATCHES).collect::<Vec<_>>(), "seed {seed}");
    }
}
