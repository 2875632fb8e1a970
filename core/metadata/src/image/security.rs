//! SCRAM credentials, client quotas, ACLs and delegation tokens, as the records say them (Kafka classes `ScramImage`,
//! `ClientQuotasImage`, `AclsImage`, `DelegationTokenImage`). Who may do what is decided elsewhere.

use super::Map;
use ottla_types::{Uuid, Violation};
use ottla_wire::metadata_records::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, RemoveAccessControlEntryRecord,
    RemoveUserScramCredentialRecord, UserScramCredentialRecord,
};
use std::collections::BTreeMap;

/// A SCRAM credential: what a server keeps of a password.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScramCredential {
    /// The salt.
    pub salt: Vec<u8>,
    /// `StoredKey` of RFC 5802.
    pub stored_key: Vec<u8>,
    /// `ServerKey` of RFC 5802.
    pub server_key: Vec<u8>,
    /// The iteration count.
    pub iterations: i32,
}

impl std::fmt::Debug for ScramCredential {
    /// Without the keys: a violation or a trace may print an image.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A user and the SCRAM mechanism of the credential: 1 SHA-256, 2 SHA-512.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScramUser {
    /// The mechanism.
    pub mechanism: i8,
    /// The user.
    pub name: String,
}

/// Whom a quota holds for: entity types (`user`, `client-id`, `ip`) to names, `None` for the default.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// A quota's value, ordered by its bits so that an image can be compared and hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaValue(u64);

impl QuotaValue {
    /// The value.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl std::fmt::Debug for QuotaValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// An access control entry, in the numbers of Kafka's enums.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// `ResourceType`.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// `PatternType`.
    pub pattern_type: i8,
    /// The principal, such as `User:alice`.
    pub principal: String,
    /// The host, or `*`.
    pub host: String,
    /// `AclOperation`.
    pub operation: i8,
    /// `AclPermissionType`.
    pub permission_type: i8,
}

/// A delegation token, without its HMAC.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DelegationToken {
    /// Its owner.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// Issued at, in ms.
    pub issue_timestamp: i64,
    /// Cannot be renewed beyond, in ms.
    pub max_timestamp: i64,
    /// Expires at, in ms.
    pub expiration_timestamp: i64,
}

/// Everything that is about who a client is and what it may use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Security {
    /// SCRAM credentials.
    pub scram: Map<ScramUser, ScramCredential>,
    /// Client quotas. No entity stands here without a key.
    pub quotas: Map<QuotaEntity, BTreeMap<String, QuotaValue>>,
    /// ACLs by their id.
    pub acls: Map<Uuid, Acl>,
    /// Delegation tokens by their id.
    pub tokens: Map<String, DelegationToken>,
}

impl Security {
    pub(super) fn put_scram(&mut self, r: &UserScramCredentialRecord<'_>) {
        let credential = ScramCredential {
            salt: r.salt.to_vec(),
            stored_key: r.stored_key.to_vec(),
            server_key: r.server_key.to_vec(),
            iterations: r.iterations,
        };
        self.scram.insert_mut(
            ScramUser {
                mechanism: r.mechanism,
                name: r.name.to_string(),
            },
            credential,
        );
    }

    pub(super) fn remove_scram(&mut self, r: &RemoveUserScramCredentialRecord<'_>) -> Result<(), Violation> {
        let user = ScramUser {
            mechanism: r.mechanism,
            name: r.name.to_string(),
        };
        removed(
            self.scram.remove_mut(&user),
            "metadata-removed-credential-exists",
            r,
        )
    }

    pub(super) fn put_quota(&mut self, r: &ClientQuotaRecord<'_>) {
        let entity: QuotaEntity = r
            .entity
            .iter()
            .map(|e| (e.entity_type.to_string(), e.entity_name.map(str::to_string)))
            .collect();
        let mut values = self.quotas.get(&entity).cloned().unwrap_or_default();
        if r.remove {
            values.remove(r.key);
        } else {
            values.insert(r.key.to_string(), QuotaValue(r.value.to_bits()));
        }
        if values.is_empty() {
            self.quotas.remove_mut(&entity);
        } else {
            self.quotas.insert_mut(entity, values);
        }
    }

    pub(super) fn put_acl(&mut self, r: &AccessControlEntryRecord<'_>) -> Result<(), Violation> {
        let acl = Acl {
            resource_type: r.resource_type,
            resource_name: r.resource_name.to_string(),
            pattern_type: r.pattern_type,
            principal: r.principal.to_string(),
            host: r.host.to_string(),
            operation: r.operation,
            permission_type: r.permission_type,
        };
        if self.acls.contains_key(&r.id) {
            return Err(Violation::new("metadata-acl-created-once", format!("{r:?}")));
        }
        self.acls.insert_mut(r.id, acl);
        Ok(())
    }

    pub(super) fn remove_acl(&mut self, r: &RemoveAccessControlEntryRecord) -> Result<(), Violation> {
        removed(self.acls.remove_mut(&r.id), "metadata-removed-acl-exists", r)
    }

    pub(super) fn put_token(&mut self, r: &DelegationTokenRecord<'_>) {
        let token = DelegationToken {
            owner: r.owner.to_string(),
            requester: r.requester.to_string(),
            renewers: r.renewers.iter().map(|renewer| renewer.to_string()).collect(),
            issue_timestamp: r.issue_timestamp,
            max_timestamp: r.max_timestamp,
            expiration_timestamp: r.expiration_timestamp,
        };
        self.tokens.insert_mut(r.token_id.to_string(), token);
    }

    /// Kafka does not mind removing a token that is not there: expiry and a request may both remove it.
    pub(super) fn remove_token(&mut self, id: &str) {
        self.tokens.remove_mut(id);
    }
}

fn removed(found: bool, invariant: &'static str, record: &dyn std::fmt::Debug) -> Result<(), Violation> {
    if found {
        Ok(())
    } else {
        Err(Violation::new(invariant, format!("{record:?}")))
    }
}
