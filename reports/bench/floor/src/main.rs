//! The least that a produce path can cost with a real client on a machine: this answers just enough of Kafka's protocol for one
//! idempotent producer of one topic, reads each batch whole, checks its CRC, patches its base offset, appends it to one file with one
//! system call, and acknowledges it. No validation of records, no index, no producer state, no bounds, no safety: not a broker, only
//! what a broker's figures are divided by.
//!
//! Usage: `floor PORT FILE`. It dies on anything that it doesn't expect.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The APIs served: key, lowest and highest version. All of them are from before the flexible versions.
const APIS: [(i16, i16, i16); 4] = [
    (PRODUCE, 3, 3),
    (METADATA, 1, 1),
    (API_VERSIONS, 0, 0),
    (INIT_PRODUCER_ID, 0, 0),
];
const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;
const UNSUPPORTED_VERSION: i16 = 35;

/// Where a batch's fields lie.
const CRC: usize = 17;
const CRC_COVERS_FROM: usize = 21;
const RECORD_COUNT: usize = 57;

static PORT: LazyLock<u16> = LazyLock::new(|| argument(1).parse().expect("PORT is a number"));

fn argument(n: usize) -> String {
    std::env::args().nth(n).expect("usage: floor PORT FILE")
}

/// One partition: its file, how long it is, how many records it has.
struct Log {
    file: File,
    size: AtomicU64,
    records: AtomicU64,
}

impl Log {
    /// Appends a batch; its base offset is the result.
    fn append(&self, batch: &mut [u8]) -> i64 {
        let crc = u32::from_be_bytes(batch[CRC..][..4].try_into().unwrap());
        assert_eq!(crc32c::crc32c(&batch[CRC_COVERS_FROM..]), crc, "a batch's CRC");
        let count = i32::from_be_bytes(batch[RECORD_COUNT..][..4].try_into().unwrap());
        let base = self.records.fetch_add(count as u64, SeqCst);
        batch[..8].copy_from_slice(&base.to_be_bytes());
        let at = self.size.fetch_add(batch.len() as u64, SeqCst);
        self.file.write_all_at(batch, at).expect("append");
        base as i64
    }
}

/// Reads a request from front to back.
struct Input<'a>(&'a mut [u8], usize);

impl Input<'_> {
    fn bytes(&mut self, n: usize) -> &mut [u8] {
        self.1 += n;
        &mut self.0[self.1 - n..self.1]
    }
    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }
    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }
    fn string(&mut self) -> Vec<u8> {
        let length = self.i16().max(0) as usize;
        self.bytes(length).to_vec()
    }
}

/// Writes an answer.
struct Output(Vec<u8>);

impl Output {
    fn i16s(&mut self, values: &[i16]) {
        values.iter().for_each(|v| self.0.extend(v.to_be_bytes()));
    }
    fn i32s(&mut self, values: &[i32]) {
        values.iter().for_each(|v| self.0.extend(v.to_be_bytes()));
    }
    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }
    fn string(&mut self, value: &[u8]) {
        self.i16s(&[value.len() as i16]);
        self.0.extend(value);
    }
}

fn answer(log: &Log, frame: &mut [u8]) -> Vec<u8> {
    let mut request = Input(frame, 0);
    let (api, version, correlation) = (request.i16(), request.i16(), request.i32());
    request.string(); // the client's id
    let mut out = Output(Vec::with_capacity(128));
    out.i32s(&[0, correlation]);
    match api {
        API_VERSIONS => {
            out.i16s(&[if version > 0 { UNSUPPORTED_VERSION } else { 0 }]);
            out.i32s(&[APIS.len() as i32]);
            APIS.iter()
                .for_each(|(key, low, high)| out.i16s(&[*key, *low, *high]));
        }
        METADATA => metadata(&mut request, &mut out),
        INIT_PRODUCER_ID => {
            out.i32s(&[0]); // throttle
            out.i16s(&[0]); // error
            out.i64(7); // producer id
            out.i16s(&[0]); // epoch
        }
        PRODUCE => produce(log, &mut request, &mut out),
        other => panic!("API {other} was not announced"),
    }
    let length = out.0.len() as i32 - 4;
    out.0[..4].copy_from_slice(&length.to_be_bytes());
    out.0
}

/// One broker, and every topic asked for, with one partition.
fn metadata(request: &mut Input<'_>, out: &mut Output) {
    out.i32s(&[1, 1]); // one broker, its id
    out.string(b"127.0.0.1");
    out.i32s(&[i32::from(*PORT)]);
    out.i16s(&[-1]); // no rack
    out.i32s(&[1]); // the controller
    let count = request.i32().max(0);
    out.i32s(&[count]);
    for _ in 0..count {
        out.i16s(&[0]);
        out.string(&request.string());
        out.0.push(0); // not internal
        out.i32s(&[1]); // one partition:
        out.i16s(&[0]);
        out.i32s(&[0, 1, 1, 1, 1, 1]); // its index, leader, one replica and one in sync
    }
}

fn produce(log: &Log, request: &mut Input<'_>, out: &mut Output) {
    request.string(); // transactional id
    request.i16(); // acks
    request.i32(); // timeout
    let topics = request.i32();
    out.i32s(&[topics]);
    for _ in 0..topics {
        out.string(&request.string());
        let partitions = request.i32();
        out.i32s(&[partitions]);
        for _ in 0..partitions {
            let (index, size) = (request.i32(), request.i32());
            let base = log.append(request.bytes(size as usize));
            out.i32s(&[index]);
            out.i16s(&[0]);
            out.i64(base);
            out.i64(-1); // no log append time
        }
    }
    out.i32s(&[0]); // throttle
}

async fn serve(mut socket: TcpStream, log: Arc<Log>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut length, mut frame) = ([0; 4], Vec::new());
    loop {
        socket.read_exact(&mut length).await?;
        frame.resize(i32::from_be_bytes(length) as usize, 0);
        socket.read_exact(&mut frame).await?;
        socket.write_all(&answer(&log, &mut frame)).await?;
    }
}

fn main() {
    let file = File::create(argument(2)).expect("FILE can be created");
    let log = Arc::new(Log {
        file,
        size: 0.into(),
        records: 0.into(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", *PORT))
            .await
            .expect("PORT is free");
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, log.clone()));
        }
    });
}
