//! Random lives of a log over a store in memory: appends right and wrong, watermarks, retention, truncation, crashes. After
//! every step the invariants hold and the log agrees with a plain list of what was appended; after a crash the log comes
//! back from its bytes as it was.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use ottla_log::recovery::Verdict;
use ottla_log::*;
use ottla_types::Time;
use proptest::prelude::*;
use support::{TinyStore, data_batch, marker_batch, meta, violation};

#[derive(Debug, Clone)]
enum Op {
    Plain { records: i32, body: usize },
    Idempotent { id: i64, records: i32, skew: i32 },
    Txn { id: i64, records: i32 },
    Marker { id: i64, commit: bool },
    Repeat,
    NewEpoch,
    HighWatermark { percent: i64 },
    Flush,
    DeleteRecords { percent: i64 },
    Retention { later: u64 },
    Truncate { percent: i64 },
    Roll,
    Reset { by: i64 },
    Crash,
    Stop,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..5i32, 0..200usize).prop_map(|(records, body)| Op::Plain { records, body }),
        6 => (0..3i64, 1..4i32, prop_oneof![8 => Just(0), 1 => -2..3i32])
            .prop_map(|(id, records, skew)| Op::Idempotent { id, records, skew }),
        4 => (10..13i64, 1..3i32).prop_map(|(id, records)| Op::Txn { id, records }),
        3 => (10..13i64, any::<bool>()).prop_map(|(id, commit)| Op::Marker { id, commit }),
        2 => Just(Op::Repeat),
        1 => Just(Op::NewEpoch),
        3 => (0..120i64).prop_map(|percent| Op::HighWatermark { percent }),
        1 => Just(Op::Flush),
        1 => (0..110i64).prop_map(|percent| Op::DeleteRecords { percent }),
        1 => (0..200_000u64).prop_map(|later| Op::Retention { later }),
        1 => (30..101i64).prop_map(|percent| Op::Truncate { percent }),
        1 => Just(Op::Roll),
        1 => (0..50i64).prop_map(|by| Op::Reset { by }),
        1 => Just(Op::Crash),
        1 => Just(Op::Stop),
    ]
}

struct World {
    cfg: LogConfig,
    log: Log,
    store: TinyStore,
    out: Vec<Effect>,
    epoch: i32,
    now: u64,
    /// Every batch in the log: base and last offset.
    model: Vec<(i64, i64)>,
    last: Option<(Vec<u8>, i64, i64)>,
}

impl World {
    fn new() -> Self {
        let cfg = LogConfig {
            segment_bytes: 900,
            index_interval_bytes: 150,
            index_bytes: 60,
            retention_bytes: Some(3000),
            retention_ms: Some(100_000),
            ..LogConfig::default()
        };
        let mut out = Vec::new();
        let mut store = TinyStore::default();
        let log = Log::create(0, Time(0), &mut out);
        store.apply(&log, &mut out, &[]);
        World {
            cfg,
            log,
            store,
            out,
            epoch: 0,
            now: 1000,
            model: Vec::new(),
            last: None,
        }
    }

    fn append(&mut self, bytes: Vec<u8>, origin: Origin) -> Result<Appended, AppendError> {
        let batch = meta(&bytes);
        let now = Time(self.now);
        let info = AppendInfo {
            batch,
            origin,
            leader_epoch: self.epoch,
            now,
            verification: None,
        };
        let before = self.log.clone();
        let result = self.log.append(&self.cfg, &info, &mut self.out);
        match &result {
            Ok(Appended::Written {
                base_offset,
                last_offset,
                ..
            }) => {
                assert_eq!(*base_offset, before.end());
                self.model.push((*base_offset, *last_offset));
                self.last = Some((bytes.clone(), *base_offset, *last_offset));
            }
            Ok(Appended::Duplicate {
                base_offset,
                last_offset,
                ..
            }) => {
                assert_eq!(before, self.log);
                assert!(
                    self.model.contains(&(*base_offset, *last_offset)) || *base_offset < self.log.start()
                );
            }
            Err(AppendError::Violation(violation)) => panic!("{violation}"),
            Err(_) => assert_eq!(before, self.log, "a refused batch changes nothing"),
        }
        self.store.apply(&self.log, &mut self.out, &bytes);
        result
    }

    fn act(&mut self, input: Input) {
        if let Err(error) = self.log.step(&self.cfg, input, &mut self.out) {
            assert_eq!(violation(error), None);
        }
        self.store.apply(&self.log, &mut self.out, &[]);
    }

    fn offset_at(&self, percent: i64) -> i64 {
        self.log.start() + (self.log.end() - self.log.start()) * percent / 100
    }

    fn idempotent(&mut self, id: i64, records: i32, skew: i32) {
        let last = self
            .log
            .producers()
            .get(id)
            .and_then(|p| p.last())
            .map(|b| b.last_sequence);
        let sequence = (last.map_or(0, |last| last + 1) + skew).max(0);
        let batch = data_batch(records, 20, self.now as i64, Some((id, 0, sequence, false)));
        let result = self.append(batch, Origin::Client);
        if skew == 0 {
            assert!(matches!(result, Ok(Appended::Written { .. })), "{result:?}");
        } else if sequence != last.map_or(0, |last| last + 1) && last.is_some() {
            assert!(
                !matches!(result, Ok(Appended::Written { .. })),
                "sequence {sequence} after {last:?}"
            );
        }
    }

    fn txn(&mut self, id: i64, records: i32) {
        let entry = self.log.producers().get(id);
        let epoch = entry.map_or(0, |e| e.epoch);
        let sequence = entry.and_then(|e| e.last()).map_or(0, |b| b.last_sequence + 1);
        let batch = data_batch(records, 10, self.now as i64, Some((id, epoch, sequence, true)));
        assert!(matches!(
            self.append(batch, Origin::Client),
            Ok(Appended::Written { .. })
        ));
    }

    fn marker(&mut self, id: i64, commit: bool) {
        let epoch = self
            .log
            .producers()
            .get(id)
            .map_or(0, |e| e.epoch.saturating_add(1));
        let batch = marker_batch(id, epoch, commit, self.now as i64);
        let result = self.append(
            batch,
            Origin::Coordinator {
                transaction_version: 2,
            },
        );
        assert!(matches!(result, Ok(Appended::Written { .. })), "{result:?}");
        assert!(!self.log.producers().has_open_txn(id, epoch));
    }

    fn repeat(&mut self) {
        let Some((bytes, base, last)) = self.last.clone() else {
            return;
        };
        let batch = meta(&bytes);
        if batch.is_control || !batch.has_producer_id() || !self.model.contains(&(base, last)) {
            return;
        }
        if let Ok(appended) = self.append(bytes, Origin::Client) {
            let Appended::Duplicate {
                base_offset,
                last_offset,
                ..
            } = appended
            else {
                panic!("{appended:?}")
            };
            assert_eq!((base_offset, last_offset), (base, last));
        }
    }

    fn truncate(&mut self, percent: i64) {
        let offset = self.offset_at(percent);
        let Some(truncation) = self.store.truncation(&self.cfg, &self.log, offset) else {
            return;
        };
        let expected = self
            .model
            .iter()
            .find(|(b, l)| *b < offset && *l >= offset)
            .map_or(offset, |(b, _)| *b);
        assert_eq!(truncation.end, expected);
        self.act(Input::Truncate(Box::new(truncation)));
        assert_eq!(self.log.end(), expected);
        self.model.retain(|(_, last)| *last < expected);
        self.epoch = self.epoch.max(self.log.epochs().latest().map_or(0, |e| e.epoch));
    }

    /// Nothing is lost in the page cache here: the log must come back as it was.
    fn crash(&mut self, clean: bool) {
        if clean {
            self.act(Input::Close);
        }
        let mut files = self.store.clone();
        let found = match files.recover(&self.cfg, clean, self.log.high_watermark()) {
            Ok(log) => log,
            Err(verdict) => panic!("{verdict:?}"),
        };
        found.check().expect("invariants");
        assert_eq!(found.end(), self.log.end());
        assert_eq!(found.start(), self.log.start());
        assert_eq!(found.high_watermark(), self.log.high_watermark());
        assert_eq!(
            found.producers().first_open_offset(),
            self.log.producers().first_open_offset()
        );
        // An epoch without a record may be forgotten, as Kafka does at load; its leader says it again.
        let with_records = |log: &Log| {
            let mut epochs = log.epochs().clone();
            epochs.truncate_from_end(log.end());
            epochs
        };
        assert_eq!(with_records(&found), with_records(&self.log));
        assert_eq!(found.producers().snapshot(), self.log.producers().snapshot());
        let shape = |log: &Log| -> Vec<(i64, u32, i64)> {
            log.segments()
                .list()
                .iter()
                .map(|s| (s.base, s.size, s.max_timestamp.timestamp))
                .collect()
        };
        assert_eq!(shape(&found), shape(&self.log));
        for (base, file) in &files.segments {
            let before = self.store.segments.get(base).expect("the same segments");
            assert_eq!(file.log, before.log);
            assert_eq!(file.index, before.index, "index of {base}");
            assert_eq!(file.txn, before.txn, "transaction index of {base}");
        }
        self.log = found;
        self.store = files;
    }

    fn run(&mut self, op: Op) {
        self.now += 700;
        match op {
            Op::Plain { records, body } => {
                let batch = data_batch(records, body, self.now as i64, None);
                assert!(matches!(
                    self.append(batch, Origin::Client),
                    Ok(Appended::Written { .. })
                ));
            }
            Op::Idempotent { id, records, skew } => self.idempotent(id, records, skew),
            Op::Txn { id, records } => self.txn(id, records),
            Op::Marker { id, commit } => self.marker(id, commit),
            Op::Repeat => self.repeat(),
            Op::NewEpoch => {
                self.epoch += 2;
                self.log.assign_epoch(self.epoch, &mut self.out);
                self.store.apply(&self.log, &mut self.out, &[]);
            }
            Op::HighWatermark { percent } => {
                let offset = self.offset_at(percent);
                self.act(Input::HighWatermark(offset));
            }
            Op::Flush => {
                let end = self.log.end();
                self.act(Input::Flushed(end));
                self.store.recovery_point = end;
            }
            Op::DeleteRecords { percent } => {
                let offset = self.offset_at(percent);
                self.act(Input::MoveStart(offset, StartCause::DeleteRecords));
            }
            Op::Retention { later } => {
                let (start, high) = (self.log.start(), self.log.high_watermark());
                self.act(Input::Retention(Time(self.now + later)));
                let first = self.log.segments().list()[0].base;
                assert!(self.log.start() >= start && first <= high.max(self.log.start()));
                self.model.retain(|(base, _)| *base >= first);
            }
            Op::Truncate { percent } => self.truncate(percent),
            Op::Roll => self.act(Input::Roll(Time(self.now))),
            Op::Reset { by } => {
                let offset = self.log.end() + by;
                self.act(Input::Reset(offset, Time(self.now)));
                self.model.clear();
            }
            Op::Crash => self.crash(false),
            Op::Stop => self.crash(true),
        }
        self.log.check().expect("invariants");
        self.compare();
    }

    /// The bytes hold the batches of the model, in order.
    fn compare(&self) {
        let first = self.log.segments().list()[0].base;
        let found: Vec<(i64, i64)> = self
            .store
            .segments
            .values()
            .flat_map(|f| ottla_wire::records::Batches::new(&f.log).map(|b| *b.expect("whole").header()))
            .map(|h| (h.base_offset, h.last_offset()))
            .collect();
        let model: Vec<(i64, i64)> = self
            .model
            .iter()
            .copied()
            .filter(|(base, _)| *base >= first)
            .collect();
        assert_eq!(found, model);
        let bases: Vec<i64> = self.store.segments.keys().copied().collect();
        let table: Vec<i64> = self.log.segments().list().iter().map(|s| s.base).collect();
        assert_eq!(bases, table);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_lives_as_the_model_says(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        world.crash(false);
    }
}

#[test]
fn flushed_batches_that_are_gone_are_corruption() {
    let mut world = World::new();
    for _ in 0..17 {
        world.run(Op::Plain {
            records: 2,
            body: 100,
        });
    }
    world.run(Op::Flush);
    world.run(Op::Plain {
        records: 2,
        body: 100,
    });
    let whole = world.store.clone();

    // Above the recovery point: cut, and one batch is lost.
    let file = world.store.segments.values_mut().next_back().expect("a segment");
    let at = file.log.len() - 5;
    file.log[at] ^= 1;
    let log = world
        .store
        .recover(&world.cfg, false, 100)
        .expect("cut, not corrupt");
    assert_eq!((log.end(), log.high_watermark()), (34, 34));

    // Below: offline, and the reason says what to do.
    let mut store = whole.clone();
    let file = store.segments.values_mut().next_back().expect("a segment");
    file.log[70] ^= 1;
    let Err(Verdict::Corrupt(corruption)) = store.recover(&world.cfg, false, 100) else {
        panic!("corrupt")
    };
    let text = corruption.to_string();
    assert!(
        text.contains("CRC") && text.contains("offline") && text.contains("other replicas"),
        "{text}"
    );

    // The flushed end is missing altogether.
    let mut store = whole;
    let file = store.segments.values_mut().next_back().expect("a segment");
    file.log.clear();
    assert!(matches!(
        store.recover(&world.cfg, false, 100),
        Err(Verdict::Corrupt(_))
    ));
}
