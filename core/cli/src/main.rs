//! `ottla`: the one binary. Reads the command line and hands over; each command has its own file.
//!
//! `config`, `defaults`: what a node is configured with. `context`: threads and I/O for a command. `logging`: the log on stderr.
//! `connect`, `sending`, `values`, `output`: what commands share. `server`, `storage`, `log_dump`, `log_care`, `topic`, `group`,
//! `produce`, `consume`, `bench`, `connect_standalone`: the commands. Nothing here knows how a log or a protocol works.

mod bench;
mod config;
mod connect;
mod connect_standalone;
mod consume;
mod context;
mod defaults;
mod group;
mod log_care;
mod log_dump;
mod logging;
mod output;
mod produce;
mod sending;
mod server;
mod storage;
mod topic;
mod values;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::{Format, Printer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The release of Apache Kafka whose protocol, files and configuration this is compatible with.
const KAFKA: &str = "4.3.1";

/// A Kafka-compatible streaming platform in one binary.
#[derive(Parser)]
#[command(name = "ottla", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log: error, warn, info, debug or trace, also by module (`info,ottla_node=debug`). Default: the variable
    /// OTTLA_LOG, else `info`.
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node. Without a file: a single node on 127.0.0.1:9092 with its data in ./ottla-data, ready to use.
    Server(server::Args),
    /// Format data directories, make ids, say what directories hold.
    #[command(subcommand)]
    Storage(storage::Command),
    /// Create, list, describe, alter, delete topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// List, describe and delete consumer groups, reset their offsets.
    #[command(subcommand)]
    Group(group::Command),
    /// Send records from stdin to a topic.
    Produce(produce::Args),
    /// Print the records of a topic.
    Consume(consume::Args),
    /// Measure how fast a cluster takes and gives records.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Look into the files of logs, check and repair them.
    #[command(subcommand)]
    Log(log_dump::Command),
    /// Run connectors: lines of files into topics, records of topics into files (Kafka's connect-standalone.sh).
    ConnectStandalone(connect_standalone::Args),
    /// Print the version.
    Version {
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::to_stderr(cli.log_level.as_deref()) {
        return fail(&error, 2);
    }
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command {
        Command::Server(args) => server::run(&args).map(done),
        Command::Storage(command) => storage::run(&command).map(done),
        Command::Topic(command) => topic::run(&command),
        Command::Group(command) => group::run(&command),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Log(command) => log_dump::run(&command).map(done),
        Command::ConnectStandalone(args) => connect_standalone::run(&args),
        Command::Version { output } => version(output).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &str, code: u8) -> ExitCode {
    for line in error.lines() {
        eprintln!("ottla: {line}");
    }
    ExitCode::from(code)
}

fn version(format: Format) -> Result<(), String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut printer = Printer::stdout(format);
    let json = || serde_json::json!({"version": version, "kafka": KAFKA, "faults": false});
    let text = || format!("ottla {version}\ncompatible with Apache Kafka {KAFKA}\nfaults: off");
    printer.item(text, json);
    printer.finish()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_server_takes_a_file_and_repeated_overrides() {
        let line = "ottla server a.properties --override a=1 --override b=2 --log-level debug";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Server(args) = cli.command else {
            panic!("not a server")
        };
        let source = args.source();
        assert_eq!(source.file, Some("a.properties".as_ref()));
        assert_eq!(source.overrides, ["a=1", "b=2"]);
        assert!(Cli::try_parse_from(["ottla", "log", "dump"]).is_err(), "no file");
    }
}
