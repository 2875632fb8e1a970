//! A whole log directory through `ottla_store` on the disk in memory: built by a node, damaged in any of its files, loaded again.
//!
//! It never panics; what it keeps are batches that were written, in order, all of them below the first damage; where the log ends
//! equals a naive reference; a second start finds what the first left; and the log goes on from there. Damage to what is derived from
//! batches (indexes, snapshots) loses nothing.

mod build;
mod edit;
mod reference;

use ottla_io::mem::MemDisk;
use ottla_io::read_exact_at;
use ottla_log::{AppendInfo, BatchMeta, EpochCache};
use ottla_store::{LoadError, LogManager, LogReader, LogWriter, Upto};
use ottla_types::Offset;
use ottla_wire::records::{BatchHeader, BatchRef, Batches};

use crate::batches::data_batch;
use crate::env::{NOW, run};
use crate::input::Input;
use build::{Built, FOLDER, Files, append, build, open, partition, topic_id};
use edit::{Damage, edit, is_segment};
use reference::{Expected, expect};

/// One trial.
struct Case {
    built: Built,
    /// The files after the damage.
    files: Files,
    damage: Damage,
    clean: bool,
}

/// The target: what a node did, then what happened to its files.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let built = build(&mut input);
    let mut files = built.files.clone();
    let damage = edit(&mut files, &mut input);
    let clean = files.contains_key("data/.kafka_cleanshutdown");
    let case = Case {
        built,
        files,
        damage,
        clean,
    };
    let disk = MemDisk::import(&case.files).expect("files can be put on a disk");
    let Ok(manager) = open(&disk) else {
        assert!(
            case.changed("data/meta.properties"),
            "a directory that is whole opens"
        );
        return;
    };
    match run(manager.load(&partition(), case.built.cfg.clone(), NOW)) {
        Ok(Some((id, writer))) => case.loaded(&disk, manager, id == topic_id(), writer),
        Ok(None) => assert!(
            case.changed(&format!("{FOLDER}partition.metadata")),
            "a partition that is there is found"
        ),
        Err(error) => case.refused(&error),
    }
}

impl Case {
    fn changed(&self, path: &str) -> bool {
        self.files.get(path) != self.built.files.get(path)
    }

    fn any_changed(&self, matches: impl Fn(&str) -> bool) -> bool {
        let paths = self.built.files.keys().chain(self.files.keys());
        paths.filter(|path| matches(path)).any(|path| self.changed(path))
    }

    fn only_names_changed(&self) -> bool {
        let same = |(path, bytes): (&String, &Vec<u8>)| self.built.files.get(path).is_none_or(|b| b == bytes);
        self.files.iter().all(same)
    }

    /// The base of the first batch that is not as it was; `None` if all are.
    fn first_damage(&self) -> Option<Offset> {
        let (before, after) = (
            reference::segments(&self.built.files),
            reference::segments(&self.files),
        );
        for (n, (base, bytes)) in before.iter().enumerate() {
            let now = after.get(base).map(|b| b.as_slice()).unwrap_or_default();
            let same = bytes.iter().zip(now).take_while(|(a, b)| a == b).count();
            if same == bytes.len() && now.len() == same && after.contains_key(base) {
                continue;
            }
            let batches = reference::batches(bytes);
            let hit = batches.iter().find(|(at, _, batch)| at + batch.len() > same);
            let next = before.keys().nth(n + 1).copied();
            return hit
                .map(|(_, header, _)| header.base_offset)
                .or(next)
                .or(Some(Offset::MAX));
        }
        None
    }

    /// The log directory went offline, or the folder is nobody's.
    fn refused(&self, error: &LoadError) {
        match error {
            LoadError::NoTopicId { .. } => {
                assert!(self.changed(&format!("{FOLDER}partition.metadata")), "{error}");
            }
            LoadError::Storage(_) if self.damage.renamed > 0 => {}
            LoadError::Storage(_) => {
                let expected = expect(&self.built.cfg, &self.built.files, &self.files);
                let may = matches!(expected, Expected::Offline | Expected::Anything);
                assert!(may, "{error}; expected {expected:?}");
            }
            LoadError::Violation(_) => panic!("damaged files stop the process: {error}"),
            LoadError::DiskFull { .. } => panic!("there is room: {error}"),
            LoadError::InTwoDirectories { .. } => panic!("there is one directory: {error}"),
        }
    }

    fn loaded(&self, disk: &MemDisk, manager: LogManager, right_id: bool, writer: LogWriter) {
        assert!(right_id || self.changed(&format!("{FOLDER}partition.metadata")));
        writer.log().check().expect("the log's invariants hold");
        let found = Found::of(&writer, &disk.export());
        let expected = expect(&self.built.cfg, &self.built.files, &self.files);
        if self.damage.renamed == 0 {
            if expected != Expected::Anything {
                let sizes = reference::segments(&found.files).into_iter();
                let segments = sizes.map(|(base, bytes)| (base, bytes.len())).collect();
                let end = found.end;
                assert_eq!(
                    Expected::Log { segments, end },
                    expected,
                    "loss: {:?}",
                    writer.loss()
                );
            }
            self.check_kept(&found);
        }
        if expected != Expected::Anything {
            self.check_order(&found);
        }
        self.check_readers(&writer.reader());
        // What a first start did not look at, a second one may. The reference knows nothing of names that a start finishes.
        let predicted = self.damage.renamed == 0 || self.only_names_changed();
        if predicted && expected != Expected::Anything {
            self.check_again(disk, manager, writer, &found);
        }
    }

    /// Every batch below the first damage is there, and without damage every one that had been flushed.
    fn check_kept(&self, found: &Found) {
        let hints = |path: &str| path.ends_with("-checkpoint");
        if self.any_changed(hints) {
            return;
        }
        let damage = self.first_damage();
        if damage.is_none() {
            assert!(
                found.end >= self.built.flushed,
                "{} of {} flushed",
                found.end,
                self.built.flushed
            );
        }
        let kept = found.batches();
        let mut at = 0;
        for bytes in reference::segments(&self.built.files).values() {
            for (_, header, batch) in reference::batches(bytes) {
                // Records below the start were deleted, and a log that ends below its start begins anew there. What lies above the
                // end although it is whole was left behind a gap by a loss of power.
                let safe = header.base_offset < damage.unwrap_or(Offset::MAX);
                let of_log = header.last_offset() >= found.start && header.base_offset < found.end;
                if !safe || !of_log {
                    continue;
                }
                let place = kept.iter().skip(at).position(|kept| *kept == batch);
                at += place.unwrap_or_else(|| panic!("batch {} is gone", header.base_offset)) + 1;
            }
        }
    }

    /// What is kept are batches that were in the files, with ascending offsets; and unless bytes were moved about so that a batch
    /// could be forged, they are what was written.
    fn check_order(&self, found: &Found) {
        let kept = found.batches();
        let written: Vec<Vec<u8>> = {
            let segments = reference::segments(&self.built.files);
            let of = |bytes: &&Vec<u8>| {
                reference::batches(bytes)
                    .into_iter()
                    .map(|(_, _, b)| b.to_vec())
                    .collect()
            };
            segments
                .values()
                .flat_map(|bytes| -> Vec<Vec<u8>> { of(bytes) })
                .collect()
        };
        if self.damage.moved_bytes > 0 || self.damage.renamed > 0 {
            return;
        }
        let mut at = 0;
        let mut last = -1;
        for batch in kept {
            let header = BatchHeader::parse(batch).expect("a header");
            assert!(
                header.base_offset > last,
                "offsets fall at {}",
                header.base_offset
            );
            last = header.last_offset();
            // No checksum covers the first 21 bytes: offset, length, epoch, magic.
            let place = written.iter().skip(at).position(|w| w[21..] == batch[21..]);
            at += place.unwrap_or_else(|| panic!("batch {} was never written", header.base_offset)) + 1;
        }
    }

    /// Readers get an answer or an error at every offset and time; where no index was damaged, they get every batch.
    fn check_readers(&self, reader: &LogReader) {
        let offsets = reader.offsets();
        let sound = !self.any_changed(|path| path.starts_with(FOLDER));
        let mut from = offsets.start;
        while from < offsets.end {
            let slice = match run(reader.read(from, 1 << 20, Upto::LogEnd, true)) {
                Ok(slice) => slice,
                Err(error) if sound => panic!("at {from}: {error}"),
                Err(_) => break,
            };
            let Some(file) = slice.file else { break };
            let (read, bytes) = run(read_exact_at(
                &*file,
                slice.position,
                Default::default(),
                slice.len,
            ));
            read.expect("a slice lies in its file");
            let last = Batches::new(&bytes).map_while(Result::ok).last();
            let next = last.map_or(from, |batch| batch.header().next_offset());
            if next <= from {
                assert!(!sound, "a slice at {from} holds nothing from there on");
                break;
            }
            from = next;
        }
        // The end of a compacted log may hold nothing.
        let all = from >= offsets.end || self.built.cfg.compact;
        assert!(all || !sound, "reading stops at {from} of {}", offsets.end);
        for upto in [Upto::HighWatermark, Upto::LastStable] {
            let _ = run(reader.read(offsets.start, 100, upto, true));
        }
        for delta in [-20, 0, 5] {
            let _ = run(reader.offset_for_timestamp(NOW.as_millis() + delta));
        }
        let _ = run(reader.max_timestamp());
    }

    /// The second start finds what the first left, and the log goes on.
    fn check_again(&self, disk: &MemDisk, manager: LogManager, writer: LogWriter, first: &Found) {
        if self.clean {
            run(manager.close(vec![writer], 2)).expect("the disk is sound");
        } else {
            drop((manager, writer));
        }
        disk.crash();
        let (manager, mut writer) = self.reload(disk);
        let second = Found::of(&writer, &disk.export());
        assert_eq!(
            (second.start, second.end),
            (first.start, first.end),
            "the second start"
        );
        assert_eq!(second.logs(), first.logs(), "the second start changes segments");
        if self.tables_are_certain(first) {
            assert_eq!(second.epochs, first.epochs);
            assert_eq!(second.producers, first.producers);
        }
        assert_eq!(writer.loss(), None, "the second start loses something");
        if second.end == Offset::MAX {
            return;
        }
        let bytes = data_batch(1, 10, NOW.as_millis(), None);
        let batch = BatchMeta::from_header(BatchRef::first(&bytes).expect("a batch").header(), None);
        // A new leader's epoch is above all that there were.
        let batches = second.batches();
        let of_batches = batches
            .iter()
            .filter_map(|b| BatchHeader::parse(b))
            .map(|h| h.partition_leader_epoch);
        let of_table = second.epochs.latest().map(|latest| latest.epoch);
        let epoch = of_batches.chain(of_table).max().unwrap_or(0).saturating_add(1);
        let base = append(&mut writer, &bytes, AppendInfo::client(batch, epoch, NOW));
        assert_eq!(base, Ok(second.end), "an append");
        drop((manager, writer));
        if self.clean {
            // What was flushed before a clean stop is read whole now, so that its damage comes to light.
            return;
        }
        disk.crash();
        let (_manager, writer) = self.reload(disk);
        assert_eq!(writer.log().end(), second.end + 1, "loss: {:?}", writer.loss());
    }

    /// Whether a first start finds all that a second one can. Flushed batches are not read, so how much of a lost epoch checkpoint or
    /// snapshot is made good depends on which of them were looked at. An epoch checkpoint that begins above the first batch (records
    /// were deleted, and a crash brought them back) leaves lower batches without an epoch until it is written anew, and an empty log
    /// forgets its epoch at the second start: both as in Kafka. A snapshot knows producers of a flushed segment that vanished, which
    /// nobody misses at a start.
    fn tables_are_certain(&self, first: &Found) -> bool {
        let hints = |path: &str| path.ends_with("-checkpoint") || path.ends_with(".snapshot");
        let named_from = reference::epochs(&self.files).entries().first().map(|e| e.start);
        let batch = first
            .batches()
            .first()
            .and_then(|b| BatchHeader::parse(b))
            .map(|h| h.base_offset);
        let covered = named_from.is_none_or(|from| from <= batch.unwrap_or(first.end).max(first.start));
        let gone = self
            .built
            .files
            .keys()
            .any(|path| is_segment(path) && !self.files.contains_key(path));
        covered && first.start < first.end && !gone && !self.any_changed(hints)
    }

    fn reload(&self, disk: &MemDisk) -> (LogManager, LogWriter) {
        let manager = open(disk).expect("it opened before");
        let loaded = run(manager.load(&partition(), self.built.cfg.clone(), NOW));
        let (_, writer) = loaded
            .unwrap_or_else(|error| panic!("the second start: {error}"))
            .expect("the folder is there");
        (manager, writer)
    }
}

/// A loaded log.
struct Found {
    start: Offset,
    end: Offset,
    epochs: EpochCache,
    producers: Vec<u8>,
    files: Files,
}

impl Found {
    fn of(writer: &LogWriter, files: &Files) -> Found {
        let log = writer.log();
        Found {
            start: log.start(),
            end: log.end(),
            epochs: log.epochs().clone(),
            producers: log.producers().snapshot(),
            files: files.clone(),
        }
    }

    fn logs(&self) -> Vec<(&String, &Vec<u8>)> {
        self.files.iter().filter(|(path, _)| is_segment(path)).collect()
    }

    /// The log's batches, oldest first.
    fn batches(&self) -> Vec<&[u8]> {
        let segments = reference::segments(&self.files);
        let of = |bytes: &&'_ Vec<u8>| -> Vec<(usize, usize)> {
            let batches = reference::batches(bytes);
            batches.iter().map(|(at, _, batch)| (*at, batch.len())).collect()
        };
        segments
            .into_values()
            .flat_map(|bytes| of(&bytes).into_iter().map(move |(at, len)| &bytes[at..at + len]))
            .collect()
    }
}
