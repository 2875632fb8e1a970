//! `ottla`: the one binary. Reads the command line and hands over; each command has its own file.

mod config;
mod dump;
mod server;
mod storage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Kafka-compatible log in one binary.
#[derive(Parser)]
#[command(name = "ottla", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log: error, warn, info, debug or trace, also by module (`ottla_node=debug`).
    #[arg(long, global = true, default_value = "info")]
    log_level: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node. Without a file: a single node on 127.0.0.1:9092 with its data in ./ottla-data.
    Server(server::Args),
    /// Format log directories, make ids.
    #[command(subcommand)]
    Storage(storage::Command),
    /// Look into log files.
    #[command(subcommand)]
    Log(dump::Command),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = log_to_stderr(&cli.log_level) {
        eprintln!("ottla: --log-level {}: {error}", cli.log_level);
        return ExitCode::from(2);
    }
    let result = match cli.command {
        Command::Server(args) => server::run(&args),
        Command::Storage(command) => storage::run(&command),
        Command::Log(command) => dump::run(&command),
        Command::Version => {
            println!("ottla {} (Apache Kafka 4.3.1 compatible)\nfaults: off", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(level: &str) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(level).map_err(|e| e.to_string())?;
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    format.try_init().map_err(|e| e.to_string())
}
