//! `ottla log dump`: prints the batches of segment files, and their records on request, and says whether all of it is sound.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{Env, NoObserver, OpenOptions, read_exact_at};
use ottla_os::{Runtime, RuntimeOptions, SocketOptions};
use ottla_wire::records::{BatchRef, Batches, Decompressor, Limits};

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Print segment files (.log) batch by batch; fails if one is damaged.
    Dump {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print records too.
        #[arg(long)]
        records: bool,
    },
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<(), String> {
    let Command::Dump { files, records } = command;
    let runtime = Runtime::new(RuntimeOptions::default()).map_err(|e| e.to_string())?;
    let env = ottla_os::env(&runtime, SocketOptions::default(), Arc::new(NoObserver));
    runtime.block_on(async {
        for file in files {
            println!("{}", file.display());
            let bytes = read(&env, file).await?;
            dump(&bytes, *records).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        Ok(())
    })
}

async fn read(env: &Env, path: &Path) -> Result<BytesMut, String> {
    let file = env.disk.open(path, OpenOptions::Read).await.map_err(|e| e.to_string())?;
    let len = file.len().await.map_err(|e| e.to_string())?;
    let len = usize::try_from(len).map_err(|e| e.to_string())?;
    let (read, bytes) = read_exact_at(file.as_ref(), 0, BytesMut::new(), len).await;
    read.map(|_| bytes).map_err(|e| e.to_string())
}

fn dump(bytes: &[u8], records: bool) -> Result<(), String> {
    let mut scratch = Decompressor::new(Limits::default());
    let mut batches = Batches::new(bytes);
    let mut count = 0u64;
    loop {
        let position = batches.position();
        let Some(batch) = batches.next() else { break };
        let damaged = |e: &dyn std::fmt::Display| format!("damaged at byte {position}: {e}");
        let batch = batch.map_err(|e| damaged(&e))?;
        batch.verify_crc().map_err(|e| damaged(&e))?;
        print_batch(&batch, position);
        if records {
            print_records(&batch, &mut scratch).map_err(|e| damaged(&e))?;
        }
        count += 1;
    }
    println!("{count} batches, {} bytes, sound", bytes.len());
    Ok(())
}

fn print_batch(batch: &BatchRef<'_>, position: usize) {
    let h = batch.header();
    println!(
        "offset {}..={} position {position} size {} records {} epoch {} codec {} time {}{}{}{}",
        h.base_offset,
        h.last_offset(),
        batch.size_in_bytes(),
        h.record_count,
        h.partition_leader_epoch,
        h.attributes.codec().map_or("unknown", |codec| codec.name()),
        h.max_timestamp,
        if h.producer_id >= 0 {
            format!(" producer {} epoch {} sequence {}", h.producer_id, h.producer_epoch, h.base_sequence)
        } else {
            String::new()
        },
        if h.attributes.is_transactional() { " transactional" } else { "" },
        if h.attributes.is_control() { " control" } else { "" },
    );
}

fn print_records(batch: &BatchRef<'_>, scratch: &mut Decompressor) -> Result<(), String> {
    let h = *batch.header();
    let mut records = batch.records_with(scratch).map_err(|e| e.to_string())?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|e| e.to_string())?;
        let show = |bytes: Option<&[u8]>| bytes.map_or("null".to_string(), |b| format!("\"{}\"", b.escape_ascii()));
        println!(
            "  offset {} time {} key {} value {}",
            h.base_offset + i64::from(record.offset_delta),
            h.base_timestamp + record.timestamp_delta,
            show(record.key),
            show(record.value)
        );
    }
    Ok(())
}
