//! `ottla consume --group`: as a member of a group. Several of them share the partitions; what was printed is committed, so that
//! the next one goes on there.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_client::consumer::{ConsumerRecord, OffsetReset};
use ottla_client::group::RebalanceListener;
use ottla_client::group::assign::{Assignor, assignor};
use ottla_client::{ConsumerConfig, GroupConfig, GroupConsumer, Result};
use ottla_io::{BoxFuture, Env, Mono};
use ottla_types::TopicPartition;

use super::{Args, End, PATIENCE, POLL, Shown, Start};
use crate::connect::{Interrupt, explain};
use crate::produce::counted;
use crate::values::duration;

/// Options of a member.
#[derive(clap::Args)]
pub struct Member {
    /// Read as a member of this group: its members share the partitions, and each goes on where the group has committed.
    /// `--from` then says where to begin where nothing is committed: beginning or end.
    #[arg(short, long, value_name = "GROUP", conflicts_with_all = ["partitions", "until_end"], help_heading = "Group")]
    pub group: Option<String>,
    /// Be a static member of this name: a restart keeps its partitions (group.instance.id).
    #[arg(long, value_name = "ID", requires = "group", help_heading = "Group")]
    instance_id: Option<String>,
    /// How the group shares partitions out, the preferred way first: range, roundrobin, sticky, cooperative-sticky.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "group", value_parser = known_assignor, default_value = "range,cooperative-sticky", help_heading = "Group")]
    assignor: Vec<String>,
    /// After so long without a sign of life the group counts the member as gone (session.timeout.ms).
    #[arg(long, value_name = "DURATION", requires = "group", value_parser = duration, default_value = "45s", help_heading = "Group")]
    session_timeout: Duration,
    /// How often what was printed is committed (auto.commit.interval.ms).
    #[arg(long, value_name = "DURATION", requires = "group", value_parser = duration, default_value = "5s", help_heading = "Group")]
    commit_interval: Duration,
}

fn known_assignor(name: &str) -> std::result::Result<String, String> {
    match assignor(name) {
        Some(found) => Ok(found.name().to_owned()),
        None => Err(format!(
            "`{name}` is no assignor: there are range, roundrobin, sticky and cooperative-sticky"
        )),
    }
}

fn config(args: &Args, group: &str) -> std::result::Result<GroupConfig, String> {
    let auto_offset_reset = match args.from {
        Start::Beginning => OffsetReset::Earliest,
        Start::End => OffsetReset::Latest,
        _ => {
            return Err(
                "with --group, --from says where to begin where nothing is committed: beginning or end\n\
                 `ottla group reset-offsets` sets a group's offsets to any other place"
                    .to_owned(),
            );
        }
    };
    let assignors: Vec<Arc<dyn Assignor>> = args
        .member
        .assignor
        .iter()
        .filter_map(|name| assignor(name))
        .collect();
    Ok(GroupConfig {
        consumer: ConsumerConfig {
            client: args.connection.config(),
            isolation_level: args.isolation.level(),
            auto_offset_reset,
            ..ConsumerConfig::default()
        },
        group_instance_id: args.member.instance_id.clone(),
        assignors,
        session_timeout: args.member.session_timeout,
        // As in Kafka's defaults, but never rarer than three times a session.
        heartbeat_interval: Duration::from_secs(3).min(args.member.session_timeout / 3),
        auto_commit_interval: args.member.commit_interval,
        allow_auto_create_topics: false,
        ..GroupConfig::new("", group)
    })
}

/// Prints records of the partitions that the group gives this member.
pub async fn run(
    env: &Env,
    interrupt: &mut Interrupt,
    args: &Args,
    group: &str,
) -> std::result::Result<ExitCode, String> {
    let mut consumer = GroupConsumer::new(env, config(args, group)?).map_err(|e| explain(&e))?;
    consumer.set_listener(Arc::new(Told {
        group: group.to_owned(),
        last: Mutex::default(),
    }));
    consumer.subscribe([args.topic.as_str()]);
    let mut reading = Reading {
        env,
        args,
        shown: args.shown(),
        out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        printed: 0,
        bytes: 0,
        trouble: None,
    };
    let result = reading.run(&mut consumer, interrupt).await;
    let result = result.and_then(|()| reading.out.flush().map_err(End::from));
    // A member that ends commits and leaves, whatever it ends for.
    let closed = consumer.close().await.map_err(|e| explain(&e));
    match result {
        Ok(()) => closed.map(|()| interrupt.exit_code()),
        Err(End::Unread) => Ok(interrupt.exit_code()),
        Err(End::Failed(error)) => Err(error),
    }
}

struct Reading<'a> {
    env: &'a Env,
    args: &'a Args,
    shown: Shown,
    out: BufWriter<StdoutLock<'a>>,
    printed: u64,
    bytes: u64,
    /// Since when something is wrong, and whether that was told.
    trouble: Option<(Mono, bool)>,
}

impl Reading<'_> {
    async fn run(
        &mut self,
        consumer: &mut GroupConsumer,
        interrupt: &mut Interrupt,
    ) -> std::result::Result<(), End> {
        let limit = self.args.count.unwrap_or(u64::MAX);
        while self.printed < limit {
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
            let (count, printed) = self.print(&records, limit);
            // What was not printed is not read: what is committed is the position.
            give_back(consumer, records.get(count..).unwrap_or_default());
            printed?;
            self.look_at_trouble(consumer);
        }
        Ok(())
    }

    /// Prints records up to the limit; says how many were.
    fn print(&mut self, records: &[ConsumerRecord], limit: u64) -> (usize, io::Result<()>) {
        for (index, record) in records.iter().enumerate() {
            if self.printed >= limit {
                return (index, self.out.flush());
            }
            if let Err(error) = self.shown.write(record, &mut self.out) {
                return (index, Err(error));
            }
            self.printed += 1;
            let sizes = [&record.key, &record.value].map(|b| b.as_ref().map_or(0, |b| b.len() as u64));
            self.bytes += sizes.iter().sum::<u64>();
        }
        match self.out.flush() {
            Ok(()) => (records.len(), Ok(())),
            // Nobody knows how much of it was read.
            Err(error) => (0, Err(error)),
        }
    }

    /// Tells what lasts; who waits for records waits on.
    fn look_at_trouble(&mut self, consumer: &GroupConsumer) {
        let now = self.env.clock.now();
        let Some(error) = consumer.trouble() else {
            if let Some((_, true)) = self.trouble.take() {
                eprintln!("ottla: going on");
            }
            return;
        };
        let (since, told) = self.trouble.get_or_insert((now, false));
        if now.since(*since) >= PATIENCE && !*told {
            *told = true;
            eprintln!("ottla: still trying: {error}");
        }
    }
}

/// Goes back to the first of these records in each partition.
fn give_back(consumer: &mut GroupConsumer, unread: &[ConsumerRecord]) {
    let mut first: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for record in unread {
        first
            .entry(TopicPartition::new(&*record.topic, record.partition))
            .or_insert(record.offset);
    }
    for (partition, offset) in first {
        // One that was taken away meanwhile is another's to read.
        let _ = consumer.seek(&partition, offset);
    }
}

/// Tells on stderr what this member reads.
struct Told {
    group: String,
    last: Mutex<Option<String>>,
}

impl Told {
    fn tell(&self, partitions: &[TopicPartition]) {
        let numbers: Vec<String> = partitions.iter().map(|p| p.partition.to_string()).collect();
        let text = match numbers.as_slice() {
            [] => "no partition, as a spare".to_owned(),
            [one] => format!("partition {one}"),
            more => format!("partitions {}", more.join(", ")),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&text) {
            eprintln!("ottla: group `{}`: reading {text}", self.group);
            *last = Some(text);
        }
    }
}

impl RebalanceListener for Told {
    fn assigned<'a>(
        &'a self,
        consumer: &'a mut GroupConsumer,
        _: &'a [TopicPartition],
    ) -> BoxFuture<'a, Result<()>> {
        self.tell(&consumer.assignment());
        Box::pin(async { Ok(()) })
    }

    fn lost<'a>(&'a self, _: &'a mut GroupConsumer, _: &'a [TopicPartition]) -> BoxFuture<'a, Result<()>> {
        eprintln!(
            "ottla: group `{}` went on without this member: joining again",
            self.group
        );
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Box::pin(async { Ok(()) })
    }
}
