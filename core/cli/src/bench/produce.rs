//! `ottla bench produce`.

use std::process::ExitCode;
use std::time::Duration;

use ottla_client::admin::NewTopic;
use ottla_client::{Admin, Error, Producer, Record, RecordMetadata};
use ottla_io::{Env, Mono};
use ottla_types::ErrorCode;

use super::Common;
use super::meter::Meter;
use crate::connect::{self, Connection, Interrupt, explain};
use crate::sending::{Deliveries, Sending};
use crate::values::size;

/// How many records are sent between two looks at what is delivered and at the clock.
const STRIDE: u64 = 32;

/// Options.
#[derive(clap::Args)]
pub struct Args {
    /// The topic; it is made if it does not exist.
    topic: String,
    /// The size of a value.
    #[arg(short, long, value_name = "SIZE", default_value = "1K", value_parser = size)]
    record_size: usize,
    /// How many partitions the topic gets if it is made here.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How many records to send each second; as many as possible without it.
    #[arg(short = 'R', long, visible_alias = "throughput", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connection: Connection,
}

/// Measures.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    connect::run(async |env, interrupt| {
        let producer = Producer::new(env, args.sending.config(&args.connection)).map_err(|e| explain(&e))?;
        let Some(ready) = interrupt.or(prepare(env, &producer, args)).await else {
            return Ok(interrupt.exit_code());
        };
        ready?;
        let mut run = Run {
            env,
            args,
            producer,
            deliveries: Deliveries::new(),
            meter: Meter::new(env.clock.now(), args.common.quiet),
            first_error: None,
        };
        let stopped = run.send_all(interrupt).await;
        run.drain().await;
        args.common.report(&run.meter)?;
        match run.first_error.take().or(stopped.err()) {
            Some(error) => Err(format!(
                "{} records failed; the first: {}",
                run.meter.failed.max(1),
                explain(&error)
            )),
            None => Ok(interrupt.exit_code()),
        }
    })
}

/// Makes the topic, or finds the one there is.
async fn prepare(env: &Env, producer: &Producer, args: &Args) -> Result<(), String> {
    let admin = Admin::new(env, args.connection.config()).map_err(|e| explain(&e))?;
    let topic = NewTopic::new(args.topic.as_str(), args.partitions);
    let made = admin
        .create_topics(std::slice::from_ref(&topic), false)
        .await
        .pop_first();
    if let Some((_, Err(error))) = made
        && error.code() != Some(ErrorCode::TopicAlreadyExists)
    {
        return Err(explain(&error));
    }
    let deadline = env.clock.now().after(args.connection.timeout);
    let found = producer.cluster().topic(&args.topic, true, deadline).await;
    found.map(drop).map_err(|e| explain(&e))
}

struct Run<'a> {
    env: &'a Env,
    args: &'a Args,
    producer: Producer,
    /// Each with the time when it was sent or due.
    deliveries: Deliveries<Mono>,
    meter: Meter,
    first_error: Option<Error>,
}

/// Takes a delivery into account.
fn done(
    env: &Env,
    meter: &mut Meter,
    first: &mut Option<Error>,
    bytes: usize,
    due: Mono,
    result: Result<RecordMetadata, Error>,
) {
    match result {
        Ok(_) => {
            let now = env.clock.now();
            meter.record(bytes, Some(now.since(due)), now);
        }
        Err(error) => {
            meter.failed += 1;
            first.get_or_insert(error);
        }
    }
}

impl Run<'_> {
    /// Sends until count, time, a signal or an error ends it.
    async fn send_all(&mut self, interrupt: &mut Interrupt) -> Result<(), Error> {
        let letters = letters(self.env, self.args.record_size);
        let begun = self.env.clock.now();
        let deadline = self.args.common.deadline(begun);
        let mut now = begun;
        for number in 0..self.args.common.records() {
            let due = self.args.rate.map(|rate| due(begun, number, rate));
            let looks = number % STRIDE == 0 || due.is_some_and(|due| due > now);
            if looks {
                now = self.env.clock.now();
                let until = due.unwrap_or(now).min(deadline);
                let pause = self.pause_until(until);
                if interrupt.or(pause).await.is_none() || self.first_error.is_some() {
                    return Ok(());
                }
                now = self.env.clock.now();
                if now >= deadline {
                    return Ok(());
                }
            }
            let from = (number as usize).wrapping_mul(7919) % (letters.len() - self.args.record_size);
            let value = letters
                .get(from..from + self.args.record_size)
                .unwrap_or_default();
            let start = due.unwrap_or_else(|| self.env.clock.now());
            let sent = interrupt.or(self.send(value)).await;
            match sent {
                Some(delivery) => self.deliveries.push(start, delivery?),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn send(&mut self, value: &[u8]) -> Result<ottla_client::producer::Delivery, Error> {
        let Run {
            env,
            args,
            meter,
            first_error,
            ..
        } = self;
        let mut take = |due, result| done(env, meter, first_error, args.record_size, due, result);
        let record = Record::new(&args.topic, value);
        self.deliveries
            .beside(&mut take, self.producer.send(record))
            .await
    }

    /// Sees to deliveries and the line each second until `until`, once at least.
    async fn pause_until(&mut self, until: Mono) {
        loop {
            let (clock, next) = (&self.env.clock, until.min(self.meter.next_tick()));
            let Run {
                env,
                args,
                meter,
                first_error,
                ..
            } = self;
            let mut take = |due, result| done(env, meter, first_error, args.record_size, due, result);
            self.deliveries.look(&mut take).await;
            if clock.now() < next {
                self.deliveries.beside(&mut take, clock.sleep_until(next)).await;
            }
            let now = clock.now();
            self.meter.tick(now);
            if now >= until {
                return;
            }
        }
    }

    /// Waits for what is under way.
    async fn drain(&mut self) {
        let producer = self.producer.clone();
        let Run {
            env,
            args,
            meter,
            first_error,
            ..
        } = self;
        let mut take = |due, result| done(env, meter, first_error, args.record_size, due, result);
        let _ = self.deliveries.beside(&mut take, producer.flush()).await;
        self.deliveries.down_to(0, &mut take).await;
        let _ = producer.close(Duration::from_secs(1)).await;
    }
}

/// When record `number` is due, at so many a second.
fn due(begun: Mono, number: u64, rate: u64) -> Mono {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    begun.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// Random capital letters, of which values are slices: as compressible as those of Kafka's tool.
fn letters(env: &Env, record_size: usize) -> Vec<u8> {
    let mut rng = env.entropy.stream("bench values");
    let len = record_size + (1 << 20);
    (0..len)
        .map(|_| b'A' + u8::try_from(rng.below(26)).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_their_rate() {
        assert_eq!(due(Mono(5), 0, 3), Mono(5));
        assert_eq!(due(Mono(0), 3_000, 1_000), Mono(3_000_000_000));
        assert_eq!(due(Mono(0), u64::MAX, 1), Mono(u64::MAX));
    }
}
