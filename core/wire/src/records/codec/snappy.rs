//! Snappy as `snappy-java` frames it ("xerial"): a 16-byte header, then blocks behind their big-endian
//! length. A body without that header is one raw snappy block, as librdkafka and others write it.

use super::super::error::CodecError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version and the oldest version that can read it, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// `SnappyOutputStream`'s block size.
const BLOCK: usize = 32 << 10;
/// The densest element of the format is a copy of 64 bytes in 3.
const MAX_RATIO: usize = 22;

/// A snappy body being read: `block` is the compressed block that comes next.
pub(crate) struct Source<'d, 'a> {
    decoder: &'d mut snap::raw::Decoder,
    input: &'a [u8],
    block: &'a [u8],
    framed: bool,
    limit: u64,
}

impl<'d, 'a> Source<'d, 'a> {
    pub(crate) fn new(decoder: &'d mut snap::raw::Decoder, input: &'a [u8], limit: u64) -> Self {
        Source {
            decoder,
            input,
            block: &[],
            framed: input.starts_with(&MAGIC),
            limit,
        }
    }

    pub(crate) fn next_size(&mut self) -> Result<Option<usize>, CodecError> {
        if self.framed && !self.next_block()? {
            return Ok(None);
        }
        if !self.framed {
            if self.input.is_empty() {
                return Ok(None);
            }
            self.block = std::mem::take(&mut self.input);
        }
        let size = snap::raw::decompress_len(self.block).map_err(|_| CodecError::Corrupt("snappy length"))?;
        if size > self.block.len().saturating_mul(MAX_RATIO) {
            return Err(CodecError::Corrupt("snappy length"));
        }
        if size as u64 > self.limit {
            return Err(CodecError::TooManyBytes { limit: self.limit });
        }
        Ok(Some(size))
    }

    /// Moves to the next block; false at the end. Streams may follow each other, each with its header.
    fn next_block(&mut self) -> Result<bool, CodecError> {
        while let Some(rest) = self.input.strip_prefix(&MAGIC) {
            self.input = rest.get(VERSIONS.len()..).ok_or(CodecError::Truncated)?;
        }
        if self.input.is_empty() {
            return Ok(false);
        }
        let (length, rest) = self.input.split_first_chunk::<4>().ok_or(CodecError::Truncated)?;
        let length = u32::from_be_bytes(*length) as usize;
        (self.block, self.input) = rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        Ok(true)
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        self.decoder
            .decompress(self.block, out)
            .map_err(|_| CodecError::Corrupt("snappy block"))
    }
}

/// Appends the xerial stream of `input`.
pub(crate) fn compress(
    encoder: &mut snap::raw::Encoder,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    for block in input.chunks(BLOCK) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let space = &mut out[at + 4..];
        let size = encoder
            .compress(block, space)
            .map_err(|_| CodecError::Library("snappy"))?;
        out[at..at + 4].copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(at + 4 + size);
    }
    Ok(())
}
