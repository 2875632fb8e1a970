//! `ottla produce`: records from stdin into a topic (Kafka's `kafka-console-producer`).
//!
//! `input`: lines; `parse`: a line into a record; `summary`: what became of them. At most the producer's buffer and one piece of
//! stdin are in memory.

mod input;
mod parse;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use ottla_client::producer::Header;
use ottla_client::{Error, Producer, Record, RecordMetadata};
use ottla_io::{Env, timeout_at};
use ottla_types::ErrorCode;
use serde_json::json;

use self::input::Lines;
use self::parse::{Parsed, Rule};
use self::summary::Summary;
pub use self::summary::counted;
use crate::connect::{self, Connection, Interrupt, existing_topic, explain};
use crate::output::{Format, Printer};
use crate::sending::{Deliveries, Sending};
use crate::values::{Separator, separator, time};

/// The most records that are waited for at the same time: small ones would otherwise take more memory than the buffer.
const WAITING: usize = 500_000;

/// A flush that takes longer is worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// What lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum InputFormat {
    /// A line is a value, or a key and a value with --key-separator.
    #[default]
    Lines,
    /// A line is a JSON object with value, key, headers, timestamp and partition, as `consume --format json` prints it.
    Json,
}

/// Options.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | ottla produce greetings
  printf 'k1:v1\\nk2:v2\\n' | ottla produce greetings -K : --header source=shell
  ottla consume greetings --until-end --format json | ottla produce copy --format json")]
pub struct Args {
    /// The topic.
    topic: String,
    /// What stands between key and value in a line; `\t` and `\xNN` are understood.
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator, allow_hyphen_values = true, conflicts_with = "format")]
    key_separator: Option<Separator>,
    /// The key of all records.
    #[arg(
        short,
        long,
        value_name = "KEY",
        conflicts_with = "key_separator",
        allow_hyphen_values = true
    )]
    key: Option<String>,
    /// A header of all records; without `=` its value is null. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The partition; without it the key decides, and records without a key go to one after the other, batch by batch.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The timestamp: milliseconds since 1970, or RFC 3339. Without it: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timestamp: Option<i64>,
    /// What a line is.
    #[arg(long, value_enum, default_value_t)]
    format: InputFormat,
    /// A key or value that is this text is null.
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// Say nothing about what was delivered.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    connection: Connection,
    /// `json` prints an object for each delivered record: line, partition, offset, timestamp.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

impl Args {
    fn rule(&self) -> Rule {
        match self.format {
            InputFormat::Json => Rule::Json,
            InputFormat::Lines => Rule::Plain {
                separator: self.key_separator.as_ref().map(|s| s.0.clone()),
                null: self.null_marker.as_ref().map(|m| m.clone().into_bytes()),
            },
        }
    }

    /// What the options say about all records, where the line says nothing.
    fn common(&self) -> Parsed {
        let headers = self.headers.iter().map(|text| match text.split_once('=') {
            Some((name, value)) => (Bytes::from(name.to_owned()), Some(Bytes::from(value.to_owned()))),
            None => (Bytes::from(text.clone()), None),
        });
        Parsed {
            key: self.key.clone().map(Bytes::from),
            value: None,
            headers: Some(headers.collect()),
            timestamp: self.timestamp,
            partition: self.partition,
        }
    }
}

/// Sends what stdin holds.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    connect::run(async |env, interrupt| {
        let producer = Producer::new(env, args.sending.config(&args.connection)).map_err(|e| explain(&e))?;
        let ready = interrupt.or(find_topic(env, &producer, args)).await;
        if let Some(result) = ready {
            result?;
            send_all(env, interrupt, producer, args).await?;
        }
        Ok(interrupt.exit_code())
    })
}

/// Sees to it that there is a topic, before a line is read.
async fn find_topic(env: &Env, producer: &Producer, args: &Args) -> Result<(), String> {
    let (cluster, timeout) = (producer.cluster(), args.connection.timeout);
    match existing_topic(env, cluster, &args.topic, timeout).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
            let deadline = env.clock.now().after(timeout);
            let made = cluster.topic(&args.topic, true, deadline).await;
            let topic = made.map_err(|e| explain(&e))?;
            if !args.quiet {
                let partitions = topic.partitions.len();
                eprintln!(
                    "ottla: there was no topic `{}`; the broker made it, partitions: {partitions}",
                    args.topic
                );
            }
            Ok(())
        }
        Err(error) => Err(explain(&error)),
    }
}

/// A record under way: the number of its line, and its bytes.
type Tag = (u64, usize);

/// The records that are under way, and what became of the others.
struct Sender<'a> {
    producer: Producer,
    args: &'a Args,
    common: Parsed,
    deliveries: Deliveries<Tag>,
    done: Done<'a>,
}

struct Done<'a> {
    summary: Summary,
    printer: Option<Printer<'a>>,
}

impl Done<'_> {
    fn take(&mut self, (line, bytes): Tag, result: Result<RecordMetadata, Error>) {
        match result {
            Ok(at) => {
                self.summary.delivered(&at, bytes);
                if let Some(printer) = &mut self.printer {
                    let json = json!({"line": line, "topic": &*at.topic, "partition": at.partition, "offset": at.offset,
                                      "timestamp": at.timestamp});
                    printer.item(String::new, || json);
                }
            }
            Err(error) => self.summary.failed(line, explain(&error)),
        }
    }
}

async fn send_all(
    env: &Env,
    interrupt: &mut Interrupt,
    producer: Producer,
    args: &Args,
) -> Result<(), String> {
    let rule = args.rule();
    // A line of JSON may hold base64 and escapes.
    let limit = args
        .sending
        .max_request_size
        .saturating_mul(if rule == Rule::Json { 6 } else { 1 });
    let mut lines = Lines::of_stdin(env, limit.saturating_add(64 << 10));
    let mut sender = Sender {
        producer,
        args,
        common: args.common(),
        deliveries: Deliveries::new(),
        done: Done {
            summary: Summary::default(),
            printer: (args.output == Format::Json).then(|| Printer::stdout(Format::Json)),
        },
    };
    let mut input = Ok(());
    let typed = lines.is_typed();
    while let Some(line) = interrupt.or(sender.beside(lines.next())).await {
        let (number, line) = match line {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                input = Err(error);
                break;
            }
        };
        match rule.parse(&line) {
            Ok(Some(record)) => {
                if interrupt.or(sender.send(number, record)).await.is_none() {
                    sender
                        .done
                        .summary
                        .failed(number, "interrupted before it was sent".to_owned());
                    break;
                }
            }
            Ok(None) => {}
            Err(why) => sender.done.summary.failed(number, why),
        }
        if typed {
            // Who types wants to know before the next line.
            sender.flush().await;
            if let Some(failures) = sender.done.summary.take_failures() {
                eprintln!("{failures}");
            }
        } else if sender.done.summary.has_failures() {
            break;
        }
    }
    if typed {
        eprintln!();
    }
    sender.flush_at_last(env).await;
    sender.end(input).await
}

impl Sender<'_> {
    /// The result of `future`; deliveries are seen to meanwhile.
    async fn beside<O>(&mut self, future: impl Future<Output = O>) -> O {
        let done = &mut self.done;
        self.deliveries
            .beside(&mut |tag, result| done.take(tag, result), future)
            .await
    }

    async fn send(&mut self, line: u64, parsed: Parsed) {
        let headers = parsed.headers.as_ref().or(self.common.headers.as_ref());
        let headers: Vec<Header<'_>> = headers
            .into_iter()
            .flatten()
            .map(|(key, value)| Header {
                key,
                value: value.as_deref(),
            })
            .collect();
        let record = Record {
            topic: &self.args.topic,
            partition: parsed.partition.or(self.common.partition),
            key: parsed.key.as_deref().or(self.common.key.as_deref()),
            value: parsed.value.as_deref(),
            headers: &headers,
            timestamp: parsed.timestamp.or(self.common.timestamp),
        };
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let done = &mut self.done;
        let mut take = |tag, result| done.take(tag, result);
        if self.deliveries.len() >= WAITING {
            self.deliveries.down_to(WAITING - 1, &mut take).await;
        }
        match self
            .deliveries
            .beside(&mut take, self.producer.send(record))
            .await
        {
            Ok(delivery) => self.deliveries.push((line, bytes), delivery),
            Err(error) => self.done.summary.failed(line, explain(&error)),
        }
    }

    /// Waits until all that was sent is delivered or has failed; `delivery.timeout.ms` bounds that.
    async fn flush(&mut self) {
        let (producer, done) = (self.producer.clone(), &mut self.done);
        let mut take = |tag, result| done.take(tag, result);
        // What failed is told by the deliveries.
        let _ = self.deliveries.beside(&mut take, producer.flush()).await;
        self.deliveries.down_to(0, &mut take).await;
    }

    /// Like [`Sender::flush`]; says so if it takes long.
    async fn flush_at_last(&mut self, env: &Env) {
        let soon = env.clock.now().after(PATIENCE);
        if timeout_at(env.clock.as_ref(), soon, self.flush()).await.is_none() {
            let waiting = counted(self.deliveries.len() as u64);
            eprintln!("ottla: waiting for {waiting} to be delivered; Ctrl-C (again) gives up");
            self.flush().await;
        }
    }

    async fn end(mut self, input: Result<(), String>) -> Result<(), String> {
        let _ = self.producer.close(Duration::from_secs(1)).await;
        if let Some(printer) = self.done.printer.take() {
            printer.finish()?;
        }
        let summary = &mut self.done.summary;
        if !self.args.quiet {
            eprintln!("ottla: {}", summary.line(&self.args.topic));
        }
        let mut errors: Vec<String> = summary.take_failures().into_iter().collect();
        errors.extend(input.err());
        if !errors.is_empty() {
            Err(errors.join("\n"))
        } else if summary.has_failures() {
            Err("not all records were delivered, see above".to_owned())
        } else {
            Ok(())
        }
    }
}
