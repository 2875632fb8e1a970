//! The features of Kafka 4.3.1 and the levels this node can run at (Kafka class `Feature`, KIP-584).

/// A feature and its range of levels.
pub struct Supported {
    /// Its name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

const fn feature(name: &'static str, min: i16, max: i16) -> Supported {
    Supported { name, min, max }
}

/// As a stock Kafka 4.3.1 broker announces and registers them. A level is what the metadata log may contain, not a promise
/// that every API behind it is served already: `APIS.md` says which are.
pub const SUPPORTED: &[Supported] = &[
    feature("eligible.leader.replicas.version", 0, 1),
    feature("group.version", 0, 1),
    feature("kraft.version", 0, 1),
    feature("metadata.version", 7, 30),
    feature("share.version", 0, 1),
    feature("streams.version", 0, 1),
    feature("transaction.version", 0, 2),
];
