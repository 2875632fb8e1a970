//! What the suites can't ask for: files that are not in memory, files of another back end behind a stream, and the reasons that
//! the system gives.
#![allow(
    clippy::disallowed_methods,
    reason = "tests of the crate that holds the real effects"
)]
#![allow(unsafe_code, reason = "posix_fadvise(2), to make a file cold")]

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_io::{
    Env, File, FileId, NoObserver, Op, OpenOptions, ReadResult, Rng, Stream, WriteResult, read_exact_at,
};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions, env};

const SIZE: usize = 3 << 20;

fn world() -> (Runtime, Env) {
    let runtime = Runtime::new(RuntimeOptions {
        workers: 2,
        blocking: 4,
    })
    .unwrap();
    let env = env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    (runtime, env)
}

/// A file that is on the disk and, where the system follows the advice, no longer in memory.
fn cold_file(name: &str) -> (PathBuf, Vec<u8>) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut bytes = vec![0; SIZE];
    Rng::from_number(1, name).fill(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    let done = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(done, 0);
    (path, bytes)
}

#[test]
fn cold_reads_give_the_same_bytes() {
    let (runtime, env) = world();
    let (path, bytes) = cold_file("cold-read");
    runtime.block_on(async {
        let file = env.disk.open(&path, OpenOptions::Read).await.unwrap();
        let (result, buf) = read_exact_at(&*file, 12_345, BytesMut::new(), SIZE).await;
        assert_eq!(result.unwrap(), SIZE - 12_345);
        assert!(buf[..] == bytes[12_345..]);
        // Now that range is in memory, so nothing waits.
        let Ok((result, buf)) = file.read_at(20_000, BytesMut::new(), 100).into_ready() else {
            panic!("a cached read must be ready at once")
        };
        assert_eq!((result.unwrap(), &buf[..]), (100, &bytes[20_000..20_100]));
    });
    std::fs::remove_file(path).unwrap();
}

/// Sends the whole file over a connection and gives what arrives.
async fn over_the_wire(env: &Env, file: Arc<dyn File>) -> Vec<u8> {
    let mut listener = env.net.listen("127.0.0.1", 0).await.unwrap();
    let mut to = env
        .net
        .connect("127.0.0.1", listener.local_addr().port())
        .await
        .unwrap();
    let (mut from, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    let sender = env.tasks.spawn(
        "sender",
        Box::pin(async move {
            let mut done = 0;
            while done < SIZE {
                let n = send(&mut *to, &*file, done).await.unwrap();
                assert_ne!(n, 0);
                done += n;
            }
        }),
    );
    let mut got = BytesMut::new();
    while poll_fn(|cx| from.poll_read(cx, &mut got, 1 << 20)).await.unwrap() > 0 {}
    assert_eq!(sender.join().await, ottla_io::Outcome::Done);
    got.into()
}

async fn send(to: &mut dyn Stream, file: &dyn File, done: usize) -> io::Result<usize> {
    poll_fn(|cx| to.poll_send_file(cx, file, done as u64, SIZE - done)).await
}

#[test]
fn cold_files_are_sent_whole() {
    let (runtime, env) = world();
    let (path, bytes) = cold_file("cold-send");
    runtime.block_on(async {
        let file = env.disk.open(&path, OpenOptions::Read).await.unwrap();
        assert!(over_the_wire(&env, file).await == bytes);
    });
    std::fs::remove_file(path).unwrap();
}

/// A file whose handle the stream doesn't know.
struct Foreign(Arc<dyn File>);

impl File for Foreign {
    fn read_at(&self, offset: u64, buf: BytesMut, len: usize) -> Op<ReadResult> {
        self.0.read_at(offset, buf, len)
    }
    fn write_at(&self, offset: u64, bufs: Vec<Bytes>) -> Op<WriteResult> {
        self.0.write_at(offset, bufs)
    }
    fn len(&self) -> Op<io::Result<u64>> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> Op<io::Result<()>> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Op<io::Result<()>> {
        self.0.sync_data()
    }
    fn id(&self) -> FileId {
        self.0.id()
    }
    fn handle(&self) -> &dyn Any {
        &()
    }
}

#[test]
fn files_of_another_back_end_are_copied() {
    let (runtime, env) = world();
    let (path, bytes) = cold_file("foreign");
    runtime.block_on(async {
        let file = env.disk.open(&path, OpenOptions::Read).await.unwrap();
        let foreign = Arc::new(Foreign(file));
        assert!(over_the_wire(&env, foreign.clone()).await == bytes);

        let mut listener = env.net.listen("127.0.0.1", 0).await.unwrap();
        let mut to = env
            .net
            .connect("127.0.0.1", listener.local_addr().port())
            .await
            .unwrap();
        poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(send(&mut *to, &*foreign, SIZE - 1).await.unwrap(), 1);
        let end = poll_fn(|cx| to.poll_send_file(cx, &*foreign, SIZE as u64, 10)).await;
        assert_eq!(end.unwrap(), 0, "the file ends there");
    });
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_full_disk_is_told_apart() {
    let (runtime, env) = world();
    runtime.block_on(async {
        let full = env
            .disk
            .open(Path::new("/dev/full"), OpenOptions::Write)
            .await
            .unwrap();
        let (result, _) = full.write_at(0, vec![Bytes::from_static(b"x")]).await;
        let e = result.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
        assert!(e.to_string().contains("/dev/full"), "{e}");
    });
}

#[test]
fn addresses_are_told() {
    let (runtime, env) = world();
    runtime.block_on(async {
        let mut listener = env.net.listen("", 0).await.unwrap();
        let port = listener.local_addr().port();
        let to = env.net.connect("127.0.0.1", port).await.unwrap();
        let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(
            peer.ip(),
            to.peer_addr().ip(),
            "an IPv4 peer of a listener on every address"
        );
        drop((listener, to));
        let Err(e) = env.net.connect("127.0.0.1", port).await else {
            panic!("nobody listens")
        };
        assert!(e.to_string().contains(&format!("127.0.0.1:{port}")), "{e}");
        let Err(e) = env.net.connect("no-such-host.invalid", 1).await else {
            panic!("no such name")
        };
        assert!(e.to_string().contains("no-such-host.invalid"), "{e}");
    });
}
