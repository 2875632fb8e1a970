//! `ottla bench consume`.

use std::process::ExitCode;
use std::time::Duration;

use ottla_client::consumer::OffsetReset;
use ottla_client::{Consumer, ConsumerConfig};
use ottla_io::Env;

use super::Common;
use super::meter::Meter;
use crate::connect::{self, Connection, Interrupt, existing_topic, explain};
use crate::consume::{Isolation, Start, chosen, resolve};

/// Options.
#[derive(clap::Args)]
pub struct Args {
    /// The topic.
    topic: String,
    /// Where to begin: beginning, end, an offset, -N, @TIME. Start the end on, latencies are measured: from a record's timestamp
    /// to here, so the clocks of both sides must agree.
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
    /// Which records of transactions to read.
    #[arg(long, visible_alias = "isolation-level", value_enum, default_value_t)]
    isolation: Isolation,
    /// Stop where the partitions end at the start of the command.
    #[arg(short = 'e', long)]
    until_end: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connection: Connection,
}

/// Measures.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    connect::run(async |env, interrupt| {
        let config = ConsumerConfig {
            client: args.connection.config(),
            isolation_level: args.isolation.level(),
            auto_offset_reset: OffsetReset::Earliest,
            max_poll_records: 10_000,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(env, config).map_err(|e| explain(&e))?;
        let Some(left) = interrupt.or(begin(env, &mut consumer, args)).await else {
            return Ok(interrupt.exit_code());
        };
        let limit = if args.until_end { left? } else { u64::MAX };
        let mut meter = Meter::new(env.clock.now(), args.common.quiet);
        let read = read(env, interrupt, &mut consumer, args, &mut meter, limit).await;
        args.common.report(&meter)?;
        read?;
        Ok(interrupt.exit_code())
    })
}

/// Assigns and seeks; says how many offsets lie before the ends.
async fn begin(env: &Env, consumer: &mut Consumer, args: &Args) -> Result<u64, String> {
    let topic = existing_topic(env, consumer.cluster(), &args.topic, args.connection.timeout)
        .await
        .map_err(|e| explain(&e))?;
    let partitions = chosen(&topic, &args.partitions)?;
    consumer.assign(partitions.iter().cloned());
    let now = env.clock.wall().as_millis();
    let ranges = resolve(consumer, &partitions, args.from, now)
        .await
        .map_err(|e| explain(&e))?;
    let mut left = 0;
    for (partition, range) in ranges {
        consumer.seek(&partition, range.seek).map_err(|e| explain(&e))?;
        left += u64::try_from(range.end - range.seek).unwrap_or(0);
    }
    Ok(left)
}

async fn read(
    env: &Env,
    interrupt: &mut Interrupt,
    consumer: &mut Consumer,
    args: &Args,
    meter: &mut Meter,
    left: u64,
) -> Result<(), String> {
    let deadline = args.common.deadline(env.clock.now());
    let limit = args.common.records().min(left);
    let live = args.from == Start::End;
    while meter.records() < limit {
        let now = env.clock.now();
        if now >= deadline {
            break;
        }
        let timeout = meter.next_tick().min(deadline).since(now);
        let Some(records) = interrupt.or(consumer.poll(timeout)).await else {
            break;
        };
        let (now, wall) = (env.clock.now(), env.clock.wall().as_millis());
        for record in records.map_err(|e| explain(&e))? {
            let bytes = [&record.key, &record.value].map(|b| b.as_ref().map_or(0, |b| b.len()));
            let took = u64::try_from(wall.saturating_sub(record.timestamp)).unwrap_or(0);
            let latency = live.then(|| Duration::from_millis(took));
            meter.record(bytes.iter().sum(), latency, now);
        }
        meter.tick(env.clock.now());
    }
    Ok(())
}
