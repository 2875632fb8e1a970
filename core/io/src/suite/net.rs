//! What a network owes: bytes arrive once and in order, each direction ends by itself, a full window makes the writer wait,
//! a reset is not an end, and errors have the kinds that callers tell apart.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::pipe::*;
use super::{both, fails, ok, soon};
use crate::{Disk, Env, File, Listener, OpenOptions, Outcome, Rng, write_all_at};

/// Everything in this file. `host` is a name or address of the caller's own node; `root` is an existing, empty directory of its disk.
pub async fn all(env: &Env, host: &str, root: &Path, rng: &mut Rng) {
    soon(env, "in_order", in_order(env, host, rng)).await;
    soon(env, "duplex", duplex(env, host, rng)).await;
    soon(env, "between_tasks", between_tasks(env, host, rng)).await;
    soon(env, "half_close", half_close(env, host, rng)).await;
    soon(env, "back_pressure", back_pressure(env, host, rng)).await;
    soon(env, "reset", reset(env, host)).await;
    soon(env, "gone_peer", gone_peer(env, host)).await;
    soon(env, "ports", ports(env, host)).await;
    soon(env, "sends_files", sends_files(env, host, root, rng)).await;
}

/// Random bytes in random chunks in both directions at once arrive as they were sent, from one task.
pub async fn in_order(env: &Env, host: &str, rng: &mut Rng) {
    for _ in 0..3 {
        let (mut a, mut b) = pair(env, host).await;
        let (len_a, len_b) = (rng.below(300_000) as usize, rng.below(30_000) as usize);
        let (from_a, from_b) = (random(rng, len_a), random(rng, len_b));
        let mut own = [
            Rng::from_number(rng.next_u64(), "a"),
            Rng::from_number(rng.next_u64(), "b"),
        ];
        let [rng_a, rng_b] = &mut own;
        let ((), (at_b, ())) = both(
            async {
                write_all(&mut a, &from_a, rng_a).await;
                shutdown(&mut a).await;
                same("from b to a", &read_to_end(&mut a, rng_a).await, &from_b);
            },
            async {
                let got = read_to_end(&mut b, rng_b).await;
                (got, {
                    write_all(&mut b, &from_b, rng_b).await;
                    shutdown(&mut b).await;
                })
            },
        )
        .await;
        same("from a to b", &at_b, &from_a);
    }
}

/// Both ends send more than fits on the way before they are done reading: each waits to read and to write at the same time, from
/// one task, and neither wait may lose the other's wake-up.
pub async fn duplex(env: &Env, host: &str, rng: &mut Rng) {
    let (mut a, mut b) = pair(env, host).await;
    let (len_a, len_b) = (
        rng.between(4 << 20, 12 << 20) as usize,
        rng.between(4 << 20, 12 << 20) as usize,
    );
    let (from_a, from_b) = (random(rng, len_a), random(rng, len_b));
    let (at_a, at_b) = both(exchange(&mut a, &from_a), exchange(&mut b, &from_b)).await;
    same("from b to a", &at_a, &from_b);
    same("from a to b", &at_b, &from_a);
}

/// The two ends in two tasks, and several connections through one listener: nothing mixes.
pub async fn between_tasks(env: &Env, host: &str, rng: &mut Rng) {
    let mut listener = listen(env, host).await;
    let port = listener.local_addr().port();
    let count = rng.between(2, 8);
    let seed = rng.next_u64();
    let (env2, host2) = (env.clone(), host.to_owned());
    let clients = env.tasks.spawn(
        "clients",
        Box::pin(async move {
            let mut tasks = Vec::new();
            for i in 0..count {
                let mut conn = ok("connect", env2.net.connect(&host2, port).await);
                tasks.push(env2.tasks.spawn(
                    "client",
                    Box::pin(async move {
                        let mut rng = Rng::from_number(seed, &format!("client {i}"));
                        let len = rng.below(100_000) as usize;
                        let bytes = random(&mut rng, len);
                        write_all(&mut conn, &i.to_be_bytes(), &mut rng).await;
                        write_all(&mut conn, &bytes, &mut rng).await;
                        shutdown(&mut conn).await;
                        same("the echo", &read_to_end(&mut conn, &mut rng).await, &bytes);
                    }),
                ));
            }
            for task in tasks {
                assert_eq!(task.join().await, Outcome::Done);
            }
        }),
    );
    for _ in 0..count {
        let (mut conn, _) = accept(&mut listener).await;
        let mut rng = Rng::from_number(rng.next_u64(), "server");
        env.tasks.spawn(
            "server",
            Box::pin(async move {
                let id = u64::from_be_bytes(read_exact(&mut conn, 8).await.try_into().expect("8 bytes"));
                let mut want = Rng::from_number(seed, &format!("client {id}"));
                let len = want.below(100_000) as usize;
                let bytes = read_to_end(&mut conn, &mut rng).await;
                same("the client's bytes", &bytes, &random(&mut want, len));
                write_all(&mut conn, &bytes, &mut rng).await;
                shutdown(&mut conn).await;
            }),
        );
    }
    assert_eq!(clients.join().await, Outcome::Done, "the clients' tasks");
}

/// After one side has ended its direction the peer reads 0, again and again, and the other direction still works.
pub async fn half_close(env: &Env, host: &str, rng: &mut Rng) {
    let (mut a, mut b) = pair(env, host).await;
    write_plain(&mut a, b"last words").await;
    shutdown(&mut a).await;
    same("before the end", &read_exact(&mut b, 10).await, b"last words");
    for _ in 0..3 {
        ended(&mut b, "after the peer has finished").await;
    }
    let bytes = random(rng, 50_000);
    both(write_all(&mut b, &bytes, &mut rng.clone()), async {
        same(
            "the direction that is open",
            &read_exact(&mut a, bytes.len()).await,
            &bytes,
        );
    })
    .await;
    let after_end = write(&mut a, &[IoSlice::new(b"x")]).await;
    fails("a write after one's own end", after_end, ErrorKind::BrokenPipe);
    drop(b);
    ended(&mut a, "after the peer's orderly drop").await;
}

/// A writer whose peer doesn't read has to wait before 256 MiB are under way, and goes on when the peer reads.
pub async fn back_pressure(env: &Env, host: &str, rng: &mut Rng) {
    const TOO_MUCH: usize = 256 << 20;
    let (mut a, mut b) = pair(env, host).await;
    let chunk = random(rng, 251 * 1024);
    let (mut sent, mut waits) = (0, 0);
    // An executor may make a task wait once in a while for fairness, so only a wait that stays one counts.
    while waits < 5 {
        assert!(
            sent < TOO_MUCH,
            "{sent} bytes are under way to a peer that does not read"
        );
        match try_write(&mut a, &chunk[sent % chunk.len()..]).await {
            Some(result) => (sent, waits) = (sent + ok("write", result), 0),
            None => {
                waits += 1;
                env.clock.sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert!(sent > 0, "nothing fits on the way to the peer");
    let total = sent + 3 * chunk.len();
    let reader_rng = &mut Rng::from_number(rng.next_u64(), "reader");
    let ((), got) = both(
        async {
            while sent < total {
                let start = sent % chunk.len();
                let end = chunk.len().min(start + total - sent);
                sent += ok("write", write(&mut a, &[IoSlice::new(&chunk[start..end])]).await);
            }
            shutdown(&mut a).await;
        },
        read_to_end(&mut b, reader_rng),
    )
    .await;
    assert_eq!(got.len(), total, "bytes after the wait");
    for piece in got.chunks(chunk.len()) {
        same("a chunk after the wait", piece, &chunk[..piece.len()]);
    }
}

/// An aborted connection ends with an error at the peer, never with an end, whatever was sent before.
pub async fn reset(env: &Env, host: &str) {
    for words in [&b""[..], b"half a frame"] {
        let (mut a, mut b) = pair(env, host).await;
        if !words.is_empty() {
            write_plain(&mut b, words).await;
        }
        b.abort();
        drop(b);
        let mut got = 0;
        let error = loop {
            match read(&mut a, &mut BytesMut::new(), 64).await {
                Ok(0) => panic!("an aborted connection ended orderly after {got} bytes"),
                Ok(n) => got += n,
                Err(e) => break e,
            }
        };
        assert!(got <= words.len(), "{got} bytes came, {} were sent", words.len());
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionReset,
            "an aborted connection: {error}"
        );
    }
}

/// Writing to a peer that is gone fails soon.
pub async fn gone_peer(env: &Env, host: &str) {
    let (mut a, mut b) = pair(env, host).await;
    b.abort();
    drop(b);
    for _ in 0..1000 {
        match write(&mut a, &[IoSlice::new(&[0; 1000])]).await {
            Ok(_) => env.clock.sleep(Duration::from_millis(1)).await,
            Err(e) => {
                let known = [
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                    ErrorKind::ConnectionAborted,
                ];
                assert!(
                    known.contains(&e.kind()),
                    "a write to a peer that is gone: {:?}: {e}",
                    e.kind()
                );
                return;
            }
        }
    }
    panic!("1000 writes to a peer that is gone have worked");
}

/// Nobody listens: refused. Somebody listens: the port is taken. Free again at once after the listener is gone, even if
/// connections through it are still closing.
pub async fn ports(env: &Env, host: &str) {
    // The system may give the port to somebody else in between, so one refusal of a few tries is enough.
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let port = listen(env, host).await.local_addr().port();
        match env.net.connect(host, port).await {
            Err(e) => kinds.push(e.kind()),
            Ok(_) => continue,
        }
        break;
    }
    assert_eq!(
        kinds,
        [ErrorKind::ConnectionRefused],
        "a connection to a port on which nobody listens"
    );

    let mut listener = listen(env, host).await;
    let port = listener.local_addr().port();
    let second = env.net.listen(host, port).await;
    fails("a second listener on one port", second, ErrorKind::AddrInUse);
    let other = listen(env, host).await;
    assert_ne!(
        other.local_addr().port(),
        port,
        "two listeners on port 0 get two ports"
    );
    let (client, (server, _)) = both(env.net.connect(host, port), accept(&mut listener)).await;
    drop((listener, server, client));
    let again: Box<dyn Listener> = ok("listen on the port again", env.net.listen(host, port).await);
    assert_eq!(again.local_addr().port(), port);
}

async fn filled(env: &Env, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let disk: &dyn Disk = &*env.disk;
    let file = ok("create", disk.open(path, OpenOptions::Create).await);
    let (result, _) = write_all_at(&*file, 0, vec![Bytes::copy_from_slice(bytes)]).await;
    ok("write the file", result);
    file
}

/// Ranges of a file sent by the stream equal the same ranges copied, between other bytes; beyond the file's end 0 are sent.
pub async fn sends_files(env: &Env, host: &str, root: &Path, rng: &mut Rng) {
    let path = root.join("sent");
    let size = rng.between(100_000, 900_000) as usize;
    let content = random(rng, size);
    drop(filled(env, &path, &content).await);
    let file = ok("open to read", env.disk.open(&path, OpenOptions::Read).await);
    let (mut a, mut b) = pair(env, host).await;
    let mut want = Vec::new();
    let mut plan = Vec::new();
    for _ in 0..6 {
        let header = random(rng, 16);
        let offset = rng.below(size as u64) as usize;
        let len = rng.below((size - offset) as u64 + 1) as usize;
        want.extend_from_slice(&header);
        want.extend_from_slice(&content[offset..offset + len]);
        plan.push((header, offset, len));
    }
    let own = &mut Rng::from_number(rng.next_u64(), "reader");
    let ((), got) = both(
        async {
            for (header, offset, len) in &plan {
                write_plain(&mut a, header).await;
                let mut done = 0;
                while done < *len {
                    let n = send_file(&mut a, &*file, (offset + done) as u64, len - done).await;
                    assert_ne!(n, 0, "the file does not end at {}", offset + done);
                    done += n;
                }
            }
            // A length that was a lie: what there is, then 0.
            let mut sent = 0;
            loop {
                match send_file(&mut a, &*file, (size - 10 + sent) as u64, 50 - sent).await {
                    0 => break,
                    n => sent += n,
                }
            }
            assert_eq!(sent, 10, "bytes sent across the file's end");
            assert_eq!(
                send_file(&mut a, &*file, size as u64 + 1000, 5).await,
                0,
                "bytes sent beyond the file's end"
            );
            shutdown(&mut a).await;
        },
        read_to_end(&mut b, own),
    )
    .await;
    want.extend_from_slice(&content[size - 10..]);
    same("headers and file ranges", &got, &want);
    ok("remove", env.disk.remove_file(&path).await);
}
