//! Random lives of a compacted log: idempotent and transactional producers, tombstones, every codec, rounds of cleaning with maps that
//! are too small, time that passes, crashes. After each round the log is exactly what a naive reference says: records, headers that
//! stay empty, markers; what lies above the round's end is the same to the byte; a reader of committed records sees the same; and a
//! recovery from the bytes alone finds every producer as it was.

#[allow(dead_code, unused_imports, reason = "each test file uses its part")]
mod support;

use ottla_log::Origin;
use ottla_log::clean::*;
use ottla_log::format::txn_index::{self, AbortedTxn};
use ottla_log::*;
use ottla_types::Time;
use ottla_wire::records::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::{Files, TinyStore, marker_batch, meta};

const RETENTION: u64 = 1000;

#[derive(Debug, Clone)]
enum Op {
    Data {
        id: i64,
        records: Vec<(u8, Option<u8>)>,
        codec: Codec,
        append_time: bool,
    },
    End {
        id: i64,
        commit: bool,
        bump: bool,
    },
    Roll,
    Tick(u64),
    Clean {
        keys: usize,
    },
    Crash,
}

/// Producers: below 0 none, up to 2 idempotent, above transactional.
fn op() -> impl Strategy<Value = Op> {
    let record = (
        0..5u8,
        prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)],
    );
    let codec = proptest::sample::select(Codec::ALL.to_vec());
    prop_oneof![
        12 => (-1..6i64, vec(record, 1..5), codec, any::<bool>())
            .prop_map(|(id, records, codec, append_time)| Op::Data { id, records, codec, append_time }),
        5 => (3..6i64, any::<bool>(), any::<bool>()).prop_map(|(id, commit, bump)| Op::End { id, commit, bump }),
        2 => Just(Op::Roll),
        3 => (0..1500u64).prop_map(Op::Tick),
        5 => prop_oneof![1 => 1..4usize, 2 => Just(100)].prop_map(|keys| Op::Clean { keys }),
        1 => Just(Op::Crash),
    ]
}

/// A record as the reference has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rec {
    offset: i64,
    key: u8,
    value: Option<u8>,
    timestamp: i64,
}

/// A batch as the reference has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    base: i64,
    last: i64,
    producer: (i64, i16, i32),
    records: Vec<Rec>,
    /// Which of all transactions it belongs to or ends.
    txn: Option<usize>,
    marker: bool,
    /// A marker that has lost its record.
    empty_marker: bool,
    horizon: Option<i64>,
}

#[derive(Default, Clone, Copy)]
struct Producer {
    epoch: i16,
    next: i32,
    txn: Option<usize>,
}

struct World {
    cfg: LogConfig,
    log: Log,
    store: TinyStore,
    model: Vec<Model>,
    /// Whether each transaction was aborted.
    aborted: Vec<bool>,
    producers: BTreeMap<i64, Producer>,
    now: u64,
    checkpoint: Option<i64>,
}

impl World {
    fn new() -> Self {
        let cfg = LogConfig {
            segment_bytes: 700,
            index_interval_bytes: 150,
            compact: true,
            delete: false,
            ..LogConfig::default()
        };
        let (mut out, mut store) = (Vec::new(), TinyStore::default());
        let log = Log::create(0, Time(0), &mut out);
        store.apply(&log, &mut out, &[]);
        World {
            cfg,
            log,
            store,
            model: Vec::new(),
            aborted: Vec::new(),
            producers: BTreeMap::new(),
            now: 10_000,
            checkpoint: None,
        }
    }

    fn append(&mut self, bytes: &[u8], origin: Origin, model: Model) {
        let info = AppendInfo {
            batch: meta(bytes),
            origin,
            leader_epoch: 1,
            now: Time(self.now),
            verification: None,
        };
        let mut out = Vec::new();
        let appended = self.log.append(&self.cfg, &info, &mut out).expect("appended");
        self.store.apply(&self.log, &mut out, bytes);
        self.log.set_high_watermark(self.log.end(), &mut out);
        let base = appended.base_offset();
        let mut model = Model {
            base,
            last: base + model.last,
            ..model
        };
        for (i, record) in model.records.iter_mut().enumerate() {
            record.offset = base + i as i64;
        }
        self.model.push(model);
    }

    fn data(&mut self, id: i64, records: &[(u8, Option<u8>)], codec: Codec, append_time: bool) {
        let producer = self.producers.entry(id).or_default();
        let transactional = id > 2;
        if transactional && producer.txn.is_none() {
            producer.txn = Some(self.aborted.len());
            self.aborted.push(false);
        }
        let names = if id < 0 {
            (-1, -1, -1)
        } else {
            (id, producer.epoch, producer.next)
        };
        let options = BatchOptions {
            producer_id: names.0,
            producer_epoch: names.1,
            base_sequence: names.2,
            transactional,
            log_append_time: append_time.then_some(self.now as i64),
            ..BatchOptions::default().with_codec(codec)
        };
        producer.next += records.len() as i32;
        let txn = producer.txn;
        let mut builder = BatchBuilder::new();
        let mut model = Vec::new();
        for (i, (key, value)) in records.iter().enumerate() {
            let stamp = self.now as i64 + if append_time { 0 } else { i as i64 };
            let value_bytes = value.map(|v| [v; 20]);
            let headers = [Header {
                key: b"h",
                value: Some(&[*key]),
            }];
            builder
                .append(
                    stamp,
                    Some(&[*key]),
                    value_bytes.as_ref().map(|v| v.as_slice()),
                    &headers,
                )
                .expect("small");
            model.push(Rec {
                offset: 0,
                key: *key,
                value: *value,
                timestamp: stamp,
            });
        }
        let bytes = builder.finish(&options, &mut Compressor::new()).expect("small");
        let last = records.len() as i64 - 1;
        let model = Model {
            base: 0,
            last,
            producer: names,
            records: model,
            txn,
            marker: false,
            empty_marker: false,
            horizon: None,
        };
        self.append(&bytes, Origin::Client, model);
    }

    fn end(&mut self, id: i64, commit: bool, bump: bool) {
        let producer = self.producers.entry(id).or_default();
        let Some(txn) = producer.txn.take() else { return };
        if bump {
            (producer.epoch, producer.next) = (producer.epoch + 1, 0);
        }
        self.aborted[txn] = !commit;
        let epoch = producer.epoch;
        let bytes = marker_batch(id, epoch, commit, self.now as i64);
        let origin = Origin::Coordinator {
            transaction_version: if bump { 2 } else { 1 },
        };
        let model = Model {
            base: 0,
            last: 0,
            producer: (id, epoch, -1),
            records: Vec::new(),
            txn: Some(txn),
            marker: true,
            empty_marker: false,
            horizon: None,
        };
        self.append(&bytes, origin, model);
    }

    fn aborted_txns(&self) -> Vec<AbortedTxn> {
        let entries = |f: &Files| {
            txn_index::entries(&f.txn)
                .collect::<Result<Vec<_>, _>>()
                .expect("sound")
        };
        self.store.segments.values().flat_map(entries).collect()
    }

    /// One round. Returns the last offset that it may have touched.
    fn round(&mut self, keys: usize) -> (i64, i64) {
        let clean_cfg = CleanConfig {
            delete_retention_ms: RETENTION,
            ..CleanConfig::default()
        };
        let range = Range::of(
            Extent::from(&self.log),
            self.checkpoint,
            &clean_cfg,
            Time(self.now),
        );
        let mut map = OffsetMap::new((keys + 1) * 24, 1.0, self.now, range.first_dirty);
        let (aborted, mut scratch) = (self.aborted_txns(), Decompressor::default());
        let mut txns = Transactions::new(range.first_dirty, aborted.clone());
        'index: for (base, files) in self.store.segments.range(..range.first_uncleanable) {
            for batch in Batches::new(&files.log) {
                let batch = batch.expect("whole");
                if batch.header().last_offset() >= range.first_dirty
                    && index_batch(&mut map, &mut txns, &batch, range.first_dirty, &mut scratch)
                        .expect("sound")
                        == Indexed::Full
                {
                    break 'index;
                }
            }
            let next = self.store.segments.range(base + 1..).next();
            map.advance(next.map_or(range.first_uncleanable, |(base, _)| *base) - 1);
        }
        let terms = Terms {
            now: Time(self.now),
            delete_retention_ms: RETENTION,
            first_uncleanable: range.first_uncleanable,
        };
        let producers = LastRecords::from(self.log.producers());
        let txns = Transactions::new(0, aborted);
        let latest = map.latest();
        let mut filter = Filter::new(map, terms, producers, txns, scratch);
        let list = self.log.segments().list().to_vec();
        let end = latest + 1;
        for group in group(
            &list,
            end,
            range.first_uncleanable,
            self.cfg.segment_bytes,
            self.cfg.index_bytes,
        ) {
            let sources = &list[group];
            self.clean_group(sources, &mut filter);
        }
        self.checkpoint = Some(end);
        (latest, range.first_uncleanable)
    }

    fn clean_group(&mut self, sources: &[SegmentState], filter: &mut Filter) {
        let base = sources[0].base;
        let mut segment = CleanedSegment::new(&self.cfg, base, sources.last().expect("one").modified);
        let mut log = Vec::new();
        for source in sources {
            let files = self.store.segments.remove(&source.base).expect("listed");
            for batch in Batches::new(&files.log) {
                let at = log.len();
                let fate = filter.pass(&batch.expect("whole"), &mut log).expect("sound");
                assert_eq!(fate == Fate::Dropped, log.len() == at);
                if let Some(header) = BatchHeader::parse(&log[at..]) {
                    segment.append(&header).expect("it fits");
                }
            }
        }
        filter
            .take_aborted()
            .into_iter()
            .for_each(|txn| segment.aborted(txn));
        assert_eq!(segment.size() as usize, log.len());
        let done = segment.finish();
        assert!(self.log.swap_cleaned(sources, done.state));
        let files = Files {
            log,
            index: done.index,
            time: done.time_index,
            txn: done.txn_index,
        };
        self.store.segments.insert(base, files);
    }

    /// The reference: what the round had to make of the log.
    fn expect(&mut self, latest: i64, first_uncleanable: i64) {
        let present: BTreeSet<usize> = self
            .model
            .iter()
            .filter(|b| !b.marker)
            .filter_map(|b| b.txn)
            .collect();
        let mut newest: BTreeMap<u8, i64> = BTreeMap::new();
        let is_aborted = |b: &Model| b.txn.is_some_and(|t| self.aborted[t]);
        for batch in self.model.iter().filter(|b| !is_aborted(b)) {
            for record in batch.records.iter().filter(|r| r.offset <= latest) {
                newest.insert(record.key, record.offset);
            }
        }
        let now = self.now as i64;
        let mut kept = Vec::new();
        for batch in self.model.clone() {
            let mut left = batch.clone();
            let producer = self.log.producers().get(batch.producer.0);
            let names = producer.is_some_and(|p| match p.last() {
                Some(last) => last.last_offset == batch.last,
                None => batch.marker && p.epoch == batch.producer.1,
            });
            let needed = names || batch.last + 1 == first_uncleanable;
            if batch.base > latest {
            } else if batch.marker {
                let ends_nothing = batch.txn.is_none_or(|t| !present.contains(&t));
                match batch.horizon {
                    _ if !ends_nothing => {}
                    None if !batch.empty_marker => left.horizon = Some(now + RETENTION as i64),
                    Some(horizon) if now < horizon => {}
                    _ if names => {}
                    _ if needed => (left.empty_marker, left.horizon) = (true, None),
                    _ => continue,
                }
            } else {
                let passed = batch.horizon.is_some_and(|h| now >= h);
                left.records.retain(|r| {
                    r.offset > latest
                        || !is_aborted(&batch)
                            && newest.get(&r.key) == Some(&r.offset)
                            && (r.value.is_some() || !passed)
                });
                if left.records.is_empty() {
                    if !needed {
                        continue;
                    }
                    left.horizon = None;
                } else if left.horizon.is_none()
                    && left.last <= latest
                    && left.records.iter().any(|r| r.value.is_none())
                {
                    left.horizon = Some(now + RETENTION as i64);
                }
            }
            kept.push(left);
        }
        self.model = kept;
    }

    /// The log as its bytes say, in the reference's terms.
    fn found(&self) -> Vec<Model> {
        let mut scratch = Decompressor::default();
        let mut known = self.model.iter();
        let mut found = Vec::new();
        for files in self.store.segments.values() {
            for batch in Batches::new(&files.log) {
                let batch = batch.expect("whole");
                batch.verify_crc().expect("intact");
                let header = *batch.header();
                let mut records = Vec::new();
                let mut stream = batch.records_with(&mut scratch).expect("readable");
                while let Some(record) = stream.next_record() {
                    let record = record.expect("readable");
                    if header.attributes.is_control() {
                        continue;
                    }
                    let key = record.key.expect("a key")[0];
                    let headers: Vec<_> = record.headers().collect::<Result<_, _>>().expect("readable");
                    assert_eq!(
                        headers,
                        [Header {
                            key: b"h",
                            value: Some(&[key])
                        }]
                    );
                    records.push(Rec {
                        offset: header.base_offset + i64::from(record.offset_delta),
                        key,
                        value: record.value.map(|v| v[0]),
                        timestamp: header.timestamp(record.timestamp_delta),
                    });
                }
                let marker = header.attributes.is_control();
                found.push(Model {
                    base: header.base_offset,
                    last: header.last_offset(),
                    producer: (header.producer_id, header.producer_epoch, header.base_sequence),
                    records,
                    txn: known.next().and_then(|m| m.txn),
                    marker,
                    empty_marker: marker && header.record_count == 0,
                    horizon: header.delete_horizon(),
                });
            }
        }
        found
    }

    /// The offsets that a consumer of committed records gets, by markers and transaction indexes alone.
    fn committed(&self) -> Vec<i64> {
        let mut ahead = self.aborted_txns();
        ahead.sort_by_key(|t| t.first_offset);
        let mut ahead = ahead.into_iter().peekable();
        let mut hidden = BTreeSet::new();
        let mut seen = Vec::new();
        let stable = self.log.last_stable_offset();
        for batch in self.found().into_iter().filter(|b| b.last < stable) {
            while let Some(txn) = ahead.next_if(|t| t.first_offset <= batch.last) {
                hidden.insert(txn.producer_id);
            }
            if batch.marker {
                hidden.remove(&batch.producer.0);
            } else if !(batch.txn.is_some() && hidden.contains(&batch.producer.0)) {
                seen.extend(batch.records.iter().map(|r| r.offset));
            }
        }
        seen
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.log.check().expect("no violation");
        prop_assert_eq!(&self.found(), &self.model);
        let stable = self.log.last_stable_offset();
        let committed: Vec<i64> = self
            .model
            .iter()
            .filter(|b| b.last < stable && !b.txn.is_some_and(|t| self.aborted[t]))
            .flat_map(|b| b.records.iter().map(|r| r.offset))
            .collect();
        prop_assert_eq!(self.committed(), committed);
        // Recovery from nothing but the segments' bytes.
        let mut bare = self.store.clone();
        (bare.recovery_point, bare.snapshots) = (0, BTreeMap::new());
        let log = bare
            .recover(&self.cfg, false, self.log.high_watermark())
            .expect("sound");
        prop_assert_eq!(log.end(), self.log.end());
        for (id, entry) in self.log.producers().entries() {
            let found = log.producers().get(id);
            // A batch that has lost its youngest record has an older largest timestamp.
            let last = |e: &ProducerEntry| {
                (
                    e.epoch,
                    e.last().map(|b| (b.last_sequence, b.last_offset, b.offset_delta)),
                )
            };
            prop_assert_eq!(found.map(last), Some(last(entry)), "producer {}", id);
            prop_assert_eq!(
                found.and_then(|e| e.txn_first_offset).is_some(),
                entry.txn_first_offset.is_some()
            );
        }
        for (base, files) in &self.store.segments {
            prop_assert_eq!(&files.index, &bare.segments[base].index);
        }
        Ok(())
    }

    fn above(&self, offset: i64) -> Vec<Vec<u8>> {
        let batches = self.store.segments.values().flat_map(|f| Batches::new(&f.log));
        batches
            .map(|b| b.expect("whole"))
            .filter(|b| b.header().base_offset > offset)
            .map(|b| b.bytes().to_vec())
            .collect()
    }

    fn clean(&mut self, keys: usize) -> Result<(), TestCaseError> {
        let before = self.store.clone();
        let (latest, first_uncleanable) = self.round(keys);
        prop_assert!(latest < self.log.last_stable_offset().max(1));
        self.expect(latest, first_uncleanable);
        let after = std::mem::replace(&mut self.store, before);
        let untouched = self.above(latest);
        self.store = after;
        prop_assert_eq!(self.above(latest), untouched);
        self.check()
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Data {
                id,
                records,
                codec,
                append_time,
            } => self.data(*id, records, *codec, *append_time),
            Op::End { id, commit, bump } => self.end(*id, *commit, *bump),
            Op::Roll => {
                let mut out = Vec::new();
                let end = self.log.end();
                self.log
                    .roll(end, RollReason::Asked, Time(self.now), &mut out)
                    .expect("no violation");
                self.store.apply(&self.log, &mut out, &[]);
            }
            Op::Tick(ms) => self.now += ms,
            Op::Clean { keys } => self.clean(*keys)?,
            Op::Crash => {
                let high_watermark = self.log.high_watermark();
                self.log = self
                    .store
                    .recover(&self.cfg, false, high_watermark)
                    .expect("sound");
                self.check()?;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_cleaned_log_is_what_the_reference_says(ops in vec(op(), 1..80)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op)?;
        }
        // Everything decided and rolled: rounds without news come to rest.
        for id in 3..6 {
            world.end(id, true, false);
        }
        world.step(&Op::Roll)?;
        world.clean(100)?;
        world.clean(100)?;
        let rested = world.store.segments.clone();
        world.clean(100)?;
        prop_assert_eq!(&world.store.segments, &rested);
        // And in the end each key has one value, each tombstone is gone.
        for _ in 0..3 {
            world.now += RETENTION;
            world.clean(100)?;
        }
        let mut keys = BTreeSet::new();
        for record in world.model.iter().flat_map(|b| &b.records) {
            prop_assert!(record.value.is_some() && keys.insert(record.key), "{record:?}");
        }
    }
}
