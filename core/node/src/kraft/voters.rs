//! The quorum of one: what a leader says at the begin of its epoch, and voters that this node can't be the only one of.

use ottla_metadata::Quorum;
use ottla_metadata::quorum::{MAX_KRAFT_VERSION, Voter};
use ottla_types::config::BrokerConfig;
use ottla_types::{NodeId, Time, Uuid};
use ottla_wire::control_records::ControlRecord;
use ottla_wire::control_records::leader_change_message::{LeaderChangeMessage, Voter as Granting};
use ottla_wire::records::{BatchOptions, ControlType, control_batch};

use crate::start::StartError;

/// The quorum that `storage format --standalone` writes: this node alone, with the directory that holds the metadata.
pub fn initial_quorum(broker: &BrokerConfig, directory_id: Uuid) -> Quorum {
    let endpoint = |l: &ottla_types::config::Listener| (l.name.clone(), l.host.clone(), l.port);
    Quorum {
        kraft_version: MAX_KRAFT_VERSION,
        voters: vec![Voter {
            id: broker.node_id(),
            directory_id,
            endpoints: broker
                .advertised_controller_listeners()
                .iter()
                .map(endpoint)
                .collect(),
            kraft_versions: (0, MAX_KRAFT_VERSION),
        }],
    }
}

/// Whether the log names no voter but this node.
pub fn check_ids(quorum: &Quorum, node: NodeId) -> Result<(), StartError> {
    if quorum.voters.iter().all(|voter| voter.id == node.0) && quorum.voters.len() <= 1 {
        return Ok(());
    }
    let ids: Vec<String> = quorum.voters.iter().map(|v| v.id.to_string()).collect();
    Err(StartError::Unsupported(format!(
        "the metadata log names the voters {}: a quorum of other than this one node is not served yet",
        ids.join(", ")
    )))
}

/// Whether this node, with this directory, is the voter that the log names, if it names one.
pub fn check(quorum: &Quorum, node: NodeId, directory: Option<Uuid>) -> Result<(), StartError> {
    check_ids(quorum, node)?;
    match quorum.voters.first() {
        Some(voter) if Some(voter.directory_id) != directory => Err(StartError::MetadataLog(format!(
            "the voter is node {node} with directory {}, and this directory is another one: start with the directory that holds the \
             cluster's metadata",
            voter.directory_id
        ))),
        _ => Ok(()),
    }
}

/// The control records that begin an epoch (Kafka class `LeaderState`). Voters that only `format` has named are repeated in the log.
pub fn first_of_an_epoch(
    quorum: &Quorum,
    node: NodeId,
    voters_in_log: bool,
    now: Time,
    options: &BatchOptions,
) -> Result<Vec<u8>, StartError> {
    // Version 0 whatever the quorum's version: Kafka 4.3 writes no other, and takes any for it.
    let voter = || {
        vec![Granting {
            voter_id: node.0,
            ..Granting::default()
        }]
    };
    let mut records = vec![ControlRecord::LeaderChange(LeaderChangeMessage {
        version: 0,
        leader_id: node.0,
        voters: voter(),
        granting_voters: voter(),
    })];
    if !voters_in_log {
        records.extend(quorum.control_records());
    }
    let mut values: Vec<(ControlType, Vec<u8>)> = Vec::new();
    for record in &records {
        let mut value = Vec::new();
        record.encode(&mut value)?;
        values.push((record.kind(), value));
    }
    let values: Vec<(ControlType, &[u8])> = values.iter().map(|(kind, value)| (*kind, &value[..])).collect();
    Ok(control_batch(now.as_millis(), &values, options)?)
}
