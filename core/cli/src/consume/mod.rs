//! `ottla consume`: records of a topic to stdout (Kafka's `kafka-console-consumer`), by assignment unless a group is named.
//!
//! `start`: where to begin; `format`: how a record is printed; `group`: as a member of a group.

mod format;
mod group;
mod start;

pub use self::start::{Range, Start, resolve};

use std::collections::BTreeMap;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;
use std::time::Duration;

use ottla_client::consumer::{ConsumerRecord, OffsetReset};
use ottla_client::{Consumer, ConsumerConfig, IsolationLevel, TopicInfo};
use ottla_io::{Env, Mono};
use ottla_types::TopicPartition;

use self::format::{RecordFormat, Shown};
use crate::connect::{self, Connection, Interrupt, existing_topic, explain};
use crate::output::Format;
use crate::produce::counted;
use crate::values::{Separator, separator};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(500);
/// Trouble that passes sooner is not worth a word.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which records of transactions are read, under Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Isolation {
    /// All.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions.
    ReadCommitted,
}

impl Isolation {
    /// As the client has it.
    pub fn level(self) -> IsolationLevel {
        match self {
            Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
            Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
        }
    }
}

/// Options.
#[derive(clap::Args)]
#[command(after_help = "\
Fields of a template: %t topic, %p partition, %o offset, %k key, %v value, %h headers, %T timestamp (ms), %d timestamp (RFC 3339),
%K and %V sizes of key and value (-1 is null), %% a percent sign; \\n \\t \\r \\0 \\xNN are understood. A template ends its lines itself.

Examples:
  ottla consume greetings
  ottla consume greetings --from -10 --until-end -K ' = '
  ottla consume greetings --from @2026-11-24T10:00:00Z --format '%p %o %k %v\\n'
  ottla consume greetings --from @-1h --output json | jq .value
  ottla consume greetings --group billing")]
pub struct Args {
    /// The topic.
    topic: String,
    /// Where to begin in each partition: beginning, end, an offset, -N for the last N records, @TIME for the first record that
    /// is not older (milliseconds since 1970, RFC 3339, or @-1h for an hour ago).
    #[arg(
        short = 'o',
        long,
        value_name = "PLACE",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    from: Start,
    /// Only these partitions; may be repeated or separated by commas.
    #[arg(short = 'p', long = "partition", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    #[command(flatten)]
    member: group::Member,
    /// Stop after so many records.
    #[arg(short = 'c', long, visible_alias = "max-messages", value_name = "N")]
    count: Option<u64>,
    /// Stop where the partitions end at the start of the command.
    #[arg(short = 'e', long)]
    until_end: bool,
    /// How to print a record: value, json, or a template such as '%p %o %k %v\n'.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "value",
        conflicts_with = "output"
    )]
    format: RecordFormat,
    /// Print the key too, and this text between key and value.
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = separator, allow_hyphen_values = true)]
    key_separator: Option<Separator>,
    /// What null is printed as; nothing without it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    null_marker: String,
    /// Which records of transactions to read.
    #[arg(long, visible_alias = "isolation-level", value_enum, default_value_t)]
    isolation: Isolation,
    #[command(flatten)]
    connection: Connection,
    /// `json` is the same as `--format json`.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

impl Args {
    fn shown(&self) -> Shown {
        Shown {
            format: if self.output == Format::Json {
                RecordFormat::Json
            } else {
                self.format.clone()
            },
            separator: self.key_separator.as_ref().map(|s| s.0.clone()),
            null: self.null_marker.clone().into_bytes(),
            escape: io::stdout().is_terminal(),
        }
    }
}

/// Prints records until there is no reason to go on.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    connect::run(async |env, interrupt| {
        if let Some(name) = &args.member.group {
            return group::run(env, interrupt, args, name).await;
        }
        let config = ConsumerConfig {
            client: args.connection.config(),
            isolation_level: args.isolation.level(),
            // Retention was faster than this command: what is kept goes on.
            auto_offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(env, config).map_err(|e| explain(&e))?;
        let Some(ranges) = interrupt.or(begin(env, &mut consumer, args)).await else {
            return Ok(interrupt.exit_code());
        };
        let mut reading = Reading {
            env,
            args,
            shown: args.shown(),
            ranges: ranges?,
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            printed: 0,
            bytes: 0,
            trouble: None,
        };
        let result = reading.run(&mut consumer, interrupt).await;
        match result.and_then(|()| reading.out.flush().map_err(End::from)) {
            Ok(()) | Err(End::Unread) => Ok(interrupt.exit_code()),
            Err(End::Failed(error)) => Err(error),
        }
    })
}

/// The topic's partitions among `wanted`, or all of them.
pub fn chosen(topic: &TopicInfo, wanted: &[i32]) -> Result<Vec<TopicPartition>, String> {
    let all = topic.partitions.iter().map(|p| p.partition);
    if let Some(missing) = wanted.iter().find(|p| topic.partition(**p).is_none()) {
        return Err(format!(
            "topic `{}` has no partition {missing}: it has {}, numbered from 0",
            topic.name,
            topic.partitions.len()
        ));
    }
    let chosen = all.filter(|p| wanted.is_empty() || wanted.contains(p));
    Ok(chosen.map(|p| TopicPartition::new(&*topic.name, p)).collect())
}

/// Assigns the partitions and seeks to where reading begins.
async fn begin(env: &Env, consumer: &mut Consumer, args: &Args) -> Result<BTreeMap<i32, Range>, String> {
    let topic = existing_topic(env, consumer.cluster(), &args.topic, args.connection.timeout)
        .await
        .map_err(|e| explain(&e))?;
    let partitions = chosen(&topic, &args.partitions)?;
    let now = env.clock.wall().as_millis();
    let mut ranges = resolve(consumer, &partitions, args.from, now)
        .await
        .map_err(|e| explain(&e))?;
    for (partition, range) in &ranges {
        if matches!(args.from, Start::Offset(_)) && range.from < range.seek {
            eprintln!(
                "ottla: partition {} has no records before offset {} any more: beginning there",
                partition.partition, range.seek
            );
        }
    }
    if args.until_end {
        ranges.retain(|_, range| range.from < range.end);
    }
    consumer.assign(ranges.keys().cloned());
    for (partition, range) in &ranges {
        consumer.seek(partition, range.seek).map_err(|e| explain(&e))?;
    }
    Ok(ranges
        .into_iter()
        .map(|(p, range)| (p.partition, range))
        .collect())
}

/// Why reading ended, if not as it should.
enum End {
    /// Nobody reads stdout any more.
    Unread,
    /// For this reason.
    Failed(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => End::Unread,
            _ => End::Failed(format!("stdout can't be written: {error}")),
        }
    }
}

struct Reading<'a> {
    env: &'a Env,
    args: &'a Args,
    shown: Shown,
    ranges: BTreeMap<i32, Range>,
    out: BufWriter<StdoutLock<'a>>,
    printed: u64,
    bytes: u64,
    /// Since when something is wrong, and whether that was told.
    trouble: Option<(Mono, bool)>,
}

impl Reading<'_> {
    async fn run(&mut self, consumer: &mut Consumer, interrupt: &mut Interrupt) -> Result<(), End> {
        let limit = self.args.count.unwrap_or(u64::MAX);
        while self.printed < limit && !(self.args.until_end && self.ranges.is_empty()) {
            let Some(records) = interrupt.or(consumer.poll(POLL)).await else {
                self.out.flush()?;
                eprintln!(
                    "ottla: {} ({} bytes) read of `{}`",
                    counted(self.printed),
                    self.bytes,
                    self.args.topic
                );
                return Ok(());
            };
            let records = records.map_err(|e| End::Failed(explain(&e)))?;
            for record in &records {
                if self.printed < limit && self.wanted(record) {
                    self.shown.write(record, &mut self.out)?;
                    self.printed += 1;
                    self.bytes += [&record.key, &record.value]
                        .map(|b| b.as_ref().map_or(0, |b| b.len() as u64))
                        .iter()
                        .sum::<u64>();
                }
            }
            self.out.flush()?;
            if self.args.until_end {
                self.finish_partitions(consumer).await?;
            }
            self.look_at_trouble(consumer)?;
        }
        Ok(())
    }

    fn wanted(&self, record: &ConsumerRecord) -> bool {
        self.ranges.get(&record.partition).is_some_and(|range| {
            range.from <= record.offset && (!self.args.until_end || record.offset < range.end)
        })
    }

    /// Lets go of partitions that are read to their end. The position counts, not the last record: markers of transactions
    /// and gaps of compaction are passed without one.
    async fn finish_partitions(&mut self, consumer: &mut Consumer) -> Result<(), End> {
        let before = self.ranges.len();
        for partition in consumer.assignment() {
            let position = consumer
                .position(&partition)
                .await
                .map_err(|e| End::Failed(explain(&e)))?;
            self.ranges
                .retain(|number, range| *number != partition.partition || position < range.end);
        }
        if self.ranges.len() < before {
            let left = self
                .ranges
                .keys()
                .map(|p| TopicPartition::new(self.args.topic.as_str(), *p));
            consumer.assign(left);
        }
        Ok(())
    }

    /// Tells what lasts. Who waits for new records waits on; who reads what there is gives up after a while.
    fn look_at_trouble(&mut self, consumer: &Consumer) -> Result<(), End> {
        let now = self.env.clock.now();
        let Some(error) = consumer.trouble() else {
            if let Some((_, true)) = self.trouble.take() {
                eprintln!("ottla: going on");
            }
            return Ok(());
        };
        let (since, told) = self.trouble.get_or_insert((now, false));
        let lasted = now.since(*since);
        if self.args.until_end && lasted >= self.args.connection.timeout {
            return Err(End::Failed(explain(error)));
        }
        if lasted >= PATIENCE && !*told {
            *told = true;
            eprintln!("ottla: still trying: {error}");
        }
        Ok(())
    }
}
