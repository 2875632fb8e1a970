//! A loss of power: which of the states that a file system may legally be found in afterwards.

use std::collections::BTreeSet;

use super::content::Content;
use super::file::{FileData, PAGE, SECTOR};
use super::journal::DirChange;
use super::tree::{Fs, Ino, Inode, View};

/// What a file system promises beyond what was synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Nothing survives but what was synced: the worst that is still the plain reading of the contract.
    Strict,
    /// As ext4 with `data=ordered`: entries and lengths survive as a prefix in the order they were made, a length survives only
    /// with the bytes below it (to a page's boundary), overwritten sectors survive each for itself.
    #[default]
    Ext4Ordered,
    /// All that the contract allows: any sectors in any of their versions, a length without its bytes (zeros), any
    /// entries. A rename stays atomic.
    Adversarial,
}

/// What a crash or a loss of power did. Trials count the firings that had an effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossReport {
    /// Operations that were not durable when it happened.
    pub pending_ops: u64,
    /// Bytes that a process could read before and that are gone or different.
    pub bytes_lost: u64,
    /// Files of which only a part of what was pending survived.
    pub torn_files: u64,
    /// Files that have a length whose bytes never arrived: zeros.
    pub zeroed_files: u64,
    /// Files that had been cut and are longer again.
    pub cuts_lost: u64,
    /// Names that were created and are gone.
    pub creates_lost: u64,
    /// Names that were removed and are back.
    pub removes_lost: u64,
    /// Renames that did not happen.
    pub renames_lost: u64,
}

impl LossReport {
    /// Whether anything changed.
    pub fn had_effect(&self) -> bool {
        self.bytes_lost + self.torn_files + self.zeroed_files + self.cuts_lost > 0
            || self.creates_lost + self.removes_lost + self.renames_lost > 0
    }

    /// Adds another report's counts to this one.
    pub fn add(&mut self, other: &LossReport) {
        self.pending_ops += other.pending_ops;
        self.bytes_lost += other.bytes_lost;
        self.torn_files += other.torn_files;
        self.zeroed_files += other.zeroed_files;
        self.cuts_lost += other.cuts_lost;
        self.creates_lost += other.creates_lost;
        self.removes_lost += other.removes_lost;
        self.renames_lost += other.renames_lost;
    }
}

impl std::fmt::Display for LossReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of its operations were not durable", self.pending_ops)?;
        let counts = [
            (self.bytes_lost, "bytes lost"),
            (self.torn_files, "files torn"),
            (self.zeroed_files, "files zeroed"),
            (self.cuts_lost, "cuts lost"),
            (self.creates_lost, "creations lost"),
            (self.removes_lost, "removals lost"),
            (self.renames_lost, "renames lost"),
        ];
        counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .try_for_each(|(n, what)| write!(f, ", {n} {what}"))
    }
}

type Choose<'a> = &'a mut dyn FnMut(u64) -> u64;

/// Replaces page cache and platter alike by what survives.
pub(super) fn lose(fs: &mut Fs, profile: Profile, choose: Choose) -> LossReport {
    let mut report = LossReport {
        pending_ops: fs.pending() as u64,
        ..LossReport::default()
    };
    let cut = journal_cut(fs, choose);
    for (seq, change) in fs.journal.take() {
        let kept = match profile {
            Profile::Strict => false,
            Profile::Ext4Ordered => seq < cut,
            Profile::Adversarial => choose(2) == 1,
        };
        if !(kept && fs.apply(&change)) {
            match change {
                DirChange::Create { .. } => report.creates_lost += 1,
                DirChange::Remove { .. } => report.removes_lost += 1,
                DirChange::Rename { .. } => report.renames_lost += 1,
            }
        }
    }
    let before = fs.walk(View::Cache);
    let after: BTreeSet<Ino> = fs.walk(View::Platter).into_iter().map(|(_, ino)| ino).collect();
    report.bytes_lost += before
        .iter()
        .filter(|(_, ino)| !after.contains(ino))
        .filter_map(|(_, ino)| fs.file(*ino).ok())
        .map(|file| file.cache.len())
        .sum::<u64>();
    for (ino, inode) in &mut fs.inodes {
        match inode {
            Inode::Dir(dir) => dir.cache = dir.platter.clone(),
            Inode::File(file) if file.is_pending() && after.contains(ino) => {
                let survivor = match profile {
                    Profile::Strict => Survivor::durable(file),
                    Profile::Ext4Ordered => Survivor::ordered(file, cut, choose),
                    Profile::Adversarial => Survivor::any(file, choose),
                };
                survivor.install(file, &mut report);
            }
            Inode::File(_) => {}
        }
    }
    report
}

/// The number of the first operation that the file system's journal lost. Mostly near the end, sometimes nothing or all.
fn journal_cut(fs: &Fs, choose: Choose) -> u64 {
    let lengths = fs.inodes.values().filter_map(|i| match i {
        Inode::File(file) => Some(file.lengths.iter().map(|(seq, _)| *seq)),
        Inode::Dir(_) => None,
    });
    let mut seqs: Vec<u64> = fs.journal.seqs().chain(lengths.flatten()).collect();
    seqs.sort_unstable();
    match choose(8) {
        0 => 0,
        1 => u64::MAX,
        n => {
            let reach = if n < 4 { seqs.len() } else { seqs.len().min(8) };
            let back = choose(reach as u64 + 1) as usize;
            seqs.get(seqs.len() - back).copied().unwrap_or(u64::MAX)
        }
    }
}

/// One file as it is found after the loss.
struct Survivor {
    content: Content,
    kept: u64,
    dropped: u64,
    zeroed: bool,
}

impl Survivor {
    fn durable(file: &FileData) -> Survivor {
        let dropped = file.dirty.iter().map(|(start, end)| end - start).sum();
        Survivor {
            content: file.platter.clone(),
            kept: 0,
            dropped,
            zeroed: false,
        }
    }

    /// Delayed allocation: this file's data may be further behind than the journal, never its length further than its data.
    fn ordered(file: &FileData, cut: u64, choose: Choose) -> Survivor {
        let reached: Vec<u64> = file
            .lengths
            .iter()
            .filter(|(seq, _)| *seq < cut)
            .map(|(_, len)| *len)
            .collect();
        let durable = file.platter.len();
        let mut len = match choose(4) {
            0 => reached
                .get(choose(reached.len() as u64) as usize)
                .copied()
                .unwrap_or(durable),
            _ => reached.last().copied().unwrap_or(durable),
        };
        if len > durable && choose(2) == 0 {
            // Write-back stopped inside the last write: the length stands at a page's boundary.
            let pages = (len - durable).div_ceil(PAGE).min(16);
            len = durable.max(
                len.saturating_sub(1) / PAGE * PAGE - PAGE * choose(pages).min(len.saturating_sub(1) / PAGE),
            );
        }
        let keep_all = choose(2) == 0;
        let mut survivor = Survivor::start(file, len);
        for sector in dirty_sectors(file) {
            let appended = sector * SECTOR >= durable;
            survivor.sector(
                file,
                sector,
                if appended || keep_all || choose(2) == 0 {
                    Version::New
                } else {
                    Version::Old
                },
            );
        }
        survivor.finish(file, len)
    }

    /// Any sectors in any version, under any of the lengths.
    fn any(file: &FileData, choose: Choose) -> Survivor {
        let pick = choose(file.lengths.len() as u64 + 1) as usize;
        let len = match (choose(3), file.lengths.get(pick)) {
            (0, _) | (_, None) if !file.lengths.is_empty() => file.cache.len(),
            (_, Some((_, len))) => *len,
            (_, None) => file.platter.len(),
        };
        let sectors: Vec<u64> = dirty_sectors(file).collect();
        let style = choose(5);
        let point = choose(sectors.len() as u64 + 1) as usize;
        let mut survivor = Survivor::start(file, len);
        for (index, sector) in sectors.into_iter().enumerate() {
            let keep = match style {
                0 => false,
                1 => true,
                2 => index < point,
                3 => index != point,
                _ => choose(2) == 0,
            };
            let version = match file.stale.get(&sector) {
                Some(versions) if choose(3) == 0 => Version::Stale(choose(versions.len() as u64) as usize),
                _ if keep => Version::New,
                _ => Version::Old,
            };
            survivor.sector(file, sector, version);
        }
        survivor.finish(file, len)
    }

    fn start(file: &FileData, len: u64) -> Survivor {
        let mut content = file.platter.clone();
        content.set_len(content.len().max(len));
        Survivor {
            content,
            kept: 0,
            dropped: 0,
            zeroed: false,
        }
    }

    fn sector(&mut self, file: &FileData, sector: u64, version: Version) {
        let at = sector * SECTOR;
        let mut new = match version {
            Version::New => file.cache.copy(at, at + SECTOR),
            Version::Stale(index) => file
                .stale
                .get(&sector)
                .and_then(|v| v.get(index))
                .cloned()
                .unwrap_or_default(),
            Version::Old => {
                self.dropped += 1;
                self.zeroed |= at >= file.platter.len() && at < self.content.len();
                return;
            }
        };
        self.kept += 1;
        // A sector is written whole, and what lies past the end of a file is zeros in the page cache.
        new.resize(SECTOR as usize, 0);
        // Never past the length: what is beyond it was not reachable, and must read as zeros if the file grows again.
        let room = self.content.len().saturating_sub(at).min(new.len() as u64) as usize;
        self.content.write(at.min(self.content.len()), &new[..room]);
    }

    fn finish(mut self, file: &FileData, len: u64) -> Survivor {
        self.content.set_len(len);
        self.zeroed &= len > file.platter.len();
        self
    }

    fn install(self, file: &mut FileData, report: &mut LossReport) {
        let lost = difference(file, &self.content);
        report.bytes_lost += lost;
        report.cuts_lost += u64::from(self.content.len() > file.cache.len());
        report.zeroed_files += u64::from(self.zeroed);
        report.torn_files += u64::from(
            lost > 0 && self.kept > 0 && (self.dropped > 0 || self.content.len() != file.cache.len()),
        );
        file.settle_as(self.content);
    }
}

enum Version {
    Old,
    New,
    Stale(usize),
}

fn dirty_sectors(file: &FileData) -> impl Iterator<Item = u64> + '_ {
    file.dirty.iter().flat_map(|(start, end)| start..end)
}

/// Bytes that the page cache had and `after` has not. Below both lengths only what was pending can differ.
fn difference(file: &FileData, after: &Content) -> u64 {
    let common = file.cache.len().min(after.len());
    let mut lost = file.cache.len() - common;
    for sector in file
        .dirty
        .iter()
        .chain(file.lost.iter())
        .flat_map(|(start, end)| start..end)
    {
        let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(common));
        if start < end {
            let (had, has) = (file.cache.copy(start, end), after.copy(start, end));
            lost += had.iter().zip(&has).filter(|(a, b)| a != b).count() as u64;
        }
    }
    lost
}
