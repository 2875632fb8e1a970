//! What the addresses in a node's configuration make together: roles, listeners, the quorum, and whether they agree (Kafka's
//! `SocketServerConfigs`, and the part of `KafkaConfig.validateValues` about listeners). Single addresses are in `listener.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::broker::{Roles, value_in};
use super::listener::{Listener, ProtocolMap, SecurityProtocol, Voter, host_port, is_host, listener, voter};
use super::value::{ConfigValue, InvalidConfig, split_list};

/// The endpoints of a node, in agreement with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) roles: Roles,
    pub(super) listeners: Vec<Listener>,
    pub(super) advertised: Vec<Listener>,
    pub(super) advertised_controller: Vec<Listener>,
    pub(super) controller_names: Vec<String>,
    pub(super) inter_broker: String,
    pub(super) voters: Vec<Voter>,
    pub(super) bootstrap: Vec<(String, u16)>,
    pub(super) connection_overrides: Vec<(String, i32)>,
    pub(super) http: Vec<(String, u16)>,
}

/// Reads the addresses and checks that they agree.
pub(super) fn read(effective: &BTreeMap<String, String>) -> Result<Endpoints, Vec<InvalidConfig>> {
    let one = |error| vec![error];
    let list = |name: &str| value_in(effective, name).as_list().unwrap_or_default().to_vec();
    let roles = list("process.roles");
    let roles = Roles {
        broker: roles.iter().any(|r| r == "broker"),
        controller: roles.iter().any(|r| r == "controller"),
    };
    // Not put into capitals, unlike the names in `listeners`: Kafka does not match `controller` with `CONTROLLER` either.
    let controller_names = list("controller.listener.names");
    let protocols = protocol_map(effective, &controller_names).map_err(one)?;

    let listeners = read_listeners(effective, "listeners", &protocols).map_err(one)?;
    distinct_ports(&listeners).map_err(one)?;
    let advertised = match effective.contains_key("advertised.listeners") {
        true => read_listeners(effective, "advertised.listeners", &protocols).map_err(one)?,
        false => listeners.clone(),
    };
    let (to_controller, to_broker): (Vec<Listener>, Vec<Listener>) = advertised
        .into_iter()
        .partition(|l| controller_names.contains(&l.name));
    let advertised_controller = controller_names
        .iter()
        .filter_map(|name| {
            [&to_controller, &listeners]
                .into_iter()
                .flatten()
                .find(|l| l.name == *name)
        })
        .cloned()
        .collect();

    let of_entry = |key: &'static str| move |reason| InvalidConfig::of_key(key, reason);
    let voters: Result<Vec<Voter>, String> = list("controller.quorum.voters")
        .iter()
        .map(|e| voter(e))
        .collect();
    let bootstrap: Result<Vec<(String, u16)>, String> = list("controller.quorum.bootstrap.servers")
        .iter()
        .map(|e| host_port(e))
        .collect();
    let endpoints = Endpoints {
        roles,
        inter_broker: inter_broker(effective, &protocols).map_err(one)?,
        listeners,
        advertised: if roles.broker { to_broker } else { Vec::new() },
        advertised_controller: if roles.controller {
            advertised_controller
        } else {
            Vec::new()
        },
        controller_names,
        voters: voters
            .map_err(of_entry("controller.quorum.voters"))
            .map_err(one)?,
        bootstrap: bootstrap
            .map_err(of_entry("controller.quorum.bootstrap.servers"))
            .map_err(one)?,
        connection_overrides: connection_overrides(effective).map_err(one)?,
        http: http(&list("ottla.http.listeners"))
            .map_err(of_entry("ottla.http.listeners"))
            .map_err(one)?,
    };
    let node_id = value_in(effective, "node.id").as_i32().unwrap_or(-1);
    let mut errors = disagreements(&endpoints, node_id);
    errors.extend(early_start(effective, &endpoints));
    if errors.is_empty() {
        Ok(endpoints)
    } else {
        Err(errors)
    }
}

/// `ottla.http.listeners`: `http://host:port` entries as Kafka Connect writes its `listeners`, or `off`.
fn http(entries: &[String]) -> Result<Vec<(String, u16)>, String> {
    if let [only] = entries
        && only.eq_ignore_ascii_case("off")
    {
        return Ok(Vec::new());
    }
    let read = |entry: &String| {
        let form = || format!("`{entry}` is not of the form http://host:port, and not off");
        let (scheme, address) = entry.split_once("://").ok_or_else(form)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(format!("`{entry}`: TLS is not served here; write http://"));
        }
        let address = Some(address).filter(|_| scheme.eq_ignore_ascii_case("http"));
        let (host, port) = address.and_then(|a| a.rsplit_once(':')).ok_or_else(form)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if !is_host(bare.unwrap_or(host)) || bare.is_none() && host.contains(':') {
            return Err(form());
        }
        let port = port
            .parse()
            .map_err(|_| format!("`{entry}`: a port is a number from 0 to 65535"))?;
        Ok((bare.unwrap_or(host).to_string(), port))
    };
    entries.iter().map(read).collect()
}

/// `listener.security.protocol.map`. As long as nobody sets it, a controller listener of another name counts as `PLAINTEXT`.
fn protocol_map(
    effective: &BTreeMap<String, String>,
    controller_names: &[String],
) -> Result<ProtocolMap, InvalidConfig> {
    const KEY: &str = "listener.security.protocol.map";
    let text = value_in(effective, KEY);
    let text = text.as_str().unwrap_or_default();
    let mut map = ProtocolMap::parse(text).map_err(|reason| InvalidConfig::new(KEY, text, reason))?;
    if !effective.contains_key(KEY) {
        for name in controller_names {
            map.add_missing(name);
        }
    }
    Ok(map)
}

/// Reads a list of listeners of which no two have the same name and none asks for protection that is not there.
fn read_listeners(
    effective: &BTreeMap<String, String>,
    key: &str,
    protocols: &ProtocolMap,
) -> Result<Vec<Listener>, InvalidConfig> {
    let value = value_in(effective, key);
    let bad = |reason| InvalidConfig {
        key: key.to_string(),
        value: value.to_text(),
        reason,
        kafkas: None,
    };
    let mut names = BTreeSet::new();
    let mut listeners = Vec::new();
    for entry in value.as_list().unwrap_or_default() {
        let read = listener(entry, protocols).map_err(bad)?;
        if read.protocol != SecurityProtocol::Plaintext {
            return Err(bad(format!(
                "the listener {} asks for {}, which is not available: remove it, or map it to PLAINTEXT in \
                 listener.security.protocol.map and protect it by other means",
                read.name, read.protocol
            )));
        }
        if !names.insert(read.name.clone()) {
            return Err(bad(format!(
                "the listener {} stands in the list twice",
                read.name
            )));
        }
        listeners.push(read);
    }
    Ok(listeners)
}

/// Two listeners may only share a port if one is an IPv4 and the other an IPv6 address (KIP-797).
fn distinct_ports(listeners: &[Listener]) -> Result<(), InvalidConfig> {
    let family = |l: &Listener| l.host.parse::<IpAddr>().ok().map(|ip| ip.is_ipv4());
    for (i, one) in listeners.iter().enumerate().filter(|(_, l)| l.port != 0) {
        for other in listeners.iter().skip(i + 1).filter(|l| l.port == one.port) {
            let apart = matches!((family(one), family(other)), (Some(a), Some(b)) if a != b);
            if !apart {
                let reason = format!(
                    "{} and {} have the same port: only an IPv4 and an IPv6 address may share one",
                    one.name, other.name
                );
                return Err(InvalidConfig::of_key("listeners", reason));
            }
        }
    }
    Ok(())
}

/// The name of the listener between brokers.
fn inter_broker(
    effective: &BTreeMap<String, String>,
    protocols: &ProtocolMap,
) -> Result<String, InvalidConfig> {
    const KEY: &str = "inter.broker.listener.name";
    let protocol = value_in(effective, "security.inter.broker.protocol");
    match value_in(effective, KEY) {
        ConfigValue::String(_) if effective.contains_key("security.inter.broker.protocol") => Err(
            InvalidConfig::of_key(KEY, "remove either this key or security.inter.broker.protocol"),
        ),
        ConfigValue::String(name) => {
            let upper = name.to_uppercase();
            match protocols.get(&upper) {
                Some(_) => Ok(upper),
                None => Err(InvalidConfig::new(
                    KEY,
                    name,
                    "listener.security.protocol.map does not have this listener",
                )),
            }
        }
        _ => Ok(protocol.as_str().unwrap_or("PLAINTEXT").to_string()),
    }
}

/// Reads `max.connections.per.ip.overrides`: `host:limit` entries, IPv6 addresses without brackets.
fn connection_overrides(effective: &BTreeMap<String, String>) -> Result<Vec<(String, i32)>, InvalidConfig> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let value = value_in(effective, KEY);
    let text = value.as_str().unwrap_or_default();
    let read = |entry: &String| {
        let (host, limit) = entry.rsplit_once(':')?;
        let limit = limit.trim().parse().ok().filter(|n: &i32| *n >= 0)?;
        is_host(host.trim()).then(|| (host.trim().to_string(), limit))
    };
    split_list(text)
        .iter()
        .map(|entry| {
            read(entry).ok_or_else(|| {
                InvalidConfig::new(KEY, text, format!("`{entry}` is not of the form address:limit"))
            })
        })
        .collect()
}

/// `early.start.listeners` may only name listeners that there are.
fn early_start(effective: &BTreeMap<String, String>, endpoints: &Endpoints) -> Option<InvalidConfig> {
    const KEY: &str = "early.start.listeners";
    let names = value_in(effective, KEY);
    let known = |name: &String| {
        let listens = endpoints
            .listeners
            .iter()
            .any(|l| l.name.eq_ignore_ascii_case(name));
        listens
            || endpoints
                .controller_names
                .iter()
                .any(|n| n.eq_ignore_ascii_case(name))
    };
    let stranger = names
        .as_list()
        .unwrap_or_default()
        .iter()
        .find(|name| !known(name))?;
    Some(InvalidConfig::new(
        KEY,
        stranger,
        "there is no listener of this name",
    ))
}

/// What is wrong between roles, listeners and the quorum.
fn disagreements(e: &Endpoints, node_id: i32) -> Vec<InvalidConfig> {
    let mut errors = Vec::new();
    let mut require = |ok: bool, key: &str, reason: &str| {
        if !ok {
            errors.push(InvalidConfig::of_key(key, reason));
        }
    };
    let listens = |name: &String| e.listeners.iter().any(|l| l.name == *name);
    require(
        !e.voters.is_empty() || !e.bootstrap.is_empty(),
        "controller.quorum.bootstrap.servers",
        "either this key or controller.quorum.voters must name the controllers",
    );
    if e.roles.controller {
        require(
            e.voters.is_empty() || e.voters.iter().any(|v| v.id == node_id),
            "controller.quorum.voters",
            "it must contain this node's id, because process.roles has `controller`",
        );
        require(
            e.controller_names.iter().all(listens),
            "controller.listener.names",
            "each of its listeners must stand in `listeners` (where names are in capitals), because process.roles has `controller`",
        );
    } else {
        require(
            !e.controller_names.iter().any(listens),
            "controller.listener.names",
            "none of its listeners may stand in `listeners`, because process.roles does not have `controller`",
        );
    }
    if e.roles.broker {
        require(
            !e.advertised.is_empty(),
            "advertised.listeners",
            "a broker needs a listener that does not belong to the controller",
        );
        let known = e.advertised.is_empty() || e.advertised.iter().any(|l| l.name == e.inter_broker);
        let names: Vec<&str> = e.advertised.iter().map(|l| l.name.as_str()).collect();
        require(
            known,
            "inter.broker.listener.name",
            &format!(
                "brokers would talk over {}, but clients are offered {} only",
                e.inter_broker,
                names.join(", ")
            ),
        );
    } else {
        require(
            e.listeners.iter().all(|l| e.controller_names.contains(&l.name)),
            "listeners",
            "only listeners of controller.listener.names may stand here, because process.roles is `controller`",
        );
    }
    require(
        e.advertised
            .iter()
            .chain(&e.advertised_controller)
            .all(|l| l.host != "0.0.0.0" || e.controller_only(l)),
        "advertised.listeners",
        "nobody can connect to 0.0.0.0: set this key to an address that clients reach",
    );
    errors
}

impl Endpoints {
    /// Whether `l` belongs to the controller and nothing but its listener is known, which may well be every interface.
    fn controller_only(&self, l: &Listener) -> bool {
        self.controller_names.contains(&l.name) && self.listeners.contains(l)
    }
}
