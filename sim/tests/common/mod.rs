//! Small helpers over streams and disks for the tests of the simulator.

#![allow(dead_code)] // each test binary uses its own part

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use ottla_io::{Disk, Env, File, Listener, OpenOptions, Stream};

/// A connection.
pub type Conn = Box<dyn Stream>;

pub async fn accept(listener: &mut Box<dyn Listener>) -> io::Result<Conn> {
    poll_fn(|cx| listener.poll_accept(cx)).await.map(|(conn, _)| conn)
}

pub async fn read(conn: &mut Conn) -> io::Result<Vec<u8>> {
    let mut buf = BytesMut::new();
    poll_fn(|cx| conn.poll_read(cx, &mut buf, 4096)).await?;
    Ok(buf.to_vec())
}

pub async fn write(conn: &mut Conn, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| conn.poll_write(cx, &[IoSlice::new(bytes)])).await
}

/// A connection from one node to another: the client's end and the server's.
pub async fn pair(client: &Env, server: &Env, name: &str) -> (Conn, Conn) {
    let mut listener = server.net.listen("", 0).await.unwrap();
    let port = listener.local_addr().port();
    let conn = client.net.connect(name, port).await.unwrap();
    (conn, accept(&mut listener).await.unwrap())
}

pub async fn create(env: &Env, path: &str) -> Arc<dyn File> {
    env.disk.open(Path::new(path), OpenOptions::Create).await.unwrap()
}

pub async fn put(disk: &dyn Disk, path: &str, bytes: &'static [u8]) -> io::Result<Arc<dyn File>> {
    let file = disk.open(Path::new(path), OpenOptions::Create).await?;
    ottla_io::write_all_at(&*file, 0, vec![Bytes::from_static(bytes)])
        .await
        .0?;
    Ok(file)
}

/// A list that several tasks add to.
pub type Seen<T> = Arc<Mutex<Vec<T>>>;

pub fn push<T>(seen: &Seen<T>, value: T) {
    seen.lock().unwrap().push(value);
}

pub fn taken<T>(seen: &Seen<T>) -> Vec<T> {
    std::mem::take(&mut *seen.lock().unwrap())
}
