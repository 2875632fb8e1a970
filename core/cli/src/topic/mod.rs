//! `ottla topic`: creates, lists, describes, alters and deletes topics (Kafka's `kafka-topics`, and `kafka-configs` for topics).
//!
//! `change`: create, alter, delete; `describe`: list and describe.

mod change;
mod describe;

use std::process::ExitCode;

use ottla_client::{Admin, Error};
use ottla_io::Env;

use crate::connect::{self, Connection, explain};
use crate::output::{Format, Printer};

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Create topics.
    Create(change::Create),
    /// List topics by name.
    List(describe::List),
    /// Describe topics: partitions, leaders, offsets, configurations that differ from the default.
    Describe(describe::Describe),
    /// Give topics more partitions or other configurations.
    Alter(change::Alter),
    /// Delete topics with all their records.
    Delete(change::Delete),
}

/// What all of them take.
#[derive(clap::Args)]
pub struct Common {
    #[command(flatten)]
    connection: Connection,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Carries a command out.
pub fn run(command: &Command) -> Result<ExitCode, String> {
    let common = match command {
        Command::Create(args) => &args.common,
        Command::List(args) => &args.common,
        Command::Describe(args) => &args.common,
        Command::Alter(args) => &args.common,
        Command::Delete(args) => &args.common,
    };
    connect::run(async |env, interrupt| {
        let admin = Admin::new(env, common.connection.config()).map_err(|e| explain(&e))?;
        let done = interrupt.or(carry_out(env, &admin, command)).await;
        done.unwrap_or(Ok(()))?;
        Ok(interrupt.exit_code())
    })
}

async fn carry_out(env: &Env, admin: &Admin, command: &Command) -> Result<(), String> {
    match command {
        Command::Create(args) => change::create(admin, args).await,
        Command::List(args) => describe::list(admin, args).await,
        Command::Describe(args) => describe::describe(admin, args).await,
        Command::Alter(args) => change::alter(admin, args).await,
        Command::Delete(args) => change::delete(env, admin, args).await,
    }
}

/// What was done, and what went wrong: what is wrong with one topic is no reason to keep silent about the next.
struct Report<'a> {
    printer: Printer<'a>,
    errors: Vec<String>,
}

impl Report<'_> {
    fn new(common: &Common) -> Self {
        Report {
            printer: Printer::stdout(common.output),
            errors: Vec::new(),
        }
    }

    fn error(&mut self, error: &Error) {
        self.say(explain(error));
    }

    /// A mistake; one that all topics have in common is told once.
    fn say(&mut self, error: String) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn finish(self) -> Result<(), String> {
        self.printer.finish()?;
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.errors.join("\n"))
        }
    }
}
