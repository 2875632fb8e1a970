//! Identifiers: offsets, epochs, nodes, topics, and Kafka's UUIDs in their base64url spelling.

/// A record's position in its partition; also a log's end (the next offset to be given). −1 stands for "none" on the wire.
pub type Offset = i64;
/// A leader epoch of a partition, or an epoch of the metadata quorum. −1 stands for "unknown".
pub type Epoch = i32;
/// A producer's id, handed out in blocks by the controller. −1 stands for "not idempotent".
pub type ProducerId = i64;
/// The generation of a producer id.
pub type ProducerEpoch = i16;

/// A broker's or controller's `node.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub i32);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A partition of a topic, by name. Shown as Kafka names its folder: `topic-0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// 128 bits, shown as Kafka does: 22 characters of unpadded base64url (Kafka class `Uuid`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// All zero: "no id" on the wire.
    pub const ZERO: Uuid = Uuid([0; 16]);
    /// The topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// From its bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Uuid(bytes)
    }

    /// Its bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether it is [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }

    /// Turns 16 random bytes into a version 4 UUID that Kafka accepts for topics and directories: none of the reserved low
    /// values, and its text does not begin with `-`, so that it can stand in a command line (Kafka class `Uuid.randomUuid`).
    /// Returns `None` when these bytes would break that rule; the caller draws again.
    pub fn from_random(mut bytes: [u8; 16]) -> Option<Self> {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        (bytes[0] >> 2 != 62).then_some(Uuid(bytes))
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::with_capacity(22);
        for chunk in self.0.chunks(3) {
            let word = chunk
                .iter()
                .enumerate()
                .fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
            for i in 0..=chunk.len() {
                out.push(BASE64URL[(word >> (18 - 6 * i)) as usize & 63] as char);
            }
        }
        f.write_str(&out)
    }
}

impl std::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not a UUID in Kafka's spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UuidParseError(
    /// The text.
    pub String,
);

impl std::fmt::Display for UuidParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` is not a UUID: 22 characters of base64url are expected (`ottla storage random-uuid` makes one)",
            self.0
        )
    }
}

impl std::error::Error for UuidParseError {}

impl std::str::FromStr for Uuid {
    type Err = UuidParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || UuidParseError(text.to_string());
        let text = text.strip_suffix("==").unwrap_or(text);
        if text.len() != 22 {
            return Err(bad());
        }
        let mut bits: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let six = BASE64URL.iter().position(|b| *b == c).ok_or_else(bad)? as u128;
            // The last character carries two bits of the value and four that must be zero.
            bits = if i < 21 {
                bits << 6 | six
            } else if six & 15 == 0 {
                bits << 2 | six >> 4
            } else {
                return Err(bad());
            };
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        let id: Uuid = "5L6g3nShT-eMCtK--X86sw".parse().unwrap();
        assert_eq!(id.to_string(), "5L6g3nShT-eMCtK--X86sw");
    }

    #[test]
    fn uuid_refuses_what_is_not_one() {
        for text in [
            "",
            "short",
            "5L6g3nShT-eMCtK--X86s!",
            "5L6g3nShT-eMCtK--X86sx",
            "5L6g3nShT-eMCtK--X86swAA",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_random_uuid_never_begins_with_a_dash() {
        assert!(
            Uuid::from_random([0xff; 16])
                .unwrap()
                .to_string()
                .starts_with('_')
        );
        assert_eq!(Uuid::from_random([0xf8; 16]), None);
    }
}
