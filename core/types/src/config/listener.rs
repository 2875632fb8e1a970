//! Addresses in a configuration: listeners, the protocol map, quorum voters. What must agree between them is in
//! `checks.rs`; nothing here resolves a name.

use std::fmt;

use super::value::split_list;

/// How a listener protects its connections (Kafka enum `SecurityProtocol`). Only `PLAINTEXT` is served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL over plain TCP.
    SaslPlaintext = 2,
    /// SASL over TLS.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// The number in registration requests and records.
    pub const fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// By name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|p| p.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name, a protocol and an address: something to listen on, or to be reached at (Kafka class `Endpoint`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    /// The listener's name, in capitals.
    pub name: String,
    /// How it protects connections.
    pub protocol: SecurityProtocol,
    /// Host name or address without brackets; empty stands for every interface, or, when advertised, for this machine's
    /// own name.
    pub host: String,
    /// The port; 0 asks the system for a free one.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// A member of the static quorum: an entry of `controller.quorum.voters`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Voter {
    /// Its `node.id`.
    pub id: i32,
    /// Where it listens.
    pub host: String,
    /// The port there.
    pub port: u16,
}

/// The listener names and their protocols: `listener.security.protocol.map`, later entries winning over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolMap(Vec<(String, SecurityProtocol)>);

impl ProtocolMap {
    /// Reads `NAME:PROTOCOL,NAME:PROTOCOL`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut map = Vec::new();
        for entry in split_list(text) {
            let (name, protocol) = entry
                .rsplit_once(':')
                .ok_or_else(|| format!("`{entry}` is not of the form LISTENER:PROTOCOL"))?;
            let protocol = SecurityProtocol::from_name(protocol.trim()).ok_or_else(|| {
                format!("`{protocol}` is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")
            })?;
            map.push((name.trim().to_uppercase(), protocol));
        }
        Ok(ProtocolMap(map))
    }

    /// The protocol of the listener `name`.
    pub fn get(&self, name: &str) -> Option<SecurityProtocol> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, protocol)| *protocol)
    }

    /// Gives `name` a protocol unless it has one: a controller listener counts as `PLAINTEXT` as long as nobody touches the
    /// map (KIP-631).
    pub(super) fn add_missing(&mut self, name: &str) {
        if self.get(name).is_none() {
            self.0.push((name.to_string(), SecurityProtocol::Plaintext));
        }
    }
}

/// Reads one entry of `listeners`: `NAME://host:port`, the host empty or in brackets if it is an IPv6 address.
pub(super) fn listener(entry: &str, protocols: &ProtocolMap) -> Result<Listener, String> {
    let form = || format!("`{entry}` is not of the form NAME://host:port");
    let (name, address) = entry.split_once("://").ok_or_else(form)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    if name.is_empty() || !is_host(host) {
        return Err(form());
    }
    let port = port
        .parse()
        .map_err(|_| format!("`{entry}`: a port is a number from 0 to 65535"))?;
    let name = name.to_uppercase();
    let protocol = protocols.get(&name).ok_or_else(|| {
        format!(
            "the listener {name} has no protocol: add `{name}:PLAINTEXT` to listener.security.protocol.map"
        )
    })?;
    Ok(Listener {
        name,
        protocol,
        host: host.to_string(),
        port,
    })
}

/// Whether `text` is a host name or an address as far as its characters go (Kafka's `Utils.validHostPattern`).
pub(super) fn is_host(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-%._:".contains(c))
}

/// Reads `host:port`, the host not empty and in brackets if it is an IPv6 address.
pub(super) fn host_port(entry: &str) -> Result<(String, u16), String> {
    let form = || format!("`{entry}` is not of the form host:port");
    let (host, port) = entry.rsplit_once(':').ok_or_else(form)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if host.is_empty() || bare.is_none() && host.contains([':', '/', '@', '[', ']']) {
        return Err(form());
    }
    let port = port
        .parse()
        .map_err(|_| format!("`{entry}`: a port is a number from 0 to 65535"))?;
    Ok((bare.unwrap_or(host).to_string(), port))
}

/// Reads `id@host:port`.
pub(super) fn voter(entry: &str) -> Result<Voter, String> {
    let (id, address) = entry
        .split_once('@')
        .ok_or_else(|| format!("`{entry}` is not of the form id@host:port"))?;
    let id = id
        .parse()
        .map_err(|_| format!("`{entry}`: a voter's id is a whole number"))?;
    let (host, port) =
        host_port(address).map_err(|_| format!("`{entry}` is not of the form id@host:port"))?;
    Ok(Voter { id, host, port })
}
