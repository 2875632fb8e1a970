//! gzip (RFC 1952): header, deflate, CRC-32 and size; several members in a row are one stream, as
//! `GZIPInputStream` reads them.

use super::super::error::CodecError;
use super::PIECE;
use flate2::{Compression, Crc, Decompress, FlushDecompress, Status};
use std::io::Write;

/// What is kept between bodies: the inflate state, made when first needed.
#[derive(Default)]
pub(crate) struct Context {
    inflate: Option<Decompress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Body,
    End,
}

/// A gzip stream being read.
pub(crate) struct Source<'d, 'a> {
    inflate: &'d mut Decompress,
    input: &'a [u8],
    crc: Crc,
    state: State,
}

const FTEXT_AND_RESERVED_OK: u8 = 0x1f;
const FHCRC: u8 = 0x02;
const FEXTRA: u8 = 0x04;
const FNAME: u8 = 0x08;
const FCOMMENT: u8 = 0x10;

impl<'d, 'a> Source<'d, 'a> {
    pub(crate) fn new(context: &'d mut Context, input: &'a [u8]) -> Self {
        let inflate = context.inflate.get_or_insert_with(|| Decompress::new(false));
        Source {
            inflate,
            input,
            crc: Crc::new(),
            state: State::Header,
        }
    }

    pub(crate) fn next_size(&mut self) -> Result<Option<usize>, CodecError> {
        if self.state == State::Header {
            self.header()?;
        }
        Ok((self.state != State::End).then_some(PIECE))
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        let (input_before, output_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(self.input, out, FlushDecompress::None);
        let status = status.map_err(|_| CodecError::Corrupt("deflate data"))?;
        let consumed = (self.inflate.total_in() - input_before) as usize;
        let written = (self.inflate.total_out() - output_before) as usize;
        self.input = self.input.get(consumed..).unwrap_or_default();
        self.crc.update(out.get(..written).unwrap_or_default());
        match status {
            Status::StreamEnd => self.trailer()?,
            _ if consumed == 0 && written == 0 => return Err(CodecError::Truncated),
            _ => {}
        }
        Ok(written)
    }

    fn header(&mut self) -> Result<(), CodecError> {
        let fixed = self.take(10)?;
        let &[0x1f, 0x8b, 8, flags, ..] = fixed else {
            return Err(CodecError::Corrupt("gzip header"));
        };
        if flags & !FTEXT_AND_RESERVED_OK != 0 {
            return Err(CodecError::Corrupt("gzip flags"));
        }
        if flags & FEXTRA != 0 {
            let length = self.take(2)?.first_chunk().map_or(0, |b| u16::from_le_bytes(*b));
            self.take(usize::from(length))?;
        }
        for flag in [FNAME, FCOMMENT] {
            if flags & flag != 0 {
                let end = self
                    .input
                    .iter()
                    .position(|byte| *byte == 0)
                    .ok_or(CodecError::Truncated)?;
                self.take(end + 1)?;
            }
        }
        if flags & FHCRC != 0 {
            self.take(2)?;
        }
        self.inflate.reset(false);
        self.crc.reset();
        self.state = State::Body;
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), CodecError> {
        let bytes = self.take(8)?;
        let (Some(crc), Some(size)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return Err(CodecError::Truncated);
        };
        if u32::from_le_bytes(*crc) != self.crc.sum() || u32::from_le_bytes(*size) != self.crc.amount() {
            return Err(CodecError::Checksum);
        }
        self.state = if self.input.is_empty() {
            State::End
        } else {
            State::Header
        };
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (bytes, rest) = self.input.split_at_checked(count).ok_or(CodecError::Truncated)?;
        self.input = rest;
        Ok(bytes)
    }
}

/// Appends one gzip member. Level -1 is zlib's default, 6.
pub(crate) fn compress(level: i32, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let level = u32::try_from(level).map_or(Compression::default(), Compression::new);
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    let done = encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(|_| ()));
    done.map_err(|_| CodecError::Library("gzip"))
}
