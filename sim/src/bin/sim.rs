//! `sim`: runs a scenario under a plan or a seed and tells the story.

use std::process::ExitCode;

use ottla_sim::campaign::campaign;
use ottla_sim::scenario::{self, Scenario};
use ottla_sim::{Plan, Report};

const HELP: &str = "\
Usage:
  sim list                                        what can be tried
  sim plan SCENARIO --seed N                      prints the plan of a seed
  sim run  SCENARIO [--seed N | --plan FILE]      runs it and prints its trace
  sim many SCENARIO [--from N] --count N          runs many seeds, prints the failing ones and what was counted
";

fn main() -> ExitCode {
    if cfg!(panic = "abort") {
        eprintln!(
            "built with panic=abort: the first panic of a node ends everything; use a profile that unwinds"
        );
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    match command(&args) {
        Ok(passed) if passed => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn command(args: &[String]) -> Result<bool, String> {
    match args.first().map(String::as_str) {
        Some("list") => {
            for s in scenario::all() {
                println!("{:<12} {}", s.name, s.about);
            }
            Ok(true)
        }
        Some("plan") => {
            let plan = named(args)?.draw(number(args, "--seed")?.unwrap_or(1));
            print!("{}", plan.to_toml().map_err(|e| e.to_string())?);
            Ok(true)
        }
        Some("run") => {
            let scenario = named(args)?;
            let plan = match option(args, "--plan") {
                Some(file) => read_plan(file)?,
                None => scenario.draw(number(args, "--seed")?.unwrap_or(1)),
            };
            Ok(tell(&scenario.run(&plan)))
        }
        Some("many") => {
            let from = number(args, "--from")?.unwrap_or(1);
            let count = number(args, "--count")?.ok_or("how many? --count N")?;
            Ok(many(&named(args)?, from, count))
        }
        Some(other) => Err(format!("`{other}` is not a command")),
        None => Err("what is to be done?".into()),
    }
}

fn named(args: &[String]) -> Result<Scenario, String> {
    let name = args
        .get(1)
        .filter(|a| !a.starts_with("--"))
        .ok_or("which scenario? `sim list` names them")?;
    scenario::find(name).ok_or_else(|| format!("there is no scenario `{name}`; `sim list` names them"))
}

fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| a == name)?;
    args.get(at + 1).map(String::as_str)
}

fn number(args: &[String], name: &str) -> Result<Option<u64>, String> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| format!("{name}: `{text}` is not a number"))
    };
    option(args, name).map(parse).transpose()
}

#[allow(clippy::disallowed_methods)] // a tool's own input, outside of every world
fn read_plan(file: &str) -> Result<Plan, String> {
    let text = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    Plan::parse(&String::from_utf8_lossy(&text)).map_err(|e| format!("{file}: {e}"))
}

fn tell(report: &Report) -> bool {
    for line in &report.trace {
        println!("{line}");
    }
    println!(
        "\nseed {}, {:?} of virtual time, trace {:016x}",
        report.seed, report.elapsed, report.hash
    );
    for (what, count) in &report.counters {
        println!("  {what:<28} {count}");
    }
    for violation in &report.violations {
        println!("VIOLATION {violation}");
    }
    report.violations.is_empty()
}

fn many(scenario: &Scenario, from: u64, count: u64) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let summary = campaign(scenario, from..from.saturating_add(count), threads);
    for (seed, violation) in &summary.failed {
        println!("seed {seed}: {violation}");
    }
    println!(
        "{} seeds, {} failed, {:?} of virtual time",
        summary.runs,
        summary.failed.len(),
        summary.elapsed
    );
    for (what, n) in &summary.counters {
        println!("  {what:<28} {n}");
    }
    summary.failed.is_empty()
}
