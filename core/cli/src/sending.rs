//! What `produce` and `bench produce` share: the producer's options, and following records to their delivery.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use clap::builder::PossibleValue;
use ottla_client::producer::{Acks, Delivery};
use ottla_client::{ProducerConfig, RecordMetadata, Result};
use ottla_wire::records::Codec;

use crate::connect::Connection;
use crate::values::{codec, duration, size};

/// When a record counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcksArg(pub Acks);

impl clap::ValueEnum for AcksArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[AcksArg(Acks::None), AcksArg(Acks::Leader), AcksArg(Acks::All)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            Acks::None => PossibleValue::new("0").help("when it was sent; losses go unnoticed"),
            Acks::Leader => PossibleValue::new("1").help("when the leader has it"),
            Acks::All => PossibleValue::new("all")
                .alias("-1")
                .help("when all replicas in sync have it"),
        })
    }
}

/// Options of a producer, under Kafka's names.
#[derive(Debug, Clone, clap::Args)]
pub struct Sending {
    /// How batches are compressed: none, gzip, snappy, lz4, zstd.
    #[arg(short = 'z', long, visible_alias = "compression-type", value_name = "CODEC", default_value = "none", value_parser = codec)]
    compression: Codec,
    /// When a record counts as delivered.
    #[arg(long, value_enum, default_value = "all", allow_hyphen_values = true)]
    acks: AcksArg,
    /// A batch is closed when it has this many bytes ...
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size)]
    batch_size: usize,
    /// ... or its first record has waited this long.
    #[arg(long, value_name = "DURATION", default_value = "5ms", value_parser = duration)]
    linger: Duration,
    /// The largest record.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    pub max_request_size: usize,
    /// A record that is not delivered by then has failed.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    delivery_timeout: Duration,
}

impl Sending {
    /// The producer's settings.
    pub fn config(&self, connection: &Connection) -> ProducerConfig {
        let mut client = connection.config();
        // Half of the time, so that a broker that does not answer is not the only attempt.
        let spare = self.delivery_timeout.saturating_sub(self.linger);
        client.request_timeout = client.request_timeout.max(Duration::from_secs(30)).min(spare / 2);
        let defaults = ProducerConfig::default();
        ProducerConfig {
            client,
            acks: self.acks.0,
            batch_size: self.batch_size,
            linger: self.linger,
            max_block: self.delivery_timeout,
            compression: self.compression,
            max_request_size: self.max_request_size,
            buffer_memory: defaults
                .buffer_memory
                .max(self.max_request_size.saturating_mul(4)),
            delivery_timeout: self.delivery_timeout,
            ..defaults
        }
    }
}

/// Deliveries that are waited for, each with a tag. Those of one partition end in their order.
pub struct Deliveries<T> {
    waiting: BTreeMap<i32, VecDeque<(T, Delivery)>>,
    count: usize,
}

impl<T> Deliveries<T> {
    /// None.
    pub fn new() -> Self {
        Deliveries {
            waiting: BTreeMap::new(),
            count: 0,
        }
    }

    /// One more.
    pub fn push(&mut self, tag: T, delivery: Delivery) {
        self.count += 1;
        self.waiting
            .entry(delivery.partition())
            .or_default()
            .push_back((tag, delivery));
    }

    /// How many are waited for.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Hands over what has ended; the task is woken when there is more.
    pub fn poll(&mut self, cx: &mut Context<'_>, done: &mut impl FnMut(T, Result<RecordMetadata>)) {
        for queue in self.waiting.values_mut() {
            while let Some((_, delivery)) = queue.front_mut() {
                let Poll::Ready(result) = Pin::new(delivery).poll(cx) else {
                    break;
                };
                if let Some((tag, _)) = queue.pop_front() {
                    self.count -= 1;
                    done(tag, result);
                }
            }
        }
    }

    /// Hands over what has ended by now.
    pub async fn look(&mut self, done: &mut impl FnMut(T, Result<RecordMetadata>)) {
        poll_fn(|cx| {
            self.poll(cx, done);
            Poll::Ready(())
        })
        .await;
    }

    /// The result of `future`; what ends meanwhile is handed over at once.
    pub async fn beside<O>(
        &mut self,
        done: &mut impl FnMut(T, Result<RecordMetadata>),
        future: impl Future<Output = O>,
    ) -> O {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let output = future.as_mut().poll(cx);
            if output.is_pending() {
                self.poll(cx, done);
            }
            output
        })
        .await
    }

    /// Waits until no more than `left` are waited for.
    pub async fn down_to(&mut self, left: usize, done: &mut impl FnMut(T, Result<RecordMetadata>)) {
        poll_fn(|cx| {
            self.poll(cx, done);
            if self.count <= left {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
