//! LZ4 frames. Blocks are decoded by `lz4_flex`; the frame is read here so that the window and the history
//! are reused and a frame's claims cost nothing.
//!
//! Read: independent and linked blocks, all block sizes, block and content checksums (verified), content
//! size, frames in a row, skippable frames. Refused: dictionaries and the legacy frame. Written: what
//! `Lz4BlockOutputStream` writes, independent blocks of 64 KiB without checksums.
//!
//! Java's reader knows neither linked blocks nor skippable or further frames ([`Source::java_reads_it`]).

use super::super::error::CodecError;
use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::hash::Hasher;
use std::io::Write;
use twox_hash::XxHash32;

const MAGIC: u32 = 0x184d_2204;
const SKIPPABLE: u32 = 0x184d_2a50;
const HISTORY: usize = 64 << 10;
/// A block that is stored as it is has this bit in its size.
const STORED: u32 = 1 << 31;
/// The densest sequence of the format adds 255 bytes a byte; the constant covers its first ones.
const MAX_RATIO: usize = 255;

/// What is kept between bodies: the last 64 KiB, for linked blocks.
#[derive(Default)]
pub(crate) struct Context {
    history: Vec<u8>,
}

/// The descriptor of the frame being read.
#[derive(Clone, Copy, Default)]
struct Frame {
    block_size: usize,
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
}

/// An LZ4 body being read: `block` comes next.
pub(crate) struct Source<'d, 'a> {
    context: &'d mut Context,
    input: &'a [u8],
    frame: Option<Frame>,
    block: &'a [u8],
    stored: bool,
    content: XxHash32,
    content_size: u64,
    /// Frames so far, skippable ones too.
    frames: u32,
    any_linked: bool,
}

impl<'d, 'a> Source<'d, 'a> {
    pub(crate) fn new(context: &'d mut Context, input: &'a [u8]) -> Self {
        Source {
            context,
            input,
            frame: None,
            block: &[],
            stored: false,
            content: XxHash32::with_seed(0),
            content_size: 0,
            frames: 0,
            any_linked: false,
        }
    }

    /// Java's `Lz4BlockInputStream` refuses linked blocks and skippable frames, and stops after one frame.
    pub(crate) fn java_reads_it(&self) -> bool {
        self.frames == 1 && !self.any_linked
    }

    pub(crate) fn next_size(&mut self) -> Result<Option<usize>, CodecError> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None if self.input.is_empty() => return Ok(None),
                None => match self.frame_header()? {
                    Some(frame) => frame,
                    None => continue,
                },
            };
            let word = self.u32()?;
            if word == 0 {
                self.end_frame(frame)?;
                continue;
            }
            self.stored = word & STORED != 0;
            let length = (word & !STORED) as usize;
            if length > frame.block_size {
                return Err(CodecError::Corrupt("lz4 block size"));
            }
            self.block = self.take(length)?;
            if frame.block_checksums && self.u32()? != XxHash32::oneshot(0, self.block) {
                return Err(CodecError::Checksum);
            }
            let most = length.saturating_mul(MAX_RATIO).saturating_add(64);
            return Ok(Some(if self.stored {
                length
            } else {
                most.min(frame.block_size)
            }));
        }
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        let Some(frame) = self.frame else {
            return Ok(0);
        };
        let room = out.len().min(frame.block_size);
        let out = &mut out[..room];
        let size = if self.stored {
            let space = out
                .get_mut(..self.block.len())
                .ok_or(CodecError::Corrupt("lz4 block"))?;
            space.copy_from_slice(self.block);
            self.block.len()
        } else if frame.linked {
            decompress_into_with_dict(self.block, out, &self.context.history)
                .map_err(|_| CodecError::Corrupt("lz4 block"))?
        } else {
            decompress_into(self.block, out).map_err(|_| CodecError::Corrupt("lz4 block"))?
        };
        let piece = out.get(..size).unwrap_or_default();
        self.content_size += size as u64;
        if frame.content_checksum {
            self.content.write(piece);
        }
        if frame.linked {
            remember(&mut self.context.history, piece);
        }
        Ok(size)
    }

    /// Reads a frame's descriptor, or skips a skippable frame.
    fn frame_header(&mut self) -> Result<Option<Frame>, CodecError> {
        let magic = self.u32()?;
        if magic & !0xf == SKIPPABLE {
            let length = self.u32()? as usize;
            self.take(length)?;
            self.frames += 1;
            return Ok(None);
        }
        if magic != MAGIC {
            return Err(CodecError::Corrupt("lz4 frame magic"));
        }
        let descriptor = self.input;
        let &[flags, sizes] = self.take(2)? else {
            return Err(CodecError::Truncated);
        };
        if flags & 0xc2 != 0x40 || sizes & 0x8f != 0 {
            return Err(CodecError::Corrupt("lz4 frame version or reserved bits"));
        }
        if flags & 0x01 != 0 {
            return Err(CodecError::Corrupt("lz4 dictionaries are not supported"));
        }
        let block_size = match sizes >> 4 {
            id @ 4..=7 => 1usize << (2 * id + 8),
            _ => return Err(CodecError::Corrupt("lz4 maximum block size")),
        };
        let content_size = match flags & 0x08 {
            0 => None,
            _ => self
                .take(8)?
                .first_chunk()
                .map(|bytes| u64::from_le_bytes(*bytes)),
        };
        let described = descriptor.len() - self.input.len();
        let hash = XxHash32::oneshot(0, descriptor.get(..described).unwrap_or_default());
        if self.take(1)? != [(hash >> 8) as u8] {
            return Err(CodecError::Checksum);
        }
        let frame = Frame {
            block_size,
            linked: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            content_checksum: flags & 0x04 != 0,
            content_size,
        };
        self.context.history.clear();
        self.content = XxHash32::with_seed(0);
        self.content_size = 0;
        self.frames += 1;
        self.any_linked |= frame.linked;
        self.frame = Some(frame);
        Ok(Some(frame))
    }

    fn end_frame(&mut self, frame: Frame) -> Result<(), CodecError> {
        if frame.content_checksum && self.u32()? != self.content.finish_32() {
            return Err(CodecError::Checksum);
        }
        if frame.content_size.is_some_and(|size| size != self.content_size) {
            return Err(CodecError::Corrupt("lz4 content size"));
        }
        self.frame = None;
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        self.take(4)?
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or(CodecError::Truncated)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (bytes, rest) = self.input.split_at_checked(count).ok_or(CodecError::Truncated)?;
        self.input = rest;
        Ok(bytes)
    }
}

/// Keeps the last 64 KiB of what was decoded.
fn remember(history: &mut Vec<u8>, piece: &[u8]) {
    let piece = piece
        .get(piece.len().saturating_sub(HISTORY)..)
        .unwrap_or_default();
    let excess = (history.len() + piece.len()).saturating_sub(HISTORY);
    history.drain(..excess);
    history.extend_from_slice(piece);
}

/// Appends one frame.
pub(crate) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    let done = encoder.write_all(input).is_ok() && encoder.finish().is_ok();
    if done {
        Ok(())
    } else {
        Err(CodecError::Library("lz4"))
    }
}
