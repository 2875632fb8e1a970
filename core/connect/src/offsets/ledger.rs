//! Which source offsets may be committed: of each source partition the newest one before which everything was acknowledged. Pure.
//! Kafka: `SubmittedRecords`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::offsets::OffsetKey;
use crate::source::SourceMap;

/// A record that was sent, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    key: Arc<OffsetKey>,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    offset: SourceMap,
    done: bool,
}

/// The records under way, by source partition, each in the order in which they were sent.
#[derive(Debug, Default)]
pub struct Ledger {
    partitions: BTreeMap<Arc<OffsetKey>, VecDeque<Entry>>,
    next: u64,
}

impl Ledger {
    /// A record goes on its way. Its offset is that behind it.
    pub fn send(&mut self, key: &Arc<OffsetKey>, offset: SourceMap) -> Sent {
        let number = self.next;
        self.next += 1;
        let entry = Entry {
            number,
            offset,
            done: false,
        };
        self.partitions.entry(key.clone()).or_default().push_back(entry);
        Sent {
            key: key.clone(),
            number,
        }
    }

    /// A record has arrived.
    pub fn acknowledge(&mut self, sent: &Sent) {
        if let Some(queue) = self.partitions.get_mut(&sent.key)
            && let Ok(at) = queue.binary_search_by_key(&sent.number, |entry| entry.number)
            && let Some(entry) = queue.get_mut(at)
        {
            entry.done = true;
        }
    }

    /// Takes out the offsets that may be committed since the last call: one for each source partition in which something became
    /// complete.
    pub fn take(&mut self) -> BTreeMap<Arc<OffsetKey>, SourceMap> {
        let mut out = BTreeMap::new();
        self.partitions.retain(|key, queue| {
            let mut newest = None;
            while let Some(entry) = queue.pop_front_if(|entry| entry.done) {
                newest = Some(entry.offset);
            }
            if let Some(offset) = newest {
                out.insert(key.clone(), offset);
            }
            !queue.is_empty()
        });
        out
    }

    /// How many records are under way or not yet taken.
    pub fn len(&self) -> usize {
        self.partitions.values().map(VecDeque::len).sum()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Value;
    use proptest::prelude::*;

    fn key(name: &str) -> Arc<OffsetKey> {
        Arc::new(OffsetKey {
            connector: name.into(),
            partition: "{}".into(),
        })
    }

    fn offset(n: i64) -> SourceMap {
        SourceMap::from([("position".to_owned(), Value::Int64(n))])
    }

    #[test]
    fn an_offset_waits_for_all_before_it() {
        let (mut ledger, a) = (Ledger::default(), key("a"));
        let sent: Vec<Sent> = (1..=3).map(|n| ledger.send(&a, offset(n))).collect();
        let other = ledger.send(&key("b"), offset(9));
        ledger.acknowledge(&sent[1]);
        ledger.acknowledge(&other);
        assert_eq!(ledger.take(), BTreeMap::from([(key("b"), offset(9))]));
        ledger.acknowledge(&sent[0]);
        ledger.acknowledge(&sent[0]);
        assert_eq!(ledger.take(), BTreeMap::from([(a, offset(2))]));
        assert_eq!((ledger.take(), ledger.len()), (BTreeMap::new(), 1));
    }

    proptest! {
        /// In whatever order records arrive, what is committed never passes one that has not, and in the end all are.
        #[test]
        fn nothing_is_passed_over(order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(), keys in proptest::collection::vec(0..3usize, 40)) {
            let mut ledger = Ledger::default();
            let names = [key("a"), key("b"), key("c")];
            let sent: Vec<Sent> = keys.iter().enumerate().map(|(n, k)| ledger.send(&names[*k], offset(n as i64))).collect();
            let mut arrived = [false; 40];
            let mut committed = BTreeMap::new();
            for n in order {
                arrived[n] = true;
                ledger.acknowledge(&sent[n]);
                committed.extend(ledger.take());
                for (k, name) in names.iter().enumerate() {
                    let mine: Vec<usize> = (0..40).filter(|n| keys[*n] == k).collect();
                    let whole = mine.iter().take_while(|n| arrived[**n]).last();
                    let expected = whole.map(|n| offset(*n as i64));
                    prop_assert_eq!(committed.get(name), expected.as_ref());
                }
            }
            prop_assert!(ledger.is_empty());
        }
    }
}
