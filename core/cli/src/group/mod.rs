//! `ottla group`: consumer groups and their offsets (Kafka's `kafka-consumer-groups`).
//!
//! `show`: list and describe; `reset`: set offsets, with `places` for what a user writes and `csv` for files; `delete`: groups
//! and offsets.

mod csv;
mod delete;
mod places;
mod reset;
mod show;

use std::process::ExitCode;

use ottla_client::{Admin, Error};
use ottla_io::Env;

use crate::connect::{self, Connection, explain};
use crate::output::{Format, Printer};

/// Commands.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List groups.
    List(show::List),
    /// Describe groups: state, members, committed offsets and lag.
    Describe(show::Describe),
    /// Set the offsets of a group without members; only shows what it would do unless --execute is given.
    ResetOffsets(reset::Reset),
    /// Delete groups without members, with their offsets.
    Delete(delete::Delete),
    /// Forget offsets of topics that no member of the group subscribes to.
    DeleteOffsets(delete::DeleteOffsets),
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
        Command::List(args) => &args.common,
        Command::Describe(args) => &args.common,
        Command::ResetOffsets(args) => &args.common,
        Command::Delete(args) => &args.common,
        Command::DeleteOffsets(args) => &args.common,
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
        Command::List(args) => show::list(admin, args).await,
        Command::Describe(args) => show::describe(admin, args).await,
        Command::ResetOffsets(args) => reset::reset(env, admin, args).await,
        Command::Delete(args) => delete::groups(admin, args).await,
        Command::DeleteOffsets(args) => delete::offsets(admin, args).await,
    }
}

/// What was done, and what went wrong: what is wrong with one group is no reason to keep silent about the next.
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

    /// A mistake; one that several have in common is told once.
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
