//! What a disk owes while nothing fails: files and names behave as in a naive reference under random sequences of operations,
//! errors have the kinds that callers tell apart and name their path, open handles survive a removal, the lock excludes.

use std::io::ErrorKind;
use std::path::Path;

use bytes::{Bytes, BytesMut};

pub use super::disk_random::random_operations;
use super::pipe::{random, same};
use super::{fails, fails_naming, ok};
use crate::{Disk, Entry, EntryKind, OpenOptions, Rng, read_exact_at, write_all_at};

/// Everything in this file. `root` is an existing, empty directory, and empty again afterwards.
pub async fn all(disk: &dyn Disk, root: &Path, rng: &mut Rng) {
    for _ in 0..3 {
        random_operations(disk, root, rng, 300).await;
    }
    open_modes(disk, root).await;
    appending(disk, root).await;
    identities(disk, root).await;
    wrong_names(disk, root).await;
    overlapping(disk, root, rng).await;
    many_buffers(disk, root, rng).await;
    lock(disk, root).await;
    space(disk, root).await;
}

/// Each way to open, on a missing file, an existing one, and a directory.
pub async fn open_modes(disk: &dyn Disk, root: &Path) {
    use OpenOptions::*;
    let path = root.join("modes");
    for how in [Read, Write] {
        fails_naming("open", disk.open(&path, how).await, ErrorKind::NotFound, &path);
    }
    for how in [Create, CreateNew, Truncate, Append] {
        let file = ok("create", disk.open(&path, how).await);
        assert_eq!(ok("len", file.len().await), 0, "a new file is empty");
        ok(
            "write",
            file.write_at(0, vec![Bytes::from_static(b"12345")]).await.0,
        );
        fails_naming(
            "open",
            disk.open(&path, CreateNew).await,
            ErrorKind::AlreadyExists,
            &path,
        );
        for how in [Read, Write, Create, Append] {
            let again = ok("open", disk.open(&path, how).await);
            assert_eq!(ok("len", again.len().await), 5, "{how:?} keeps the content");
        }
        ok("empty", disk.open(&path, Truncate).await);
        assert_eq!(
            ok("len", file.len().await),
            0,
            "{Truncate:?} empties, for open handles too"
        );
        ok("remove", disk.remove_file(&path).await);
    }
    ok("create_dir_all", disk.create_dir_all(&path).await);
    for how in [Read, Write, Create, Truncate, Append] {
        fails_naming(
            "open a directory",
            disk.open(&path, how).await,
            ErrorKind::IsADirectory,
            &path,
        );
    }
    ok("remove", disk.remove_dir_all(&path).await);
}

/// Two handles that append write one behind the other, and go on at the new end of a file that was cut.
pub async fn appending(disk: &dyn Disk, root: &Path) {
    let path = root.join("appended");
    let one = ok("open", disk.open(&path, OpenOptions::Append).await);
    let two = ok("open", disk.open(&path, OpenOptions::Append).await);
    let content = async || {
        let file = ok("open", disk.open(&path, OpenOptions::Read).await);
        let (read, bytes) = read_exact_at(&*file, 0, BytesMut::new(), 100).await;
        ok("read", read);
        bytes
    };
    for (file, offset, text) in [
        (&one, 0, "ab"),
        (&two, 0, "cd"),
        (&one, 1000, "ef"),
        (&two, 2, "gh"),
    ] {
        ok(
            "append",
            write_all_at(&**file, offset, vec![Bytes::from(text)]).await.0,
        );
    }
    assert_eq!(
        content().await,
        "abcdefgh",
        "an offset means nothing to a handle that appends"
    );
    ok("cut", one.set_len(1).await);
    ok("append", write_all_at(&*two, 8, vec![Bytes::from("z")]).await.0);
    assert_eq!(
        content().await,
        "az",
        "what is appended leaves no gap behind a cut"
    );
    ok("remove", disk.remove_file(&path).await);
}

/// A file keeps its identity under another name; another file under its name has another one.
pub async fn identities(disk: &dyn Disk, root: &Path) {
    let (path, moved) = (root.join("identity"), root.join("identity.1"));
    let first = ok("open", disk.open(&path, OpenOptions::Create).await);
    let again = ok("open", disk.open(&path, OpenOptions::Read).await);
    assert_eq!(first.id(), again.id());
    ok("rename", disk.rename(&path, &moved).await);
    let second = ok("open", disk.open(&path, OpenOptions::Create).await);
    assert_ne!(first.id(), second.id());
    assert_eq!(
        first.id(),
        ok("open", disk.open(&moved, OpenOptions::Append).await).id()
    );
    for path in [path, moved] {
        ok("remove", disk.remove_file(&path).await);
    }
}

/// Operations on names that are missing or of the other kind.
pub async fn wrong_names(disk: &dyn Disk, root: &Path) {
    let missing = root.join("no such name");
    fails_naming("list", disk.list(&missing).await, ErrorKind::NotFound, &missing);
    fails_naming(
        "rename",
        disk.rename(&missing, &root.join("b")).await,
        ErrorKind::NotFound,
        &missing,
    );
    fails_naming(
        "remove_file",
        disk.remove_file(&missing).await,
        ErrorKind::NotFound,
        &missing,
    );
    fails_naming(
        "remove_dir_all",
        disk.remove_dir_all(&missing).await,
        ErrorKind::NotFound,
        &missing,
    );
    fails_naming(
        "sync_dir",
        disk.sync_dir(&missing).await,
        ErrorKind::NotFound,
        &missing,
    );
    fails_naming(
        "free_space",
        disk.free_space(&missing).await,
        ErrorKind::NotFound,
        &missing,
    );
    fails_naming(
        "lock",
        disk.lock(&missing.join("lock")).await.map(drop),
        ErrorKind::NotFound,
        &missing,
    );
    assert_eq!(ok("entry", disk.entry(&missing).await), None);

    let deep = root.join("p/q/r");
    ok("create_dir_all", disk.create_dir_all(&deep).await);
    ok("create_dir_all again", disk.create_dir_all(&deep).await);
    drop(ok(
        "create",
        disk.open(&deep.join("f"), OpenOptions::CreateNew).await,
    ));
    let dirs = ok("list", disk.list(&root.join("p")).await);
    assert_eq!(
        dirs,
        [Entry {
            name: "q".into(),
            kind: EntryKind::Dir,
            len: 0
        }]
    );
    ok("remove_dir_all", disk.remove_dir_all(&root.join("p")).await);
    assert_eq!(
        ok("list", disk.list(root).await),
        [],
        "all below a removed directory is gone"
    );
}

/// Operations that are started together and awaited in another order all happen.
pub async fn overlapping(disk: &dyn Disk, root: &Path, rng: &mut Rng) {
    let path = root.join("overlapping");
    let file = ok("create", disk.open(&path, OpenOptions::Create).await);
    let bytes = random(rng, 64 * 1024);
    let mut writes: Vec<_> = bytes
        .chunks(4096)
        .enumerate()
        .map(|(i, chunk)| {
            (
                i,
                file.write_at(i as u64 * 4096, vec![Bytes::copy_from_slice(chunk)]),
            )
        })
        .collect();
    rng.shuffle(&mut writes);
    for (i, write) in writes {
        let (result, back) = write.await;
        let n = ok("write", result);
        let rest = back[0].slice(n..);
        let (result, _) = write_all_at(&*file, (i * 4096 + n) as u64, vec![rest]).await;
        ok("write the rest", result);
    }
    let mut reads: Vec<_> = (0..16)
        .map(|i| (i, file.read_at(i * 4096, BytesMut::new(), 4096)))
        .collect();
    rng.shuffle(&mut reads);
    for (i, read) in reads {
        let (result, buf) = read.await;
        ok("read", result);
        same(
            "one of many reads",
            &buf,
            &bytes[i as usize * 4096..][..buf.len()],
        );
    }
    ok("remove", disk.remove_file(&path).await);
}

/// More buffers than one system call takes, and `write_all_at` and `read_exact_at` around short results.
pub async fn many_buffers(disk: &dyn Disk, root: &Path, rng: &mut Rng) {
    let path = root.join("many");
    let file = ok("create", disk.open(&path, OpenOptions::Create).await);
    let bufs: Vec<Bytes> = (0..3000)
        .map(|_| {
            let len = rng.below(40) as usize;
            Bytes::from(random(rng, len))
        })
        .collect();
    let want = bufs.concat();
    let (result, _) = write_all_at(&*file, 100, bufs).await;
    ok("write_all_at", result);
    let (result, buf) = read_exact_at(&*file, 0, BytesMut::new(), want.len() + 500).await;
    assert_eq!(
        ok("read_exact_at", result),
        want.len() + 100,
        "bytes up to the end of the file"
    );
    same("the gap", &buf[..100], &[0; 100]);
    same("many buffers", &buf[100..], &want);
    ok("remove", disk.remove_file(&path).await);
}

/// The lock is exclusive while it is held, and free again when it is dropped; other handles of its file don't disturb it.
pub async fn lock(disk: &dyn Disk, root: &Path) {
    let (path, other) = (root.join(".lock"), root.join(".other"));
    for _ in 0..2 {
        let held = ok("lock", disk.lock(&path).await);
        let beside = ok("lock another file", disk.lock(&other).await);
        for _ in 0..2 {
            fails_naming(
                "lock twice",
                disk.lock(&path).await.map(drop),
                ErrorKind::WouldBlock,
                &path,
            );
        }
        drop(held);
        drop(ok("lock after the holder has dropped it", disk.lock(&path).await));
        fails(
            "lock twice",
            disk.lock(&other).await.map(drop),
            ErrorKind::WouldBlock,
        );
        drop(beside);
    }
    assert!(
        ok("entry", disk.entry(&path).await).is_some(),
        "the lock's file stays"
    );
    ok("remove", disk.remove_file(&path).await);
    ok("remove", disk.remove_file(&other).await);
}

/// There is space, and asking for it names a directory or a file.
pub async fn space(disk: &dyn Disk, root: &Path) {
    let free = ok("free_space", disk.free_space(root).await);
    assert!(free > 0, "no space at all is free");
    let path = root.join("small");
    drop(ok("create", disk.open(&path, OpenOptions::Create).await));
    ok("free_space of a file", disk.free_space(&path).await);
    ok("remove", disk.remove_file(&path).await);
}
