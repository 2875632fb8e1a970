//! The naive file system that the disk suite compares with: names to numbered contents, kept in memory, correct by being simple.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Entry, EntryKind, OpenOptions};

/// What a name stands for: a directory, or the number of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Dir,
    File(usize),
}

/// The reference. `Err` carries the kind that the implementation must report.
#[derive(Debug)]
pub(crate) struct Model {
    names: BTreeMap<PathBuf, Node>,
    contents: Vec<Vec<u8>>,
}

impl Model {
    /// With one empty directory.
    pub(crate) fn new(root: &Path) -> Self {
        Model {
            names: BTreeMap::from([(root.to_path_buf(), Node::Dir)]),
            contents: Vec::new(),
        }
    }

    pub(crate) fn node(&self, path: &Path) -> Option<Node> {
        self.names.get(path).copied()
    }

    pub(crate) fn content(&mut self, number: usize) -> &mut Vec<u8> {
        &mut self.contents[number]
    }

    fn parent(&self, path: &Path) -> Result<(), ErrorKind> {
        let parent = path.parent().expect("a path below the root");
        match self.names.get(parent) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory),
            // Missing because of a file further up, or missing.
            None => match parent.ancestors().find_map(|p| self.names.get(p)) {
                Some(Node::File(_)) => Err(ErrorKind::NotADirectory),
                _ => Err(ErrorKind::NotFound),
            },
        }
    }

    pub(crate) fn open(&mut self, path: &Path, how: OpenOptions) -> Result<usize, ErrorKind> {
        self.parent(path)?;
        match (self.node(path), how) {
            (Some(_), OpenOptions::CreateNew) => Err(ErrorKind::AlreadyExists),
            (Some(Node::Dir), _) => Err(ErrorKind::IsADirectory),
            (Some(Node::File(n)), how) => {
                if how == OpenOptions::Truncate {
                    self.contents[n].clear();
                }
                Ok(n)
            }
            (None, OpenOptions::Read | OpenOptions::Write) => Err(ErrorKind::NotFound),
            (None, _) => {
                self.contents.push(Vec::new());
                let n = self.contents.len() - 1;
                self.names.insert(path.to_path_buf(), Node::File(n));
                Ok(n)
            }
        }
    }

    pub(crate) fn create_dir_all(&mut self, path: &Path) -> Result<(), ErrorKind> {
        if let Some(Node::File(_)) = self.node(path) {
            return Err(ErrorKind::AlreadyExists);
        }
        if path
            .ancestors()
            .any(|p| matches!(self.node(p), Some(Node::File(_))))
        {
            return Err(ErrorKind::NotADirectory);
        }
        let missing: Vec<_> = path
            .ancestors()
            .take_while(|p| self.node(p).is_none())
            .map(Path::to_path_buf)
            .collect();
        self.names.extend(missing.into_iter().map(|p| (p, Node::Dir)));
        Ok(())
    }

    pub(crate) fn entry(&self, path: &Path) -> Option<Entry> {
        let name = path.file_name()?.to_str()?.to_owned();
        self.node(path).map(|node| match node {
            Node::Dir => Entry {
                name,
                kind: EntryKind::Dir,
                len: 0,
            },
            Node::File(n) => Entry {
                name,
                kind: EntryKind::File,
                len: self.contents[n].len() as u64,
            },
        })
    }

    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<Entry>, ErrorKind> {
        match self.node(dir) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(ErrorKind::NotADirectory),
            None => return Err(self.parent(dir).err().unwrap_or(ErrorKind::NotFound)),
        }
        let mut entries: Vec<_> = self
            .names
            .keys()
            .filter(|p| p.parent() == Some(dir))
            .filter_map(|p| self.entry(p))
            .collect();
        entries.sort();
        Ok(entries)
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), ErrorKind> {
        self.parent(from)?;
        self.parent(to)?;
        let node = self.node(from).ok_or(ErrorKind::NotFound)?;
        if from == to {
            return Ok(());
        }
        match (node, self.node(to)) {
            (Node::File(_), Some(Node::Dir)) => return Err(ErrorKind::IsADirectory),
            (Node::Dir, Some(Node::File(_))) => return Err(ErrorKind::NotADirectory),
            _ => {}
        }
        let moved: Vec<_> = self
            .names
            .keys()
            .filter(|p| p.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let node = self.names.remove(&path).expect("just seen");
            let rest = path.strip_prefix(from).expect("starts with it");
            let target = if rest.as_os_str().is_empty() {
                to.to_path_buf()
            } else {
                to.join(rest)
            };
            self.names.insert(target, node);
        }
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> Result<(), ErrorKind> {
        self.parent(path)?;
        match self.node(path) {
            Some(Node::File(_)) => {
                self.names.remove(path);
                Ok(())
            }
            Some(Node::Dir) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    pub(crate) fn remove_dir_all(&mut self, path: &Path) -> Result<(), ErrorKind> {
        self.parent(path)?;
        match self.node(path) {
            Some(Node::Dir) => {
                self.names.retain(|p, _| !p.starts_with(path));
                Ok(())
            }
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    /// Writes `bytes`, with zeros in a gap. An empty write doesn't extend the file.
    pub(crate) fn write(&mut self, number: usize, offset: usize, bytes: &[u8]) {
        let content = &mut self.contents[number];
        if bytes.is_empty() {
            return;
        }
        if content.len() < offset + bytes.len() {
            content.resize(offset + bytes.len(), 0);
        }
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
