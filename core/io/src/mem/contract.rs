//! The contract of a loss of power, held against random histories: what is found afterwards is made of sectors that the files
//! had since their last sync, under names that they had since their directory's last sync, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::file::{PAGE, SECTOR};
use super::{MemDisk, Profile};
use crate::{Disk, File, Op, OpenOptions, Rng};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn now<T>(op: Op<T>) -> T {
    op.into_ready()
        .unwrap_or_else(|_| panic!("the disk in memory never waits"))
}

/// A file and every content that it had since its last sync; the first of them is durable.
struct Tracked {
    file: Arc<dyn File>,
    versions: Vec<Vec<u8>>,
}

impl Tracked {
    fn content(&self) -> Vec<u8> {
        self.versions.last().cloned().unwrap_or_default()
    }

    /// Panics unless `found` is a legal remainder.
    fn check(&self, profile: Profile, found: &[u8]) {
        let durable = &self.versions[0];
        if profile == Profile::Strict {
            assert_eq!(found, durable, "strict keeps the durable content");
        }
        let len = found.len();
        let known = self.versions.iter().any(|v| v.len() == len);
        // Write-back of an append may stop at a page.
        let torn =
            profile == Profile::Ext4Ordered && len > durable.len() && len.is_multiple_of(PAGE as usize);
        assert!(
            known || torn,
            "{profile:?}: length {len} of {:?}",
            self.versions.iter().map(Vec::len).collect::<Vec<_>>()
        );
        for (index, sector) in found.chunks(SECTOR as usize).enumerate() {
            let start = index * SECTOR as usize;
            let of = |version: &Vec<u8>| {
                let mut bytes = version
                    .get(start..version.len().min(start + sector.len()))
                    .unwrap_or(&[])
                    .to_vec();
                bytes.resize(sector.len(), 0);
                bytes
            };
            let legal = self.versions.iter().any(|v| of(v) == sector);
            assert!(
                legal,
                "{profile:?}: sector {index} of {len} bytes was never like that"
            );
        }
    }
}

/// All names, and every state that they had since the directory's last sync.
struct World {
    disk: MemDisk,
    handle: Arc<dyn Disk>,
    files: Vec<Tracked>,
    states: Vec<BTreeMap<&'static str, usize>>,
}

impl World {
    fn new() -> Self {
        let disk = MemDisk::new();
        World {
            handle: disk.handle(),
            disk,
            files: Vec::new(),
            states: vec![BTreeMap::new()],
        }
    }

    fn names(&self) -> BTreeMap<&'static str, usize> {
        self.states.last().cloned().unwrap_or_default()
    }

    fn step(&mut self, rng: &mut Rng) {
        let name = NAMES[rng.below(4) as usize];
        let path = Path::new("/").join(name);
        let mut names = self.names();
        match (rng.below(10), names.get(name).copied()) {
            (0..5, None) => {
                let file = now(self.handle.open(&path, OpenOptions::CreateNew)).unwrap();
                names.insert(name, self.files.len());
                self.files.push(Tracked {
                    file,
                    versions: vec![Vec::new()],
                });
                self.states.push(names);
            }
            (0..4, Some(file)) => self.write(file, rng),
            (4, Some(file)) => {
                let tracked = &mut self.files[file];
                let mut content = tracked.content();
                content.resize(rng.below(content.len() as u64 + 3000) as usize, 0);
                now(tracked.file.set_len(content.len() as u64)).unwrap();
                tracked.versions.push(content);
            }
            (5 | 6, Some(file)) => {
                let tracked = &mut self.files[file];
                now(tracked.file.sync_data()).unwrap();
                tracked.versions = vec![tracked.content()];
            }
            (7, Some(file)) => {
                let to = NAMES[rng.below(4) as usize];
                now(self.handle.rename(&path, &Path::new("/").join(to))).unwrap();
                names.remove(name);
                names.insert(to, file);
                self.states.push(names);
            }
            (8, Some(_)) => {
                now(self.handle.remove_file(&path)).unwrap();
                names.remove(name);
                self.states.push(names);
            }
            (9, _) => {
                now(self.handle.sync_dir(Path::new("/"))).unwrap();
                self.states = vec![names];
            }
            _ => {}
        }
    }

    fn write(&mut self, file: usize, rng: &mut Rng) {
        let tracked = &mut self.files[file];
        let mut content = tracked.content();
        let offset = if rng.chance(0.6) {
            content.len()
        } else {
            rng.below(content.len() as u64 + 2000) as usize
        };
        let mut bytes = vec![0; rng.between(1, 3000) as usize];
        rng.fill(&mut bytes);
        content.resize(content.len().max(offset + bytes.len()), 0);
        content[offset..offset + bytes.len()].copy_from_slice(&bytes);
        let (n, _) = now(tracked.file.write_at(offset as u64, vec![Bytes::from(bytes)]));
        n.unwrap();
        tracked.versions.push(content);
    }

    /// Panics unless what the disk holds is a legal remainder; says whether anything was lost.
    fn check(&self, profile: Profile) -> bool {
        let found = self.disk.export();
        // Which file each name shows can be told by its content only, so any file that the name has had will do.
        for name in NAMES {
            let had: BTreeSet<Option<usize>> = self.states.iter().map(|s| s.get(name).copied()).collect();
            let shows = found.get(name);
            let strict = profile == Profile::Strict || had.len() == 1;
            let candidates = if strict {
                vec![self.states[0].get(name).copied()]
            } else {
                had.into_iter().collect()
            };
            let legal = candidates.iter().any(|candidate| match (candidate, shows) {
                (None, None) => true,
                (Some(file), Some(bytes)) => {
                    let check = || self.files[*file].check(profile, bytes);
                    candidates.len() == 1 && {
                        check();
                        true
                    } || candidates.len() > 1
                        && std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
                }
                _ => false,
            });
            assert!(
                legal,
                "{profile:?}: `{name}` shows {:?} bytes of none of {candidates:?}",
                shows.map(Vec::len)
            );
        }
        let last: BTreeMap<String, Vec<u8>> = self
            .names()
            .into_iter()
            .map(|(name, file)| (name.to_string(), self.files[file].content()))
            .collect();
        found != last
    }
}

#[test]
fn what_is_left_after_a_loss_is_made_of_what_was_there() {
    for profile in [Profile::Strict, Profile::Ext4Ordered, Profile::Adversarial] {
        let mut losses = 0;
        for seed in 0..400 {
            let mut rng = Rng::from_number(seed, "contract");
            let mut world = World::new();
            for _ in 0..rng.between(1, 60) {
                world.step(&mut rng);
            }
            let before = world.disk.export();
            let last: Vec<_> = world
                .names()
                .into_iter()
                .map(|(n, f)| (n.to_string(), world.files[f].content()))
                .collect();
            assert_eq!(before.into_iter().collect::<Vec<_>>(), last, "before the loss");
            let report = world.disk.power_loss(profile, &mut |n| rng.below(n));
            let lost = world.check(profile);
            losses += u64::from(lost);
            assert!(
                !lost || report.had_effect(),
                "seed {seed}: a loss without a report: {report:?}"
            );
        }
        assert!(
            (50..400).contains(&losses),
            "{profile:?}: {losses} of 400 histories lost something"
        );
    }
}
