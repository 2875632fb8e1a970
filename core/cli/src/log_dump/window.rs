//! A large file, read piece by piece: memory follows the largest batch, not the file.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use ottla_io::{Env, File, OpenOptions, read_exact_at};

/// What is read at a time, at least.
const PIECE: u64 = 1 << 20;

/// A file, and the piece of it that is in memory.
pub struct Window {
    file: Arc<dyn File>,
    len: u64,
    start: u64,
    piece: BytesMut,
}

impl Window {
    /// Opens the file at `path`.
    pub async fn open(env: &Env, path: &Path) -> Result<Window, String> {
        let file = env
            .disk
            .open(path, OpenOptions::Read)
            .await
            .map_err(|e| e.to_string())?;
        let len = file.len().await.map_err(|e| e.to_string())?;
        Ok(Window {
            file,
            len,
            start: 0,
            piece: BytesMut::new(),
        })
    }

    /// The file's length when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The `wanted` bytes from `position`, fewer at the end of the file.
    pub async fn at(&mut self, position: u64, wanted: u64) -> Result<&[u8], String> {
        let wanted = wanted.min(self.len.saturating_sub(position));
        let held = self.start..self.start.saturating_add(self.piece.len() as u64);
        if position < held.start || position.saturating_add(wanted) > held.end {
            let size = wanted.max(PIECE).min(self.len.saturating_sub(position));
            let size = usize::try_from(size).map_err(|e| e.to_string())?;
            let mut buffer = std::mem::take(&mut self.piece);
            buffer.clear();
            let (read, buffer) = read_exact_at(self.file.as_ref(), position, buffer, size).await;
            (self.start, self.piece) = (position, buffer);
            read.map_err(|e| e.to_string())?;
        }
        let from = usize::try_from(position.saturating_sub(self.start)).map_err(|e| e.to_string())?;
        let to = from.saturating_add(usize::try_from(wanted).map_err(|e| e.to_string())?);
        // The file may have become shorter meanwhile.
        Ok(self.piece.get(from..to.min(self.piece.len())).unwrap_or_default())
    }

    /// Whether everything from `position` on is zero.
    pub async fn is_zero_from(&mut self, mut position: u64) -> Result<bool, String> {
        while position < self.len {
            let piece = self.at(position, PIECE).await?;
            if piece.is_empty() {
                break;
            }
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += piece.len() as u64;
        }
        Ok(true)
    }
}
