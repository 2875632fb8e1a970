//! `ottla log check` and `ottla log repair`: a log directory that a node refused. What is found and done is `ottla_store`'s; here
//! it is told.

use std::path::{Path, PathBuf};

use ottla_log::repair::{Lost, Plan};
use ottla_store::{DirectoryReport, PartitionReport};
use serde_json::{Value, json};

use crate::context;
use crate::output::{Format, Printer};

/// What to check.
#[derive(clap::Args)]
pub struct Check {
    /// A directory of log.dirs, or the folder of a partition in one.
    directory: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// What to repair.
#[derive(clap::Args)]
pub struct Repair {
    /// A directory of log.dirs, or the folder of a partition in one. No node may use it.
    directory: PathBuf,
    /// Give up what can't be kept. Without it nothing is changed; what would be lost is printed.
    #[arg(long)]
    accept_loss: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Says what is wrong.
pub fn check(args: &Check) -> Result<(), String> {
    let report = looked(&args.directory)?;
    let mut printer = Printer::stdout(args.output);
    print(&report, false, &mut printer);
    printer.finish()?;
    verdict(&report)
}

/// Repairs, if that was accepted.
pub fn repair(args: &Repair) -> Result<(), String> {
    let report = match args.accept_loss {
        false => looked(&args.directory)?,
        true => context::run(async |env| {
            let repaired = ottla_store::repair(env, &args.directory).await;
            repaired.map_err(|e| e.to_string())
        })?,
    };
    let mut printer = Printer::stdout(args.output);
    print(&report, args.accept_loss, &mut printer);
    printer.finish()?;
    match args.accept_loss {
        true => Ok(()),
        false => verdict(&report),
    }
}

fn looked(directory: &Path) -> Result<DirectoryReport, String> {
    context::run(async |env| {
        let report = ottla_store::check(env, directory).await;
        report.map_err(|e| e.to_string())
    })
}

/// What is to be done about damage, as an error.
fn verdict(report: &DirectoryReport) -> Result<(), String> {
    let damaged: Vec<&Plan> = report
        .damaged()
        .filter_map(|p| p.findings.plan.as_ref())
        .collect();
    if damaged.is_empty() {
        return Ok(());
    }
    let offsets: u64 = damaged.iter().map(|plan| plan.lost_offsets()).sum();
    let bytes: u64 = damaged.iter().map(|plan| plan.lost_bytes()).sum();
    let in_use = match &report.holder {
        Some(_) => " It is in use: stop the node first, what is being written looks damaged.",
        None => "",
    };
    Err(format!(
        "{} of {} logs in {} are damaged; nothing was changed.{in_use} If other replicas hold these partitions, move the damaged \
         folders away and let the node fetch them. Else `ottla log repair {} --accept-loss` gives up {offsets} offsets, {bytes} \
         bytes, keeps a copy of those bytes, and leaves all other records servable",
        damaged.len(),
        report.partitions.len(),
        report.path.display(),
        report.path.display()
    ))
}

fn print(report: &DirectoryReport, repaired: bool, printer: &mut Printer<'_>) {
    let path = report.path.display().to_string();
    if let Some(holder) = &report.holder {
        printer.item(
            || format!("{path} is in use ({holder})"),
            || json!({"kind": "in-use", "directory": path, "holder": holder}),
        );
    }
    for problem in &report.problems {
        tell_problem(&path, problem, printer);
    }
    for partition in &report.partitions {
        tell(partition, repaired, printer);
    }
    let (logs, damaged) = (report.partitions.len(), report.damaged().count());
    printer.item(
        || match (repaired, damaged) {
            (_, 0) => format!("{path}: {logs} logs, all sound"),
            (true, _) => format!("{path}: {logs} logs, {damaged} repaired: a node starts on it"),
            (false, _) => format!("{path}: {logs} logs, {damaged} damaged"),
        },
        || json!({"kind": "directory", "directory": path, "logs": logs, "damaged": damaged, "repaired": repaired}),
    );
}

fn tell_problem(of: &str, problem: &str, printer: &mut Printer<'_>) {
    printer.item(
        || format!("{of}: {problem}"),
        || json!({"kind": "problem", "of": of, "problem": problem}),
    );
}

fn tell(p: &PartitionReport, repaired: bool, printer: &mut Printer<'_>) {
    let name = p.partition.to_string();
    let plan = p.findings.plan.as_ref();
    let state = match (plan, repaired) {
        (None, _) => "sound",
        (Some(_), false) => "damaged",
        (Some(_), true) => "repaired",
    };
    let end = plan.map_or(p.end, |plan| plan.end);
    printer.item(
        || {
            format!(
                "{name}: {state}; offsets {} to {end}, {} records in {} batches, {} bytes in {} segments",
                p.start, p.records, p.batches, p.bytes, p.segments
            )
        },
        || {
            json!({
                "kind": "log", "topic": &*p.partition.topic, "partition": p.partition.partition, "state": state,
                "start": p.start, "end": end, "records": p.records, "batches": p.batches, "bytes": p.bytes,
                "segments": p.segments, "recovery_point": p.recovery_point, "unreadable_bytes": p.unreadable,
                "lost_offsets": plan.map_or(0, Plan::lost_offsets), "lost_bytes": plan.map_or(0, Plan::lost_bytes),
                "kept_in": p.kept_in.as_ref().map(|path| path.display().to_string()),
            })
        },
    );
    for lost in plan.into_iter().flat_map(|plan| &plan.lost) {
        printer.item(
            || format!("  lost: {}", show(lost)),
            || lost_json(&name, "lost", lost),
        );
    }
    for tail in &p.findings.tail {
        printer.item(
            || format!("  never flushed, a start cuts it off: {}", show(tail)),
            || lost_json(&name, "unflushed", tail),
        );
    }
    if p.unreadable > 0 {
        printer.item(
            || format!("  the disk could not read {} bytes: replace it", p.unreadable),
            || json!({"kind": "unreadable", "log": name, "bytes": p.unreadable}),
        );
    }
    for problem in &p.problems {
        tell_problem(&format!("  {name}"), problem, printer);
    }
    if let Some(kept_in) = &p.kept_in {
        printer.item(
            || format!("  the bytes that were given up are kept in {}", kept_in.display()),
            || json!({"kind": "kept", "log": name, "folder": kept_in.display().to_string()}),
        );
    }
}

fn show(lost: &Lost) -> String {
    let offsets = match (lost.next, lost.offsets()) {
        (None, _) => format!("offsets from {}", lost.first),
        (Some(_), 0) => "no offset".into(),
        (Some(_), 1) => format!("offset {}", lost.first),
        (Some(next), count) => format!("offsets {} to {} ({count})", lost.first, next - 1),
    };
    let place = match lost.bytes {
        0 => format!("at byte {}", lost.position),
        bytes => format!("bytes {} to {} ({bytes})", lost.position, lost.position + bytes),
    };
    format!("{offsets}, {:020}.log {place}: {}", lost.segment, lost.why)
}

fn lost_json(log: &str, kind: &str, lost: &Lost) -> Value {
    json!({
        "kind": kind, "log": log, "segment": lost.segment, "position": lost.position, "bytes": lost.bytes,
        "first": lost.first, "next": lost.next, "why": lost.why.to_string(),
    })
}
