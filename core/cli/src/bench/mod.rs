//! `ottla bench`: how fast a cluster takes and gives records, as this machine sees it (Kafka's `kafka-producer-perf-test` and
//! `kafka-consumer-perf-test`).
//!
//! `produce`, `consume`: the two directions; `meter`: counting, the line each second, the result; `histogram`: latencies.

mod consume;
mod histogram;
mod meter;
mod produce;

use std::process::ExitCode;
use std::time::Duration;

use ottla_io::Mono;

use crate::output::{Format, Printer};
use crate::values::duration;

use self::meter::Meter;

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Send records of random letters, and measure how long each takes from sending (or when it was due, with --rate) to its
    /// acknowledgement.
    Produce(produce::Args),
    /// Read records, and with `--from end` measure how long each took from its timestamp to here.
    Consume(consume::Args),
}

/// When to stop, and how to tell.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Stop after so many records.
    #[arg(short, long, visible_alias = "num-records", value_name = "N")]
    count: Option<u64>,
    /// Stop after this time; 10s if no --count is given either.
    #[arg(short, long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// No line each second.
    #[arg(short, long)]
    quiet: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

impl Common {
    fn records(&self) -> u64 {
        self.count.unwrap_or(u64::MAX)
    }

    fn deadline(&self, begun: Mono) -> Mono {
        let default = Duration::from_secs(if self.count.is_some() { 365 * 86_400 } else { 10 });
        begun.after(self.duration.unwrap_or(default))
    }

    /// Prints the result.
    fn report(&self, meter: &Meter) -> Result<(), String> {
        let mut printer = Printer::stdout(self.output);
        printer.item(|| meter.text(), || meter.json());
        printer.finish()
    }
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<ExitCode, String> {
    match command {
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
    }
}
