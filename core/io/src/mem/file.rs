//! One file: what the page cache holds, what the platter holds, and what separates them.

use std::collections::BTreeMap;

use super::content::{CHUNK, Content};

/// The unit that a disk writes whole or not at all.
pub(super) const SECTOR: u64 = 512;
/// The unit in which the page cache is dirty.
pub(super) const PAGE: u64 = 4096;
/// Older contents of a sector that are remembered; a page may have been written back at any time between two syncs.
const STALE_KEPT: usize = 3;
/// Length changes that are remembered between two syncs. A log that is never synced would collect one per append.
const LENGTHS_KEPT: usize = 1024;

/// Invariant: outside `dirty` and `lost`, cache and platter are equal up to the shorter length.
#[derive(Debug, Clone, Default)]
pub(super) struct FileData {
    pub(super) cache: Content,
    pub(super) platter: Content,
    /// Sectors that differ from the platter and will be written by the next sync.
    pub(super) dirty: Ranges,
    /// Sectors that differ and that the kernel believes clean, after a failed sync.
    pub(super) lost: Ranges,
    /// Lengths since the last sync, oldest first, each with the number of its operation.
    pub(super) lengths: Vec<(u64, u64)>,
    /// Contents that dirty sectors had before they were overwritten, oldest first.
    pub(super) stale: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl FileData {
    pub(super) fn write(&mut self, seq: u64, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let len = self.cache.len();
        self.keep_stale(offset.min(len), end.min(len));
        self.cache.write(offset, bytes);
        self.mark_dirty(offset, end);
        if end > len {
            self.note_len(seq, end);
        }
    }

    pub(super) fn set_len(&mut self, seq: u64, len: u64) {
        let old = self.cache.len();
        if len < old {
            self.keep_stale(len, old);
            self.cache.set_len(len);
            self.mark_dirty(len, old);
        } else {
            self.cache.set_len(len);
        }
        if len != old {
            self.note_len(seq, len);
        }
    }

    /// Makes bytes and length durable.
    pub(super) fn sync(&mut self) {
        for (start, end) in self.dirty.take() {
            self.write_back(start * SECTOR, end * SECTOR);
        }
        self.platter.set_len(self.cache.len());
        self.lost.remove(self.cache.len().div_ceil(SECTOR), u64::MAX);
        self.lengths.clear();
        self.stale.clear();
    }

    /// A sync that fails: the pages are marked clean and the platter keeps what it had. The cache still holds the new bytes
    /// (as on ext4 and XFS), and the next sync succeeds without writing them.
    pub(super) fn fail_sync(&mut self) {
        for (start, end) in self.dirty.take() {
            self.lost.insert(start, end);
        }
        self.stale.clear();
    }

    /// The kernel drops its clean pages: where a sync had failed, reads now show the platter's content.
    pub(super) fn evict(&mut self) {
        let len = self.cache.len();
        for (start, end) in self.lost.take() {
            for sector in start..end {
                let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(len));
                if from < to {
                    let mut old = self.platter.copy(from, to);
                    old.resize((to - from) as usize, 0);
                    self.cache.write(from, &old);
                }
            }
        }
    }

    /// Whether a loss of power could change it.
    pub(super) fn is_pending(&self) -> bool {
        !self.dirty.is_empty() || !self.lost.is_empty() || !self.lengths.is_empty()
    }

    /// Replaces everything by `content`, durable.
    pub(super) fn settle_as(&mut self, content: Content) {
        *self = FileData {
            cache: content.clone(),
            platter: content,
            ..FileData::default()
        };
    }

    fn write_back(&mut self, start: u64, end: u64) {
        if self.lost.is_empty() {
            self.platter.share_chunks(&self.cache, start, end);
            return;
        }
        // A chunk may hold sectors that the kernel will not write: go sector by sector.
        let mut at = start;
        while at < end.min(self.cache.len()) {
            let bytes = self.cache.copy(at, at + SECTOR);
            self.platter.write(at, &bytes);
            at += SECTOR;
        }
    }

    fn mark_dirty(&mut self, start: u64, end: u64) {
        if start == end {
            return;
        }
        self.dirty.insert(start / SECTOR, end.div_ceil(SECTOR));
        if !self.lost.is_empty() {
            // A page is written back whole, so a new write to it saves its neighbours that an earlier sync lost.
            let per_page = PAGE / SECTOR;
            let (from, to) = (start / PAGE * per_page, end.div_ceil(PAGE) * per_page);
            for (a, b) in self.lost.remove(from, to) {
                self.dirty.insert(a, b);
            }
        }
    }

    fn keep_stale(&mut self, start: u64, end: u64) {
        if start >= end || self.dirty.is_empty() {
            return;
        }
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            let from = sector * SECTOR;
            // An append into a dirty last sector leaves no trace worth keeping: a shorter length shows the same bytes.
            if self.dirty.contains(sector) && start.max(from) < end.min(from + SECTOR) {
                let old = self.cache.copy(from, from + SECTOR);
                let versions = self.stale.entry(sector).or_default();
                if versions.len() == STALE_KEPT {
                    versions.remove(1);
                }
                versions.push(old);
            }
        }
    }

    fn note_len(&mut self, seq: u64, len: u64) {
        if self.lengths.len() >= LENGTHS_KEPT {
            let mut index = 0;
            self.lengths.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
        self.lengths.push((seq, len));
    }
}

/// Disjoint, merged, half-open ranges of sector numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    pub(super) fn contains(&self, at: u64) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, end)| at < *end)
    }

    pub(super) fn take(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.0).into_iter().collect()
    }

    pub(super) fn insert(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        if let Some((s, e)) = self.0.range(..=start).next_back().map(|(s, e)| (*s, *e))
            && e >= start
        {
            if e >= end {
                return;
            }
            (start, end) = (s, end.max(e));
        }
        while let Some((s, e)) = self.0.range(start..=end).next().map(|(s, e)| (*s, *e)) {
            self.0.remove(&s);
            end = end.max(e);
        }
        self.0.insert(start, end);
    }

    /// Takes out what lies in `start..end` and returns it.
    fn remove(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let hit: Vec<_> = self.iter().filter(|(s, e)| *s < end && start < *e).collect();
        for (s, e) in &hit {
            self.0.remove(s);
            self.insert(*s, start);
            self.insert(end, *e);
        }
        hit.into_iter().map(|(s, e)| (s.max(start), e.min(end))).collect()
    }
}

const _: () = assert!(CHUNK.is_multiple_of(PAGE) && PAGE.is_multiple_of(SECTOR));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_split() {
        let mut r = Ranges::default();
        r.insert(4, 6);
        r.insert(0, 2);
        r.insert(2, 4);
        assert_eq!(r.iter().collect::<Vec<_>>(), [(0, 6)]);
        r.insert(8, 9);
        assert_eq!(r.remove(1, 3), [(1, 3)]);
        assert_eq!(r.iter().collect::<Vec<_>>(), [(0, 1), (3, 6), (8, 9)]);
        assert!(r.contains(5) && !r.contains(6) && !r.contains(1));
    }

    #[test]
    fn after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_lost() {
        let mut f = FileData::default();
        f.write(1, 0, &[1; 8192]);
        f.sync();
        f.write(2, 0, &[2; 512]);
        f.fail_sync();
        f.sync();
        assert_eq!(f.cache.copy(0, 1), [2], "the cache shows the new bytes");
        assert_eq!(f.platter.copy(0, 1), [1], "the platter kept the old ones");
        f.write(3, 4096, &[3; 512]);
        f.sync();
        assert_eq!(
            f.platter.copy(0, 1),
            [1],
            "another page's sync does not save them"
        );
        assert_eq!(f.platter.copy(4096, 4097), [3]);
        f.write(4, 1024, &[4; 512]);
        f.sync();
        assert_eq!(f.platter.copy(0, 1), [2], "a write to the same page does");
    }
}
