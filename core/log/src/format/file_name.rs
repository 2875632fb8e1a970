//! How Kafka names a partition's folder and the files in it (Kafka classes `LogFileUtils`, `LocalLog`).

use ottla_types::{Offset, TopicPartition, Uuid};
use std::fmt;

/// What a file of a partition's folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// Batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Transaction index.
    TxnIndex,
    /// Producer snapshot; its name is the offset it stands for, not a segment's base.
    Snapshot,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [FileKind; 5] = [
        Self::Log,
        Self::Index,
        Self::TimeIndex,
        Self::TxnIndex,
        Self::Snapshot,
    ];

    /// The name's ending.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }
}

/// What a second ending says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileState {
    /// In use.
    Live,
    /// `.deleted`: to be removed after `file.delete.delay.ms`.
    Deleted,
    /// `.cleaned`: the cleaner was writing it; removed at load.
    Cleaned,
    /// `.swap`: complete, about to replace what it was made from; renamed at load.
    Swap,
}

impl FileState {
    /// The second ending; empty for a live file.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Deleted => ".deleted",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
        }
    }
}

/// The name of a file in a partition's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    /// Base offset of the segment, or the offset of a snapshot.
    pub offset: Offset,
    /// What it holds.
    pub kind: FileKind,
    /// Its second ending.
    pub state: FileState,
}

impl FileName {
    /// A live file's name.
    pub fn new(offset: Offset, kind: FileKind) -> Self {
        FileName {
            offset,
            kind,
            state: FileState::Live,
        }
    }

    /// The same file in another state.
    #[must_use]
    pub fn with_state(self, state: FileState) -> Self {
        FileName { state, ..self }
    }

    /// Reads a name; `None` for a file that is none of a segment's (checkpoints, `partition.metadata`, foreign files).
    pub fn parse(name: &str) -> Option<Self> {
        let states = [FileState::Deleted, FileState::Cleaned, FileState::Swap];
        let (state, rest) = states
            .into_iter()
            .find_map(|s| name.strip_suffix(s.suffix()).map(|r| (s, r)))
            .unwrap_or((FileState::Live, name));
        let (digits, extension) = rest.split_at_checked(20)?;
        let kind = FileKind::ALL.into_iter().find(|k| k.extension() == extension)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(FileName {
            offset: digits.parse().ok()?,
            kind,
            state,
        })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:020}{}{}",
            self.offset,
            self.kind.extension(),
            self.state.suffix()
        )
    }
}

/// What a partition folder's ending says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DirState {
    /// In use.
    Live,
    /// `-delete`: the partition was deleted; the folder goes later.
    Delete,
    /// `-stray`: belongs to no replica this broker should have.
    Stray,
    /// `-future`: being filled to replace the folder in another log directory.
    Future,
}

impl DirState {
    fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Delete => "-delete",
            Self::Stray => "-stray",
            Self::Future => "-future",
        }
    }
}

/// A partition's folder, as read from its name. Kafka may have cut the topic's name in a `-delete`, `-stray` or `-future`
/// one to keep it within 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionDir {
    /// The partition.
    pub partition: TopicPartition,
    /// The folder's state.
    pub state: DirState,
}

/// The longest folder name Kafka makes.
const MAX_NAME: usize = 255;

impl PartitionDir {
    /// The name of the folder of `partition` in a state other than live: `<topic>-<partition>.<32 hex digits>-<state>`.
    /// `unique` are random bytes; the topic's name is cut so that the whole has at most 255 characters.
    pub fn renamed(partition: &TopicPartition, state: DirState, unique: Uuid) -> String {
        let hex: String = unique.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let suffix = format!("-{}.{hex}{}", partition.partition, state.suffix());
        let room = MAX_NAME.saturating_sub(suffix.len()).min(partition.topic.len());
        let room = (0..=room)
            .rev()
            .find(|n| partition.topic.is_char_boundary(*n))
            .unwrap_or(0);
        format!("{}{suffix}", &partition.topic[..room])
    }

    /// Reads a folder's name (`LocalLog.parseTopicPartitionName`); `None` when it is no partition's.
    pub fn parse(name: &str) -> Option<Self> {
        let states = [DirState::Delete, DirState::Stray, DirState::Future];
        let renamed = states
            .into_iter()
            .find_map(|s| name.strip_suffix(s.suffix()).map(|rest| (s, rest)));
        let (state, rest) = match renamed.and_then(|(s, rest)| Some((s, strip_unique(rest)?))) {
            Some(found) => found,
            None => (DirState::Live, name),
        };
        let (topic, digits) = rest.rsplit_once('-')?;
        let canonical =
            digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
        if topic.is_empty() || digits.is_empty() || !canonical {
            return None;
        }
        Some(PartitionDir {
            partition: TopicPartition::new(topic, digits.parse().ok()?),
            state,
        })
    }
}

/// Takes `.<32 hex digits>` off the end.
fn strip_unique(name: &str) -> Option<&str> {
    let (rest, unique) = name.rsplit_once('.')?;
    (unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit())).then_some(rest)
}
