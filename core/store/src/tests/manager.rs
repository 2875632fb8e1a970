//! All log directories: opening, locking, placing, deleting, straying.

use super::*;
use crate::{CreateError, FormatError};

#[test]
fn directories_that_cannot_be_used_are_refused() {
    let world = World::new();
    assert!(matches!(world.try_open(&[]), Err(OpenError::NoDirectories)));
    assert!(matches!(world.try_open(&[DIR, DIR]), Err(OpenError::Twice(_))));
    assert!(matches!(
        world.try_open(&["/none"]),
        Err(OpenError::NotFormatted(_))
    ));
    world.format("/other", 2);
    world.format("/copy", 2);
    let same = world.try_open(&[DIR, "/other", "/copy"]);
    assert!(matches!(same, Err(OpenError::SameDirectoryId { .. })));
    let cfg = StoreConfig::new(vec![DIR.into()], NodeId(2));
    let other_node = run(LogManager::open(&world.env(), cfg));
    assert!(matches!(other_node, Err(OpenError::NodeMismatch { .. })));
}

#[test]
fn one_process_at_a_time_has_a_directory() {
    let world = World::new();
    let manager = world.open();
    assert!(matches!(world.try_open(&[DIR]), Err(OpenError::Locked { .. })));
    run(manager.close(Vec::new(), 3)).unwrap();
    assert_eq!(world.open().previous_broker_epoch(), 3);
}

#[test]
fn formatting_is_done_once_and_survives() {
    let world = World::new();
    world.power_loss(Profile::Strict, 0);
    let format = Format {
        cluster_id: "another".into(),
        node_id: NodeId(1),
        directory_id: uuid(4),
        bootstrap: None,
    };
    let again = run(format_dir(&world.env(), &PathBuf::from(DIR), format));
    assert!(matches!(again, Err(FormatError::AlreadyFormatted(_))));
    let manager = world.open();
    assert_eq!(manager.cluster_id(), "cluster");
    assert_eq!(manager.directories()[0].id, uuid(1));
}

#[test]
fn logs_spread_over_directories() {
    let world = World::new();
    world.format("/other", 2);
    let manager = world.try_open(&[DIR, "/other"]).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|p| run(manager.create(&tp(p), uuid(9), small(), NOW)).unwrap())
        .collect();
    let here = writers.iter().filter(|w| w.directory() == uuid(1)).count();
    assert_eq!(here, 2);
    let again = run(manager.create(&tp(0), uuid(9), small(), NOW));
    assert!(matches!(again, Err(CreateError::Exists(_))));
    run(manager.close(writers, 1)).unwrap();
    drop(manager);
    let manager = world.try_open(&[DIR, "/other"]).unwrap();
    let mut found = manager.unloaded();
    found.sort();
    assert_eq!(found, (0..4).map(tp).collect::<Vec<_>>());
    assert!(run(manager.load(&tp(7), small(), NOW)).unwrap().is_none());
}

#[test]
fn a_deleted_log_goes_after_the_delay_and_its_readers_read_on() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    let reader = writer.reader();
    run(manager.delete(writer)).unwrap();
    assert_eq!(manager.folder_of(&tp(0)), None);
    assert_holds(&reader, 0, 1);
    run(manager.maintain(Time(NOW.0 + 60_000)));
    assert_eq!(world.files(".log"), Vec::<String>::new());
    let writer = run(manager.create(&tp(0), uuid(8), small(), NOW)).unwrap();
    assert_eq!(writer.reader().offsets().end, 0);
}

#[test]
fn what_was_deleted_before_a_crash_goes_at_the_next_start() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    run(manager.delete(writer)).unwrap();
    world.disk.crash();
    let manager = world.open();
    assert_eq!(manager.unloaded(), Vec::new());
    run(manager.maintain(NOW));
    assert_eq!(world.files(""), Vec::<String>::new());
}

#[test]
fn a_stray_is_kept_aside() {
    let world = World::new();
    let (manager, writer) = world.create(&small());
    drop(writer);
    run(manager.stray(&tp(0))).unwrap();
    assert!(world.disk.paths().iter().any(|p| p.contains("-stray/")));
    assert_eq!(manager.folder_of(&tp(0)), None);
    run(manager.maintain(Time(u64::MAX)));
    assert!(world.disk.paths().iter().any(|p| p.contains("-stray/")));
}

#[test]
fn checkpoints_keep_the_rows_of_logs_that_are_not_loaded() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    append(&mut writer, &[0]);
    writer.set_high_watermark(1);
    run(manager.close(vec![writer], 1)).unwrap();
    drop(manager);
    let manager = world.open();
    run(manager.checkpoint()).unwrap();
    run(manager.close(Vec::new(), 2)).unwrap();
    drop(manager);
    let text = world.disk.peek("/data/replication-offset-checkpoint").unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "0\n1\norders 0 1\n");
}

#[test]
fn a_new_log_inherits_nothing_from_a_deleted_one_of_its_name() {
    let world = World::new();
    let (manager, mut writer) = world.create(&small());
    for n in 0..10 {
        append(&mut writer, &[n]);
    }
    writer.set_high_watermark(10);
    run(writer.flush()).unwrap();
    run(manager.checkpoint()).unwrap();
    run(manager.delete(writer)).unwrap();
    let mut writer = run(manager.create(&tp(0), uuid(8), small(), NOW)).unwrap();
    append(&mut writer, &[0]);
    drop((writer, manager));
    world.disk.crash();
    let manager = world.open();
    let (id, writer) = run(manager.load(&tp(0), small(), NOW)).unwrap().unwrap();
    assert_eq!(id, uuid(8));
    assert_eq!(writer.reader().offsets().high_watermark, 0);
    assert_holds(&writer.reader(), 0, 1);
}
