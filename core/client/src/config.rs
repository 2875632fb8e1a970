//! What all clients are configured with, under Kafka's names and with Kafka 4.3's defaults.

use std::time::Duration;

use ottla_rpc::ClientOptions;

use crate::{Error, Result};

/// Settings that producer, consumer and admin share.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `bootstrap.servers`: some brokers of the cluster, as `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: names this client in the broker's logs and quotas.
    pub client_id: String,
    /// `request.timeout.ms` (30 s): how long one request may take.
    pub request_timeout: Duration,
    /// `retry.backoff.ms` (100 ms): the pause before the first retry; it doubles with each, with 20% of jitter.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms` (1 s).
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms` (50 ms): the pause before a broker that could not be reached is tried again; doubles too.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms` (1 s).
    pub reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms` (10 s), the negotiation of versions included.
    pub connection_setup_timeout: Duration,
    /// `metadata.max.age.ms` (5 min): what is known about a topic is asked for anew after this long.
    pub metadata_max_age: Duration,
    /// `default.api.timeout.ms` (60 s): how long an operation may take, its retries included.
    pub api_timeout: Duration,
    /// The largest response that is accepted. Kafka has no such setting; it must exceed `fetch.max.bytes`.
    pub max_response: usize,
}

impl ClientConfig {
    /// Kafka's defaults, and these servers (separated by commas).
    pub fn new(bootstrap_servers: &str) -> Self {
        ClientConfig {
            bootstrap_servers: split(bootstrap_servers),
            ..ClientConfig::default()
        }
    }

    /// The servers as host and port.
    pub(crate) fn servers(&self) -> Result<Vec<(String, u16)>> {
        let servers = self.bootstrap_servers.iter().flat_map(|s| split(s));
        let servers: Vec<_> = servers.map(|s| parse_server(&s)).collect::<Result<_>>()?;
        if servers.is_empty() {
            return Err(Error::config(
                "bootstrap.servers",
                "it is empty",
                "name a broker as host:port",
            ));
        }
        Ok(servers)
    }

    pub(crate) fn connection(&self, max_in_flight: usize) -> ClientOptions {
        ClientOptions {
            client_id: self.client_id.clone(),
            connect_timeout: self.connection_setup_timeout,
            request_timeout: self.request_timeout,
            max_frame: self.max_response,
            max_in_flight,
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            bootstrap_servers: Vec::new(),
            client_id: "ottla".to_owned(),
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            connection_setup_timeout: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(300),
            api_timeout: Duration::from_secs(60),
            max_response: 256 << 20,
        }
    }
}

/// `isolation.level`: which records of transactions a reader sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All of them, up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions, up to the last stable offset.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn id(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

fn split(servers: &str) -> Vec<String> {
    let parts = servers.split(',').map(str::trim).filter(|s| !s.is_empty());
    parts.map(str::to_owned).collect()
}

/// `host:port`, `[v6]:port`, or either behind a `PROTOCOL://`.
fn parse_server(server: &str) -> Result<(String, u16)> {
    let bad = |why| {
        Error::config(
            "bootstrap.servers",
            format!("`{server}` {why}"),
            "write host:port",
        )
    };
    let address = server.split_once("://").map_or(server, |(_, rest)| rest);
    let (host, port) = address.rsplit_once(':').ok_or_else(|| bad("has no port"))?;
    let port: u16 = port.parse().map_err(|_| bad("has no valid port"))?;
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() || port == 0 {
        return Err(bad("names no host or port 0"));
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_split_and_checked() {
        let config = ClientConfig::new("a:1, [::1]:2,PLAINTEXT://c:3,");
        let servers = config.servers().unwrap();
        assert_eq!(servers, [("a".into(), 1), ("::1".into(), 2), ("c".into(), 3)]);
        for bad in ["", "a", "a:", "a:x", ":1", "a:0", "a:70000"] {
            let error = ClientConfig::new(bad).servers().unwrap_err();
            assert!(error.to_string().contains("bootstrap.servers"), "{bad}: {error}");
        }
    }
}
