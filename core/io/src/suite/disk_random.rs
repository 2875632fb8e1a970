//! Random sequences of disk operations beside the naive reference.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::disk_model::{Model, Node};
use super::pipe::{random, same};
use super::{fails_naming, ok};
use crate::{Disk, EntryKind, File, OpenOptions, Rng, read_exact_at};

/// An open handle and the content it stands for.
struct Open {
    file: Arc<dyn File>,
    content: usize,
    writable: bool,
}

/// A disk beside its reference.
struct Pair<'a> {
    disk: &'a dyn Disk,
    model: Model,
    root: &'a Path,
    open: Vec<Open>,
}

/// Random operations on a few names and handles, each compared with the reference.
pub async fn random_operations(disk: &dyn Disk, root: &Path, rng: &mut Rng, operations: usize) {
    let mut pair = Pair {
        disk,
        model: Model::new(root),
        root,
        open: Vec::new(),
    };
    for _ in 0..operations {
        if rng.chance(0.5) {
            pair.name_operation(rng).await;
        } else {
            pair.file_operation(rng).await;
        }
    }
    let left = ok("list", disk.list(root).await);
    assert_eq!(
        Ok(&left),
        pair.model.list(root).as_ref(),
        "the names that are left"
    );
    for entry in left {
        let path = root.join(&entry.name);
        match entry.kind {
            EntryKind::File => ok("remove", disk.remove_file(&path).await),
            EntryKind::Dir => ok("remove", disk.remove_dir_all(&path).await),
        }
    }
    for open in std::mem::take(&mut pair.open) {
        let want = pair.model.content(open.content);
        let (result, buf) = read_exact_at(&*open.file, 0, BytesMut::new(), want.len() + 1).await;
        assert_eq!(
            ok("read a removed file", result),
            want.len(),
            "length of a removed file that is still open"
        );
        same("a removed file that is still open", &buf, want);
    }
}

impl Pair<'_> {
    fn any_path(&self, rng: &mut Rng) -> PathBuf {
        let folders = ["", "x", "x", "x/y", "z", "a"];
        let names = ["a", "a", "b", "c.log", "y", "x"];
        self.root
            .join(rng.pick(&folders).expect("some"))
            .join(rng.pick(&names).expect("some"))
    }

    #[track_caller]
    fn agree<T>(what: &str, path: &Path, got: io::Result<T>, want: Result<(), ErrorKind>) -> Option<T> {
        let what = format!("{what} {}", path.display());
        match want {
            Ok(()) => Some(ok(&what, got)),
            Err(kind) => {
                fails_naming(&what, got, kind, path);
                None
            }
        }
    }

    async fn name_operation(&mut self, rng: &mut Rng) {
        let path = self.any_path(rng);
        match rng.below(11) {
            0..=3 => self.open_one(&path, rng).await,
            4 => {
                let path = if rng.chance(0.5) {
                    self.root.join("x/y")
                } else {
                    path
                };
                let want = self.model.create_dir_all(&path);
                Self::agree(
                    "create_dir_all",
                    &path,
                    self.disk.create_dir_all(&path).await,
                    want,
                );
            }
            5 | 6 => self.rename(&path, &self.any_path(rng)).await,
            7 => {
                let want = self.model.remove_file(&path);
                Self::agree("remove_file", &path, self.disk.remove_file(&path).await, want);
            }
            8 if rng.chance(0.4) => {
                let want = self.model.remove_dir_all(&path);
                Self::agree(
                    "remove_dir_all",
                    &path,
                    self.disk.remove_dir_all(&path).await,
                    want,
                );
            }
            9 => {
                let dir = path.parent().expect("below the root");
                let dir = if rng.chance(0.7) { dir } else { &path };
                let want = self.model.list(dir);
                let got = Self::agree(
                    "list",
                    dir,
                    self.disk.list(dir).await,
                    want.as_ref().map(drop).map_err(|e| *e),
                );
                assert_eq!(got, want.ok(), "the names in {}", dir.display());
                let synced = matches!(self.model.node(dir), Some(Node::Dir));
                if synced {
                    ok("sync_dir", self.disk.sync_dir(dir).await);
                }
            }
            _ => {
                let got = ok("entry", self.disk.entry(&path).await);
                assert_eq!(got, self.model.entry(&path), "the entry {}", path.display());
            }
        }
    }

    async fn open_one(&mut self, path: &Path, rng: &mut Rng) {
        use OpenOptions::*;
        let how = *rng
            .pick(&[Read, Write, Create, Create, Create, CreateNew, Truncate])
            .expect("some");
        let want = self.model.open(path, how);
        let got = self.disk.open(path, how).await;
        let file = Self::agree(&format!("open as {how:?}"), path, got, want.map(drop));
        if let (Some(file), Ok(content)) = (file, want) {
            self.open.push(Open {
                file,
                content,
                writable: how != Read,
            });
        }
        if self.open.len() > 12 {
            self.open.swap_remove(rng.below(12) as usize);
        }
    }

    async fn rename(&mut self, from: &Path, to: &Path) {
        // A directory over a directory, or into itself: nobody needs it, and systems differ.
        if self.model.node(from) == Some(Node::Dir)
            && (to.starts_with(from) || self.model.node(to) == Some(Node::Dir))
            || from.starts_with(to)
        {
            return;
        }
        let want = self.model.rename(from, to);
        Self::agree("rename", from, self.disk.rename(from, to).await, want);
    }

    async fn file_operation(&mut self, rng: &mut Rng) {
        if self.open.is_empty() {
            return;
        }
        let which = rng.below(self.open.len() as u64) as usize;
        let Open {
            file,
            content,
            writable,
        } = &self.open[which];
        let (file, content, writable) = (file.clone(), *content, *writable);
        let size = self.model.content(content).len();
        match rng.below(8) {
            0..=2 => self.write(&*file, content, writable, rng).await,
            3..=5 => self.read(&*file, content, rng).await,
            6 => {
                let len = rng.below(size as u64 + 3000);
                let result = file.set_len(len).await;
                if writable {
                    ok("set_len", result);
                    self.model.content(content).resize(len as usize, 0);
                } else {
                    assert!(
                        result.is_err(),
                        "set_len through a handle that only reads has worked"
                    );
                }
            }
            _ => {
                if writable {
                    ok("sync_data", file.sync_data().await);
                }
                assert_eq!(ok("len", file.len().await), size as u64, "the length of a file");
            }
        }
    }

    async fn write(&mut self, file: &dyn File, content: usize, writable: bool, rng: &mut Rng) {
        let size = self.model.content(content).len() as u64;
        let offset = if rng.chance(0.6) {
            size
        } else {
            rng.below(size + 5000)
        };
        let bufs: Vec<Bytes> = (0..rng.below(5))
            .map(|_| {
                let len = if rng.chance(0.2) {
                    0
                } else {
                    rng.below(4000) as usize
                };
                Bytes::from(random(rng, len))
            })
            .collect();
        let all = bufs.concat();
        let (result, back) = file.write_at(offset, bufs.clone()).await;
        assert_eq!(back, bufs, "a write gives its buffers back");
        if !writable {
            assert!(
                result.is_err() || all.is_empty(),
                "a write through a handle that only reads has worked"
            );
            return;
        }
        let n = ok("write_at", result);
        assert!(
            n <= all.len() && (n > 0 || all.is_empty()),
            "a write of {} bytes took {n}",
            all.len()
        );
        self.model.write(content, offset as usize, &all[..n]);
    }

    async fn read(&mut self, file: &dyn File, content: usize, rng: &mut Rng) {
        let want = self.model.content(content);
        let offset = rng.below(want.len() as u64 + 200) as usize;
        let len = rng.below(6000) as usize;
        let before = random(rng, 9);
        let buf = BytesMut::from(&before[..]);
        let (result, buf) = file.read_at(offset as u64, buf, len).await;
        let n = ok("read_at", result);
        let rest = want.get(offset..).unwrap_or(&[]);
        assert!(
            n <= len.min(rest.len()),
            "{n} bytes read of {len} at {offset} of {}",
            want.len()
        );
        assert!(
            n > 0 || len == 0 || rest.is_empty(),
            "0 bytes read at {offset} of {}",
            want.len()
        );
        assert_eq!(buf.len(), 9 + n, "the buffer grows by what was read");
        same("what was in the buffer", &buf[..9], &before);
        same(&format!("{len} bytes read at {offset}"), &buf[9..], &rest[..n]);
    }
}
