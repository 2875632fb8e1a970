//! Operations on the whole disk that no process could do: looking, importing, damaging, settling.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::content::Content;
use super::tree::{Fs, Ino, Inode, ROOT, View, components};

impl Fs {
    /// All files with their paths, sorted by path.
    pub(super) fn walk(&self, view: View) -> Vec<(String, Ino)> {
        let mut files = Vec::new();
        let mut queue = vec![(String::new(), ROOT)];
        while let Some((prefix, ino)) = queue.pop() {
            match self.inodes.get(&ino) {
                Some(Inode::File(_)) => files.push((prefix, ino)),
                Some(Inode::Dir(dir)) => {
                    let slash = if prefix.is_empty() { "" } else { "/" };
                    queue.extend(
                        dir.names(view)
                            .iter()
                            .map(|(name, ino)| (format!("{prefix}{slash}{name}"), *ino)),
                    );
                }
                None => {}
            }
        }
        files.sort();
        files
    }

    pub(super) fn export(&self, view: View) -> BTreeMap<String, Vec<u8>> {
        self.walk(view)
            .into_iter()
            .map(|(path, ino)| (path, self.bytes(ino, view)))
            .collect()
    }

    pub(super) fn peek(&self, path: &Path, view: View) -> Option<Vec<u8>> {
        let ino = self.find(path, view).ok()?;
        self.file(ino).ok()?;
        Some(self.bytes(ino, view))
    }

    fn bytes(&self, ino: Ino, view: View) -> Vec<u8> {
        match (self.file(ino), view) {
            (Ok(file), View::Cache) => file.cache.copy(0, u64::MAX),
            (Ok(file), View::Platter) => file.platter.copy(0, u64::MAX),
            (Err(_), _) => Vec::new(),
        }
    }

    /// Puts a whole file at `path`, with the directories above it.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let names = components(Path::new(path))?;
        let (name, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.create_dirs(Path::new(&above.join("/")))?;
        let ino = match self.dir(dir)?.cache.get(name) {
            Some(ino) => *ino,
            None => self.create(dir, name.clone(), Inode::File(Box::default()))?,
        };
        let mut content = Content::default();
        content.write(0, bytes);
        self.file_mut(ino)?.settle_as(content);
        Ok(())
    }

    pub(super) fn poke(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> bool {
        let Ok(file) = self.find(path, View::Cache).and_then(|ino| self.file_mut(ino)) else {
            return false;
        };
        let end = offset.saturating_add(bytes.len() as u64);
        if end > file.cache.len() {
            return false;
        }
        file.cache.write(offset, bytes);
        let durable = file.platter.len().saturating_sub(offset).min(bytes.len() as u64) as usize;
        file.platter
            .write(offset.min(file.platter.len()), &bytes[..durable]);
        true
    }

    pub(super) fn pending(&self) -> usize {
        let files = self
            .inodes
            .values()
            .filter(|i| matches!(i, Inode::File(f) if f.is_pending()))
            .count();
        self.journal.len() + files
    }

    /// Everything becomes durable as it is in the page cache; space is counted anew.
    pub(super) fn settle(&mut self) {
        self.journal = Default::default();
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::File(file) => {
                    let content = std::mem::take(&mut file.cache);
                    file.settle_as(content);
                }
                Inode::Dir(dir) => dir.platter = dir.cache.clone(),
            }
        }
        self.sweep();
        self.count();
    }

    /// Counts the space in use anew.
    pub(super) fn count(&mut self) {
        let mut files: BTreeSet<Ino> = self.walk(View::Cache).into_iter().map(|(_, ino)| ino).collect();
        files.extend(self.open.keys());
        self.used = files
            .iter()
            .filter_map(|ino| self.file(*ino).ok())
            .map(|f| f.cache.allocated())
            .sum();
    }
}
