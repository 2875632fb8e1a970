//! What members of a group tell each other through the coordinator, which only carries it: subscriptions on the way to the
//! leader, assignments on the way back (Kafka class `ConsumerProtocol`, versions 0 to 3).

use std::collections::BTreeMap;

use ottla_types::TopicPartition;
use ottla_wire::consumer_protocol::consumer_protocol_assignment as assignment;
use ottla_wire::consumer_protocol::consumer_protocol_subscription as subscription;
use ottla_wire::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_wire::{DecodeError, EncodeError, Reader};

/// The newest version of both messages.
const NEWEST: i16 = 3;

/// What one member wants, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topics, in order.
    pub topics: Vec<String>,
    /// What the assignor of this member tells the leader's.
    pub user_data: Option<Vec<u8>>,
    /// The partitions that it has and has not given up (KIP-429, since version 1).
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got them, -1 if it has none (since version 2).
    pub generation: i32,
    /// `client.rack` (KIP-881, since version 3).
    pub rack: Option<String>,
}

impl Default for Subscription {
    fn default() -> Self {
        Subscription {
            topics: Vec::new(),
            user_data: None,
            owned: Vec::new(),
            generation: -1,
            rack: None,
        }
    }
}

impl Subscription {
    /// The bytes for JoinGroup.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.encode_as(NEWEST)
    }

    /// The bytes in an older version, which leaves out what that has no field for.
    pub fn encode_as(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        let owned = by_topic(&self.owned).into_iter();
        let message = ConsumerProtocolSubscription {
            topics: self.topics.iter().map(String::as_str).collect(),
            user_data: self.user_data.as_deref(),
            owned_partitions: owned
                .map(|(topic, partitions)| subscription::TopicPartition { topic, partitions })
                .collect(),
            generation_id: self.generation,
            rack_id: self.rack.as_deref(),
        };
        let mut bytes = version.to_be_bytes().to_vec();
        message.encode(&mut bytes, version)?;
        Ok(bytes)
    }

    /// Out of another member's bytes. A version that is newer than known is read as the newest known: fields are only ever
    /// added at the end.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i16()?.min(NEWEST);
        let message = ConsumerProtocolSubscription::decode(&mut reader, version)?;
        let mut topics: Vec<String> = message.topics.into_iter().map(str::to_owned).collect();
        topics.sort();
        topics.dedup();
        let owned = message.owned_partitions.into_iter();
        Ok(Subscription {
            topics,
            user_data: message.user_data.map(<[u8]>::to_vec),
            owned: flat(owned.map(|t| (t.topic, t.partitions))),
            generation: message.generation_id,
            rack: message.rack_id.map(str::to_owned),
        })
    }
}

/// The bytes that tell a member its partitions, for SyncGroup. In version 1, as every client since Kafka 2.4 reads it: the
/// newer ones differ in nothing but the number.
pub fn encode_assignment(partitions: &[TopicPartition]) -> Result<Vec<u8>, EncodeError> {
    let version = 1;
    let assigned = by_topic(partitions).into_iter();
    let message = ConsumerProtocolAssignment {
        assigned_partitions: assigned
            .map(|(topic, partitions)| assignment::TopicPartition { topic, partitions })
            .collect(),
        user_data: None,
    };
    let mut bytes = i16::to_be_bytes(version).to_vec();
    message.encode(&mut bytes, version)?;
    Ok(bytes)
}

/// The partitions that a member was told. No bytes at all are no partitions: so a leader treats a member that it has passed
/// over.
pub fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?.min(NEWEST);
    let message = ConsumerProtocolAssignment::decode(&mut reader, version)?;
    let assigned = message.assigned_partitions.into_iter();
    Ok(flat(assigned.map(|t| (t.topic, t.partitions))))
}

/// Partitions grouped by topic, both in order.
pub(crate) fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics
            .entry(&partition.topic)
            .or_default()
            .push(partition.partition);
    }
    topics.values_mut().for_each(|p| p.sort_unstable());
    topics
}

/// Partitions one by one, in order, each once.
fn flat<'a>(topics: impl Iterator<Item = (&'a str, Vec<i32>)>) -> Vec<TopicPartition> {
    let each = topics
        .flat_map(|(topic, partitions)| partitions.into_iter().map(move |p| TopicPartition::new(topic, p)));
    let mut all: Vec<_> = each.collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partitions() -> impl Strategy<Value = Vec<TopicPartition>> {
        proptest::collection::btree_set(("[a-c]{1,2}", 0..5), 0..8)
            .prop_map(|set| set.into_iter().map(|(t, p)| TopicPartition::new(t, p)).collect())
    }

    fn subscriptions() -> impl Strategy<Value = Subscription> {
        let topics = proptest::collection::btree_set("[a-z]{1,3}", 0..5);
        let data = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9));
        let rack = proptest::option::of("[a-z]{0,3}");
        (topics, data, partitions(), -1..100, rack).prop_map(
            |(topics, user_data, owned, generation, rack)| Subscription {
                topics: topics.into_iter().collect(),
                user_data,
                owned,
                generation,
                rack,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(subscription in subscriptions(), version in 0i16..=3) {
            let read = Subscription::decode(&subscription.encode_as(version).unwrap()).unwrap();
            let mut expected = subscription;
            if version < 3 { expected.rack = None; }
            if version < 2 { expected.generation = -1; }
            if version < 1 { expected.owned = Vec::new(); }
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn assignments_too(partitions in partitions()) {
            prop_assert_eq!(decode_assignment(&encode_assignment(&partitions).unwrap()).unwrap(), partitions);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (Subscription::decode(&bytes), decode_assignment(&bytes));
        }
    }

    /// The layout as `ConsumerProtocol` of kafka-clients 4.3.1 writes it, byte by byte.
    #[test]
    fn bytes_are_kafkas() {
        let subscription = Subscription {
            topics: vec!["t".into()],
            user_data: None,
            owned: vec![TopicPartition::new("t", 1)],
            generation: 5,
            rack: Some("r".into()),
        };
        let expected = [
            &[0u8, 3][..],
            &[0, 0, 0, 1, 0, 1, b't'],
            &[255, 255, 255, 255],
            &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 1],
            &[0, 0, 0, 5],
            &[0, 1, b'r'],
        ];
        assert_eq!(subscription.encode().unwrap(), expected.concat());
        let newer = [&[0u8, 9][..], &expected[1..].concat(), &[1, 2, 3]].concat();
        assert_eq!(Subscription::decode(&newer), Ok(subscription));
        assert!(Subscription::decode(&[255, 255, 0, 0, 0, 0]).is_err());
        assert_eq!(decode_assignment(&[]), Ok(Vec::new()));
    }
}
