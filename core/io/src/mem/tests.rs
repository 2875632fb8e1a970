//! What survives what, on the disk in memory.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{File, Op, OpenOptions, Rng};

/// Everything on this disk is ready at once.
fn now<T>(op: Op<T>) -> T {
    op.into_ready()
        .unwrap_or_else(|_| panic!("the disk in memory never waits"))
}

fn open(disk: &MemDisk, path: &str, how: OpenOptions) -> Arc<dyn File> {
    now(disk.handle().open(Path::new(path), how)).unwrap()
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) {
    let (n, _) = now(file.write_at(offset, vec![Bytes::copy_from_slice(bytes)]));
    assert_eq!(n.unwrap(), bytes.len());
}

/// A durable file of `len` bytes of `fill`, open.
fn durable(disk: &MemDisk, path: &str, fill: u8, len: usize) -> Arc<dyn File> {
    let file = open(disk, path, OpenOptions::CreateNew);
    write(&file, 0, &vec![fill; len]);
    now(file.sync_data()).unwrap();
    now(disk.handle().sync_dir(Path::new("/"))).unwrap();
    file
}

fn strict(disk: &MemDisk) -> LossReport {
    disk.power_loss(Profile::Strict, &mut |_| 0)
}

#[test]
fn a_crash_keeps_the_page_cache_and_kills_the_handles() {
    let disk = MemDisk::new();
    let old = disk.handle();
    let file = open(&disk, "/a", OpenOptions::Create);
    write(&file, 0, b"unsynced");
    let _lock = now(old.lock(Path::new("/.lock"))).unwrap();
    let report = disk.crash();
    assert!(report.pending_ops > 0 && !report.had_effect());
    assert_eq!(disk.peek("/a").unwrap(), b"unsynced");
    assert_eq!(now(file.len()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(
        now(old.list(Path::new("/"))).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    let (result, bufs) = now(file.write_at(0, vec![Bytes::from_static(b"late")]));
    assert!(result.is_err());
    assert_eq!(bufs.len(), 1, "the buffers come back");
    let _taken = now(disk.handle().lock(Path::new("/.lock"))).unwrap();
}

#[test]
fn a_dead_lock_does_not_release_its_successor() {
    let disk = MemDisk::new();
    let first = now(disk.handle().lock(Path::new("/.lock"))).unwrap();
    let busy = now(disk.handle().lock(Path::new("/.lock"))).err().unwrap();
    assert_eq!(busy.kind(), ErrorKind::WouldBlock);
    disk.crash();
    let second = now(disk.handle().lock(Path::new("/.lock"))).unwrap();
    drop(first);
    assert!(now(disk.handle().lock(Path::new("/.lock"))).is_err());
    drop(second);
    assert!(now(disk.handle().lock(Path::new("/.lock"))).is_ok());
}

#[test]
fn strict_loss_keeps_exactly_what_was_synced() {
    let disk = MemDisk::new();
    let file = durable(&disk, "/a", 1, 1000);
    write(&file, 500, &[2; 1000]);
    let unnamed = open(&disk, "/b", OpenOptions::Create);
    write(&unnamed, 0, b"data is synced, its name is not");
    now(unnamed.sync_data()).unwrap();
    assert_eq!(disk.peek_durable("/a").unwrap(), [1; 1000]);
    let report = strict(&disk);
    assert_eq!(disk.peek("/a").unwrap(), [1; 1000]);
    assert_eq!(disk.peek("/b"), None);
    assert_eq!((report.creates_lost, report.bytes_lost), (1, 1000 + 31));
}

#[test]
fn a_rename_over_a_name_shows_old_or_new_and_needs_the_directory_synced() {
    for (profile, picks) in [
        (Profile::Strict, 1),
        (Profile::Ext4Ordered, 300),
        (Profile::Adversarial, 300),
    ] {
        let (mut old, mut new) = (0, 0);
        for seed in 0..picks {
            let mut rng = Rng::from_number(seed, "rename");
            let disk = MemDisk::new();
            durable(&disk, "/checkpoint", 1, 700);
            let tmp = open(&disk, "/checkpoint.tmp", OpenOptions::Truncate);
            write(&tmp, 0, &[2; 900]);
            now(tmp.sync_data()).unwrap();
            now(disk
                .handle()
                .rename(Path::new("/checkpoint.tmp"), Path::new("/checkpoint")))
            .unwrap();
            assert_eq!(disk.peek("/checkpoint").unwrap(), [2; 900]);
            let report = disk.power_loss(profile, &mut |n| rng.below(n));
            match disk.peek("/checkpoint").unwrap() {
                bytes if bytes == [1; 700] => old += 1,
                bytes if bytes == [2; 900] => new += 1,
                bytes => panic!("neither old nor new: {} bytes", bytes.len()),
            }
            assert_eq!(
                report.renames_lost == 1,
                disk.peek("/checkpoint").unwrap()[0] == 1
            );
        }
        assert!(old > 0, "{profile:?}");
        assert_eq!(new > 0, profile != Profile::Strict, "{profile:?}");
    }
}

#[test]
fn a_synced_directory_keeps_its_names_under_every_profile() {
    for profile in [Profile::Strict, Profile::Ext4Ordered, Profile::Adversarial] {
        for seed in 0..100 {
            let mut rng = Rng::from_number(seed, "dirs");
            let disk = MemDisk::new();
            let handle = disk.handle();
            now(handle.create_dir_all(Path::new("/data/t-0"))).unwrap();
            let file = open(&disk, "/data/t-0/log", OpenOptions::Create);
            write(&file, 0, b"x");
            now(file.sync_data()).unwrap();
            now(handle.rename(Path::new("/data/t-0/log"), Path::new("/data/log"))).unwrap();
            for dir in ["/data/t-0", "/"] {
                now(handle.sync_dir(Path::new(dir))).unwrap();
            }
            disk.power_loss(profile, &mut |n| rng.below(n));
            assert_eq!(disk.peek("/data/log").unwrap(), b"x", "{profile:?}");
            assert_eq!(disk.peek("/data/t-0/log"), None);
        }
    }
}

#[test]
fn an_ordered_loss_keeps_a_prefix_of_an_append_only_file() {
    let mut lengths = BTreeMap::new();
    for seed in 0..400 {
        let mut rng = Rng::from_number(seed, "ordered");
        let disk = MemDisk::new();
        let file = durable(&disk, "/log", 9, 3000);
        let mut all = vec![9; 3000];
        for i in 0..12u8 {
            let piece = vec![i; 1500];
            write(&file, all.len() as u64, &piece);
            all.extend(piece);
        }
        let report = disk.power_loss(Profile::Ext4Ordered, &mut |n| rng.below(n));
        let after = disk.peek("/log").unwrap();
        assert!(
            after.len() >= 3000 && all.starts_with(&after),
            "a prefix, not less than what was synced"
        );
        assert_eq!(report.bytes_lost, (all.len() - after.len()) as u64);
        *lengths.entry(after.len()).or_insert(0) += 1;
    }
    assert!(
        lengths.contains_key(&3000) && lengths.contains_key(&21_000),
        "nothing and everything both happen"
    );
    assert!(
        lengths.keys().any(|len| (len - 3000) % 1500 != 0),
        "a write is torn inside"
    );
}

#[test]
fn an_adversarial_loss_tears_by_sector_and_leaves_zeros() {
    let mut total = LossReport::default();
    let (mut old, mut new, mut between) = (false, false, false);
    for seed in 0..400 {
        let mut rng = Rng::from_number(seed, "adversarial");
        let disk = MemDisk::new();
        let file = durable(&disk, "/log", 1, 4096);
        write(&file, 512, &[2; 1024]);
        write(&file, 512, &[3; 1024]);
        write(&file, 4096, &[4; 8192]);
        let report = disk.power_loss(Profile::Adversarial, &mut |n| rng.below(n));
        total.add(&report);
        let after = disk.peek("/log").unwrap();
        assert!(after.len() == 4096 || after.len() == 12_288);
        for (i, sector) in after.chunks(512).enumerate() {
            assert!(sector.iter().all(|b| *b == sector[0]), "a sector is never torn");
            let legal: &[u8] = if i == 1 || i == 2 {
                &[1, 2, 3]
            } else if i < 8 {
                &[1]
            } else {
                &[0, 4]
            };
            assert!(legal.contains(&sector[0]), "sector {i} holds {}", sector[0]);
        }
        old |= after[512] == 1;
        between |= after[512] == 2;
        new |= after[512] == 3;
        assert_eq!(disk.peek("/log"), disk.peek_durable("/log"));
        assert_eq!(disk.pending(), 0);
    }
    assert!(
        old && between && new,
        "every version that may have been written back occurs"
    );
    assert!(total.torn_files > 20 && total.zeroed_files > 20, "{total:?}");
}

#[test]
fn a_cut_that_was_not_synced_may_come_back() {
    let mut lengths = BTreeMap::new();
    for seed in 0..100 {
        let mut rng = Rng::from_number(seed, "cut");
        let disk = MemDisk::new();
        let file = durable(&disk, "/log", 1, 2000);
        now(file.set_len(1000)).unwrap();
        write(&file, 1000, &[2; 500]);
        disk.power_loss(Profile::Ext4Ordered, &mut |n| rng.below(n));
        *lengths.entry(disk.peek("/log").unwrap().len()).or_insert(0) += 1;
    }
    assert_eq!(lengths.keys().copied().collect::<Vec<_>>(), [1000, 1500, 2000]);
}

#[test]
fn a_failed_sync_shows_the_bytes_until_the_power_goes() {
    let disk = MemDisk::new();
    let file = durable(&disk, "/log", 1, 600);
    write(&file, 0, &[2; 600]);
    let mem = file.handle().downcast_ref::<MemFile>().unwrap();
    assert!(mem.fail_sync());
    assert!(!mem.fail_sync(), "nothing is dirty any more");
    now(file.sync_data()).unwrap();
    assert_eq!(disk.peek("/log").unwrap(), [2; 600]);
    let evicted = disk.fork();
    let copy = open(&evicted, "/log", OpenOptions::Read);
    copy.handle().downcast_ref::<MemFile>().unwrap().evict();
    assert_eq!(evicted.peek("/log").unwrap(), [1; 600]);
    for profile in [Profile::Ext4Ordered, Profile::Adversarial] {
        let fork = disk.fork();
        fork.power_loss(profile, &mut |n| n - 1);
        assert_eq!(fork.peek("/log").unwrap(), [1; 600]);
    }
}

#[test]
fn a_full_disk_writes_short_and_then_not_at_all() {
    let disk = MemDisk::with_capacity(1000);
    let file = open(&disk, "/a", OpenOptions::Create);
    let (n, bufs) = now(file.write_at(0, vec![Bytes::from(vec![1; 700]), Bytes::from(vec![2; 700])]));
    assert_eq!((n.unwrap(), bufs.len()), (1000, 2));
    let (n, _) = now(file.write_at(1000, vec![Bytes::from_static(b"x")]));
    assert_eq!(n.unwrap_err().kind(), ErrorKind::StorageFull);
    let (n, _) = now(file.write_at(0, vec![Bytes::from_static(b"rewriting in place needs no room")]));
    assert!(n.is_ok());
    assert_eq!(now(disk.handle().free_space(Path::new("/"))).unwrap(), 0);
    now(disk.handle().remove_file(Path::new("/a"))).unwrap();
    assert_eq!(disk.used(), 1000, "an open file keeps its bytes");
    drop(file);
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_fork_goes_its_own_way_and_a_tree_goes_out_and_in() {
    let tree = BTreeMap::from([
        ("d/a".to_string(), vec![1, 2]),
        ("d/e/b".to_string(), vec![]),
        ("c".to_string(), vec![3]),
    ]);
    let disk = MemDisk::import(&tree).unwrap();
    assert_eq!(
        (disk.export(), disk.export_durable()),
        (tree.clone(), tree.clone())
    );
    let fork = disk.fork();
    let file = open(&fork, "/d/a", OpenOptions::Write);
    write(&file, 0, b"fork");
    assert_eq!(disk.export(), tree);
    assert_eq!(fork.peek("d/a").unwrap(), b"fork");
    assert!(disk.poke("d/a", 1, &[9]) && !disk.poke("d/a", 2, &[9]) && !disk.poke("nothing", 0, &[]));
    assert_eq!(disk.peek_durable("/d/a").unwrap(), [1, 9]);
    assert_eq!(disk.paths(), ["c", "d/a", "d/e/b"]);
}

#[test]
fn removing_and_renaming_keep_to_the_rules() {
    let disk = MemDisk::import(&BTreeMap::from([
        ("d/e/a".to_string(), vec![1]),
        ("f".to_string(), vec![2]),
    ]))
    .unwrap();
    let handle = disk.handle();
    let kind = |from: &str, to: &str| {
        now(handle.rename(Path::new(from), Path::new(to)))
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind("/d", "/d/e/x"), ErrorKind::InvalidInput);
    assert_eq!(kind("/nothing", "/x"), ErrorKind::NotFound);
    assert_eq!(kind("/f", "/d"), ErrorKind::IsADirectory);
    assert_eq!(kind("/d", "/f"), ErrorKind::NotADirectory);
    let open = open(&disk, "/d/e/a", OpenOptions::Read);
    now(handle.remove_dir_all(Path::new("/d"))).unwrap();
    let (n, buf) = now(open.read_at(0, BytesMut::new(), 10));
    assert_eq!(
        (n.unwrap(), &buf[..]),
        (1, &[1][..]),
        "an open file without a name reads on"
    );
    assert_eq!(disk.paths(), ["f"]);
    let report = strict(&disk);
    assert_eq!(report.removes_lost, 3);
    assert_eq!(disk.paths(), ["d/e/a", "f"]);
}

#[test]
fn the_same_choices_give_the_same_loss() {
    let run = |seed| {
        let mut rng = Rng::from_number(seed, "same");
        let disk = MemDisk::new();
        let file = durable(&disk, "/log", 1, 10_000);
        for i in 0..20 {
            write(&file, i * 700, &[i as u8; 900]);
        }
        let report = disk.power_loss(Profile::Adversarial, &mut |n| rng.below(n));
        (disk.export(), report)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
