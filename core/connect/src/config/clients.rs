//! What a connector's clients are configured with: the worker's defaults, then `producer.`, `consumer.` or `admin.` of the worker,
//! then `producer.override.` and its kin of the connector (KIP-458).

use std::time::Duration;

use ottla_client::consumer::OffsetReset;
use ottla_client::group::GroupConfig;
use ottla_client::producer::Acks;
use ottla_client::{ClientConfig, IsolationLevel, ProducerConfig};
use ottla_wire::records::Codec;

use super::{Props, with_prefix};

/// As long as there is patience: the worker waits for the cluster, however long it is away.
const FOREVER: Duration = Duration::from_millis(i64::MAX as u64);

/// Reads one client's keys; what is not known is told once by [`Keys::unknown`].
struct Keys {
    left: Props,
    errors: Vec<String>,
}

impl Keys {
    /// The worker's `<client>.*` and the connector's `<client>.override.*`.
    fn new(worker: &Props, connector: &Props, client: &str) -> Self {
        let mut left = with_prefix(worker, &format!("{client}."));
        left.extend(with_prefix(connector, &format!("{client}.override.")));
        // The worker's own security settings count for its clients too.
        for (key, value) in worker {
            if ["security.protocol", "client.dns.lookup"].contains(&key.as_str()) {
                left.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Keys {
            left,
            errors: Vec::new(),
        }
    }

    fn take<T>(&mut self, key: &str, into: &mut T, read: impl Fn(&str) -> Option<T>) {
        if let Some(text) = self.left.remove(key) {
            match read(text.trim()) {
                Some(value) => *into = value,
                None => self
                    .errors
                    .push(format!("Invalid value {text} for configuration {key}")),
            }
        }
    }

    fn client(&mut self, client: &mut ClientConfig) {
        self.take("bootstrap.servers", &mut client.bootstrap_servers, |t| {
            Some(vec![t.to_owned()])
        });
        self.take("client.id", &mut client.client_id, |t| Some(t.to_owned()));
        self.take("request.timeout.ms", &mut client.request_timeout, millis);
        self.take("retry.backoff.ms", &mut client.retry_backoff, millis);
        self.take("retry.backoff.max.ms", &mut client.retry_backoff_max, millis);
        self.take("reconnect.backoff.ms", &mut client.reconnect_backoff, millis);
        self.take(
            "reconnect.backoff.max.ms",
            &mut client.reconnect_backoff_max,
            millis,
        );
        self.take("metadata.max.age.ms", &mut client.metadata_max_age, millis);
        self.take("default.api.timeout.ms", &mut client.api_timeout, millis);
        self.take(
            "socket.connection.setup.timeout.ms",
            &mut client.connection_setup_timeout,
            millis,
        );
        if let Some(protocol) = self.left.remove("security.protocol")
            && !protocol.eq_ignore_ascii_case("PLAINTEXT")
        {
            self.errors.push(format!(
                "security.protocol={protocol}: only PLAINTEXT is supported yet"
            ));
        }
        self.left.remove("client.dns.lookup");
    }

    fn finish<T>(self, what: &str, config: T) -> Result<T, Vec<String>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let unknown: Vec<&str> = self.left.keys().map(String::as_str).collect();
        if !unknown.is_empty() {
            tracing::warn!(
                keys = unknown.join(", "),
                "these keys have no effect on the {what}"
            );
        }
        Ok(config)
    }
}

fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn switch(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

/// The producer of a source task. Records are written once each and in order (`enable.idempotence`, which Kafka's worker switches
/// off for the sake of old brokers), and it never gives up by itself.
pub fn producer(
    worker: &Props,
    connector: &Props,
    servers: &str,
    id: &str,
) -> Result<ProducerConfig, Vec<String>> {
    let mut config = ProducerConfig::new(servers);
    config.client.client_id = format!("connector-producer-{id}");
    config.max_block = FOREVER;
    config.delivery_timeout = Duration::from_millis(i32::MAX as u64);
    let mut keys = Keys::new(worker, connector, "producer");
    keys.client(&mut config.client);
    keys.take("acks", &mut config.acks, |text| match text {
        "0" => Some(Acks::None),
        "1" => Some(Acks::Leader),
        "-1" | "all" => Some(Acks::All),
        _ => None,
    });
    keys.take("enable.idempotence", &mut config.enable_idempotence, |t| {
        switch(t).map(Some)
    });
    keys.take("batch.size", &mut config.batch_size, number);
    keys.take("linger.ms", &mut config.linger, millis);
    keys.take("buffer.memory", &mut config.buffer_memory, number);
    keys.take("max.block.ms", &mut config.max_block, millis);
    keys.take("compression.type", &mut config.compression, codec);
    let level = match config.compression {
        Codec::Gzip => "compression.gzip.level",
        Codec::Lz4 => "compression.lz4.level",
        _ => "compression.zstd.level",
    };
    keys.take(level, &mut config.compression_level, |t| number(t).map(Some));
    keys.take("max.request.size", &mut config.max_request_size, number);
    keys.take(
        "max.in.flight.requests.per.connection",
        &mut config.max_in_flight,
        number,
    );
    keys.take("retries", &mut config.retries, number);
    keys.take("delivery.timeout.ms", &mut config.delivery_timeout, millis);
    keys.finish("producer", config)
}

fn codec(text: &str) -> Option<Codec> {
    Some(match text {
        "none" => Codec::None,
        "gzip" => Codec::Gzip,
        "snappy" => Codec::Snappy,
        "lz4" => Codec::Lz4,
        "zstd" => Codec::Zstd,
        _ => return None,
    })
}

/// The consumer of a sink task: a member of the group `connect-<name>` that begins at the beginning, and whose position the worker
/// alone commits.
pub fn consumer(
    worker: &Props,
    connector: &Props,
    servers: &str,
    name: &str,
    id: &str,
) -> Result<GroupConfig, Vec<String>> {
    let mut group = GroupConfig::new(servers, format!("connect-{name}"));
    group.auto_commit = false;
    let config = &mut group.consumer;
    config.client.client_id = format!("connector-consumer-{id}");
    config.auto_offset_reset = OffsetReset::Earliest;
    let mut keys = Keys::new(worker, connector, "consumer");
    keys.client(&mut config.client);
    keys.take(
        "auto.offset.reset",
        &mut config.auto_offset_reset,
        |text| match text {
            "earliest" => Some(OffsetReset::Earliest),
            "latest" => Some(OffsetReset::Latest),
            "none" => Some(OffsetReset::None),
            _ => None,
        },
    );
    keys.take(
        "isolation.level",
        &mut config.isolation_level,
        |text| match text {
            "read_committed" => Some(IsolationLevel::ReadCommitted),
            "read_uncommitted" => Some(IsolationLevel::ReadUncommitted),
            _ => None,
        },
    );
    keys.take("fetch.min.bytes", &mut config.fetch_min_bytes, number);
    keys.take("fetch.max.wait.ms", &mut config.fetch_max_wait, millis);
    keys.take("fetch.max.bytes", &mut config.fetch_max_bytes, number);
    keys.take(
        "max.partition.fetch.bytes",
        &mut config.max_partition_fetch_bytes,
        number,
    );
    keys.take("max.poll.records", &mut config.max_poll_records, number);
    keys.take("check.crcs", &mut config.check_crcs, switch);
    keys.take("group.id", &mut group.group_id, |text| Some(text.to_owned()));
    keys.take("group.instance.id", &mut group.group_instance_id, |text| {
        Some(Some(text.to_owned()))
    });
    keys.take("session.timeout.ms", &mut group.session_timeout, millis);
    keys.take("heartbeat.interval.ms", &mut group.heartbeat_interval, millis);
    keys.take("max.poll.interval.ms", &mut group.max_poll_interval, millis);
    keys.take("client.rack", &mut group.rack, |text| Some(Some(text.to_owned())));
    // The worker commits what the task says is safe, whatever this says; so does Kafka's.
    keys.left.remove("enable.auto.commit");
    keys.finish("consumer", group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    #[test]
    fn a_connectors_override_goes_before_the_workers() {
        let worker = props(&[
            ("producer.linger.ms", "7"),
            ("producer.acks", "1"),
            ("linger.ms", "9"),
        ]);
        let connector = props(&[
            ("producer.override.acks", "all"),
            ("producer.override.compression.type", "zstd"),
        ]);
        let config = producer(&worker, &connector, "a:1", "f-0").unwrap();
        assert_eq!(
            (config.acks, config.linger),
            (Acks::All, Duration::from_millis(7))
        );
        assert_eq!(
            (config.compression, config.client.client_id.as_str()),
            (Codec::Zstd, "connector-producer-f-0")
        );
        let config = consumer(
            &worker,
            &props(&[("consumer.override.max.poll.records", "3")]),
            "a:1",
            "f",
            "f-0",
        )
        .unwrap();
        assert_eq!(
            (config.group_id.as_str(), config.auto_commit),
            ("connect-f", false)
        );
        let config = config.consumer;
        assert_eq!(
            (config.max_poll_records, config.auto_offset_reset),
            (3, OffsetReset::Earliest)
        );
    }

    #[test]
    fn what_can_not_be_done_is_refused() {
        let errors = producer(&props(&[("producer.acks", "2")]), &Props::new(), "a:1", "x").unwrap_err();
        assert_eq!(errors, ["Invalid value 2 for configuration acks"]);
        let errors = consumer(
            &props(&[("security.protocol", "SSL")]),
            &Props::new(),
            "a:1",
            "x",
            "x-0",
        )
        .unwrap_err();
        assert!(errors[0].contains("PLAINTEXT"), "{errors:?}");
    }
}
