//! Who votes in the quorum, as the metadata log itself says it (KIP-853): what the control records KRaftVersion and Voters add
//! up to (Kafka classes `KRaftControlRecordStateMachine`, `VoterSet`). With `kraft.version` 0 the log says nothing, and
//! `controller.quorum.voters` does. How voters come to agree is `core/quorum`'s to come.

use ottla_types::{Uuid, Violation};
use ottla_wire::control_records::voters_record::{Endpoint, KRaftVersionFeature, Voter as WireVoter};
use ottla_wire::control_records::{ControlRecord, KRaftVersionRecord, VotersRecord};
use ottla_wire::records::ControlType;

/// The newest `kraft.version` that is known.
pub const MAX_KRAFT_VERSION: i16 = 1;

/// The quorum that the control records so far describe.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Quorum {
    /// The finalised `kraft.version`: 0 static voters, 1 voters that stand in the log.
    pub kraft_version: i16,
    /// The voters in the log; none with `kraft.version` 0.
    pub voters: Vec<Voter>,
}

/// A voter, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Voter {
    /// Its `node.id`.
    pub id: i32,
    /// The directory that holds its metadata log: a voter that lost its disk is another voter.
    pub directory_id: Uuid,
    /// Listener name, host and port, the first one first.
    pub endpoints: Vec<(String, String, u16)>,
    /// The lowest and highest `kraft.version` that it can work at.
    pub kraft_versions: (i16, i16),
}

impl Quorum {
    /// Takes note of a control record. Kinds that say nothing about the quorum change nothing, as in Kafka.
    pub fn replay(&mut self, kind: ControlType, value: &[u8]) -> Result<(), Violation> {
        if !matches!(kind, ControlType::KRaftVersion | ControlType::KRaftVoters) {
            return Ok(());
        }
        let record = ControlRecord::decode(kind, value);
        let record =
            record.map_err(|e| Violation::new("metadata-control-record-is-readable", format!("{e:?}")))?;
        match record {
            ControlRecord::KRaftVersion(r) if !(0..=MAX_KRAFT_VERSION).contains(&r.k_raft_version) => {
                let detail = format!(
                    "levels 0 to {MAX_KRAFT_VERSION} are known, the log is at {}",
                    r.k_raft_version
                );
                return Err(Violation::new("metadata-kraft-version-is-known", detail));
            }
            ControlRecord::KRaftVersion(r) => self.kraft_version = r.k_raft_version,
            ControlRecord::Voters(r) => self.voters = r.voters.iter().map(Voter::from_record).collect(),
            _ => {}
        }
        Ok(())
    }

    /// The control records that say it, in Kafka's order; none with `kraft.version` 0.
    pub fn control_records(&self) -> Vec<ControlRecord<'_>> {
        if self.kraft_version == 0 {
            return Vec::new();
        }
        let mut records = vec![ControlRecord::KRaftVersion(KRaftVersionRecord {
            version: 0,
            k_raft_version: self.kraft_version,
        })];
        if !self.voters.is_empty() {
            records.push(ControlRecord::Voters(VotersRecord {
                version: 0,
                voters: self.voters.iter().map(Voter::to_record).collect(),
            }));
        }
        records
    }
}

impl Voter {
    fn from_record(voter: &WireVoter<'_>) -> Self {
        let endpoint = |e: &Endpoint<'_>| (e.name.to_string(), e.host.to_string(), e.port);
        let range = &voter.k_raft_version_feature;
        Voter {
            id: voter.voter_id,
            directory_id: voter.voter_directory_id,
            endpoints: voter.endpoints.iter().map(endpoint).collect(),
            kraft_versions: (range.min_supported_version, range.max_supported_version),
        }
    }

    fn to_record(&self) -> WireVoter<'_> {
        WireVoter {
            voter_id: self.id,
            voter_directory_id: self.directory_id,
            endpoints: self
                .endpoints
                .iter()
                .map(|(name, host, port)| Endpoint {
                    name,
                    host,
                    port: *port,
                })
                .collect(),
            k_raft_version_feature: KRaftVersionFeature {
                min_supported_version: self.kraft_versions.0,
                max_supported_version: self.kraft_versions.1,
            },
        }
    }
}
