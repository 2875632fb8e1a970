//! `ottla log dump`: prints the files of a log, and says whether they are sound (Kafka's `kafka-dump-log`).
//!
//! `segment`: batches and records; `index`: the three indexes, against the segment beside them; `small`: producer snapshots,
//! checkpoints, `partition.metadata`; `window`: reading large files piecewise. The formats are `ottla_log`'s and `ottla_wire`'s.

mod index;
mod segment;
mod small;
#[cfg(test)]
mod tests;
mod window;

use std::path::{Path, PathBuf};

use ottla_io::Env;
use ottla_log::format::file_name::{FileKind, FileName};
use serde_json::{Value, json};

use crate::context;
use crate::log_care;
use crate::output::{Format, Printer};

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the files of a log and check them; fails if one is damaged.
    Dump(Args),
    /// Say what is wrong with the logs of a directory, and what could be kept; fails if something is. Changes nothing.
    Check(log_care::Check),
    /// Make a directory servable that a node refused, and say exactly what is lost.
    Repair(log_care::Repair),
}

/// What to print.
#[derive(clap::Args)]
pub struct Args {
    /// Segments (.log), indexes (.index, .timeindex, .txnindex), producer snapshots (.snapshot), snapshots of the metadata
    /// (.checkpoint), and the checkpoint files of partitions and directories.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print and check the records of each batch, not only the batch.
    #[arg(long)]
    records: bool,
    /// Print records of __cluster_metadata decoded. Done by itself for .checkpoint files and in that partition's folder.
    #[arg(long)]
    metadata: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<(), String> {
    let args = match command {
        Command::Dump(args) => args,
        Command::Check(args) => return log_care::check(args),
        Command::Repair(args) => return log_care::repair(args),
    };
    let mut printer = Printer::stdout(args.output);
    let (damages, unreadable) = context::run(async |env| {
        let (mut damages, mut unreadable) = (0, Vec::new());
        for path in &args.files {
            let mut report = Report::new(path, &mut printer);
            // What is wrong with one file is no reason to keep silent about the next.
            let result = dump(env, path, args.records, args.metadata, &mut report).await;
            damages += report.damages;
            unreadable.extend(result.err());
        }
        Ok((damages, unreadable))
    })?;
    printer.finish()?;
    let mut errors = unreadable;
    if damages > 0 {
        errors.push(format!(
            "damage found, {damages} in all. `ottla log check` says of a whole directory what could be kept, `ottla log repair` \
             keeps it. A start of the node cuts what was never flushed at the first damaged batch; with the node stopped, \
             removing a damaged index or snapshot makes it build a new one"
        ));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("\n"))
    }
}

/// Where a file's findings go.
pub struct Report<'p, 'o> {
    printer: &'p mut Printer<'o>,
    file: String,
    /// How many damages were found.
    pub damages: u64,
}

impl<'p, 'o> Report<'p, 'o> {
    /// A report about the file at `path`.
    pub fn new(path: &Path, printer: &'p mut Printer<'o>) -> Self {
        let file = path.display().to_string();
        printer.item(|| file.clone(), || json!({"kind": "file", "file": file}));
        Report {
            printer,
            file,
            damages: 0,
        }
    }

    /// Something that the file holds.
    pub fn item(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        self.printer.item(|| format!("  {}", text()), json);
    }

    /// Something that is wrong with it.
    pub fn damage(&mut self, what: String) {
        self.damages += 1;
        let file = &self.file;
        self.printer.item(
            || format!("  DAMAGED: {what}"),
            || json!({"kind": "damage", "file": file, "damage": what}),
        );
    }

    /// The end of a file: what it held, and whether it is sound.
    pub fn end(&mut self, held: &str) {
        let (file, damages) = (&self.file, self.damages);
        let verdict = if damages == 0 { "sound" } else { "damaged" };
        self.printer.item(
            || format!("  {held}, {verdict}"),
            || json!({"kind": "end", "file": file, "holds": held, "damages": damages}),
        );
    }

    /// Whether somebody still reads.
    pub fn is_open(&self) -> bool {
        self.printer.is_open()
    }
}

/// Prints one file.
pub async fn dump(
    env: &Env,
    path: &Path,
    records: bool,
    metadata: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), String> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let folder = path
        .parent()
        .and_then(|dir| dir.file_name())
        .and_then(|name| name.to_str());
    let depth = match (
        records,
        metadata || folder.is_some_and(|name| name.starts_with("__cluster_metadata-")),
    ) {
        (_, true) => segment::Depth::Metadata,
        (true, false) => segment::Depth::Records,
        (false, false) => segment::Depth::Batches,
    };
    match FileName::parse(name) {
        Some(FileName {
            kind: FileKind::Log,
            offset,
            ..
        }) => segment::dump(env, path, Some(offset), depth, report).await,
        Some(FileName {
            kind: FileKind::Index,
            offset,
            ..
        }) => index::offsets(env, path, offset, report).await,
        Some(FileName {
            kind: FileKind::TimeIndex,
            offset,
            ..
        }) => index::times(env, path, offset, report).await,
        Some(FileName {
            kind: FileKind::TxnIndex,
            offset,
            ..
        }) => index::transactions(env, path, offset, report).await,
        Some(FileName {
            kind: FileKind::Snapshot,
            offset,
            ..
        }) => small::producers(env, path, offset, report).await,
        None if name.ends_with(".checkpoint") => {
            segment::dump(env, path, None, segment::Depth::Metadata, report).await
        }
        None => small::text(env, path, name, report).await,
    }
}
