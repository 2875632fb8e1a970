//! From keys to their newest offset, in memory of a fixed size (Kafka class `SkimpyOffsetMap`): 16 bytes of hash and 8 of offset a
//! slot, open addressing. Two keys of one hash would be taken for one: 128 bits of a seeded hash make that as unlikely as Kafka's MD5
//! does. When the map is full the round ends there and the next one goes on.

use super::CleanError;
use super::txns::Transactions;
use ottla_types::Offset;
use ottla_wire::records::{BatchRef, Decompressor};
use twox_hash::XxHash3_128;

/// Bytes of a slot.
const SLOT: usize = 24;

/// Newest offset by key.
#[derive(Debug, Clone)]
pub struct OffsetMap {
    hashes: Vec<u128>,
    /// 0 for a free slot, else the offset and 1. All zeros, so that memory that is not used is not touched.
    offsets: Vec<u64>,
    used: usize,
    limit: usize,
    seed: u64,
    latest: Offset,
}

impl OffsetMap {
    /// An empty map within `bytes` (`log.cleaner.dedupe.buffer.size` by `log.cleaner.threads`), which fills up to `load_factor`
    /// (`log.cleaner.io.buffer.load.factor`). It has room for one key at least. `first_dirty` is where the round begins to read;
    /// `seed` is drawn by the caller.
    pub fn new(bytes: usize, load_factor: f64, seed: u64, first_dirty: Offset) -> Self {
        let slots = (bytes / SLOT).max(2);
        let limit = (slots as f64 * load_factor) as usize;
        OffsetMap {
            hashes: vec![0; slots],
            offsets: vec![0; slots],
            used: 0,
            // One slot stays free: a search for a key that is not there ends at it.
            limit: limit.clamp(1, slots - 1),
            seed,
            latest: first_dirty.saturating_sub(1),
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How many keys it takes.
    pub fn capacity(&self) -> usize {
        self.limit
    }

    /// The last offset that was indexed: the round cleans nothing above it.
    pub fn latest(&self) -> Offset {
        self.latest
    }

    /// Says that everything up to `offset` was indexed. Lower values than before change nothing.
    pub fn advance(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    /// The newest offset of `key`, if it was indexed.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let (slot, _) = self.find(key);
        let stored = self.offsets.get(slot).copied().unwrap_or(0);
        stored
            .checked_sub(1)
            .and_then(|offset| i64::try_from(offset).ok())
    }

    /// Takes `key` in at `offset`, which is above all before and not negative. False if there is no room for one more key.
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (slot, hash) = self.find(key);
        let Ok(stored) = u64::try_from(offset) else {
            return false;
        };
        if let (Some(place), Some(found)) = (self.offsets.get_mut(slot), self.hashes.get_mut(slot)) {
            if *place == 0 {
                if self.used == self.limit {
                    return false;
                }
                self.used += 1;
            }
            (*found, *place) = (hash, stored + 1);
        }
        self.advance(offset);
        true
    }

    /// The slot that has the key, or the free one where it would go; and its hash.
    fn find(&self, key: &[u8]) -> (usize, u128) {
        let hash = XxHash3_128::oneshot_with_seed(self.seed, key);
        let slots = self.offsets.len();
        let mut slot = (((hash >> 64) * slots as u128) >> 64) as usize;
        while self.offsets.get(slot).is_some_and(|o| *o != 0) && self.hashes.get(slot) != Some(&hash) {
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        (slot, hash)
    }
}

/// What became of a batch that was to be indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// All its keys are in the map.
    Whole,
    /// The map is full; the keys up to [`OffsetMap::latest`] are in it.
    Full,
}

/// Puts the keys of a batch's records from `from` on into the map. Aborted records and markers have no key that counts.
pub fn index_batch(
    map: &mut OffsetMap,
    txns: &mut Transactions,
    batch: &BatchRef<'_>,
    from: Offset,
    scratch: &mut Decompressor,
) -> Result<Indexed, CleanError> {
    let header = batch.header();
    let offset = header.base_offset;
    batch
        .verify_crc()
        .map_err(|error| CleanError::Batch { offset, error })?;
    let failed = |error| CleanError::Record { offset, error };
    let skip = if header.attributes.is_control() {
        txns.on_marker(batch, scratch)?;
        true
    } else {
        txns.on_data(header)
    };
    if !skip {
        let mut records = batch.records_with(scratch).map_err(failed)?;
        while let Some(record) = records.next_record() {
            let record = record.map_err(failed)?;
            let at = offset.saturating_add(i64::from(record.offset_delta));
            if at < from {
                continue;
            }
            match record.key {
                Some(key) if !map.put(key, at) => return Ok(Indexed::Full),
                _ => map.advance(at),
            }
        }
    }
    if header.last_offset() >= from {
        map.advance(header.last_offset());
    }
    Ok(Indexed::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(24 * 10, 0.3, 7, 100);
        assert_eq!((map.capacity(), map.latest()), (3, 99));
        assert!((100..103).all(|at| map.put(&[at as u8], at)));
        assert!(!map.put(b"another", 103));
        assert_eq!((map.len(), map.latest(), map.get(b"another")), (3, 102, None));
        assert!(map.put(&[100], 104));
        assert_eq!((map.get(&[100]), map.latest()), (Some(104), 104));
    }

    #[test]
    fn the_smallest_map_takes_a_key() {
        for (bytes, load) in [(0, 0.9), (24, 0.0), (48, f64::NAN), (48, 2.0)] {
            let mut map = OffsetMap::new(bytes, load, 0, 0);
            assert!(map.put(b"a", 0) && !map.put(b"b", 1));
            assert_eq!((map.get(b"a"), map.get(b"b")), (Some(0), None));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(keys in proptest::collection::vec(0..60u8, 0..200), slots in 2..80usize, seed: u64) {
            let mut map = OffsetMap::new(slots * 24, 1.0, seed, 0);
            let mut model = BTreeMap::new();
            for (at, key) in keys.iter().enumerate() {
                let room = model.contains_key(key) || model.len() < map.capacity();
                prop_assert_eq!(map.put(&[*key], at as i64), room);
                if room {
                    model.insert(*key, at as i64);
                }
            }
            for key in 0..60u8 {
                prop_assert_eq!(map.get(&[key]), model.get(&key).copied());
            }
        }
    }
}
