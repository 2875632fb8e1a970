//! Zstandard frames, one or several in a row, through the reference library's streaming API.

use super::super::error::CodecError;
use super::PIECE;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, min_c_level,
};

/// The lowest (fastest) level of zstd 1.5, as `compression.zstd.level` allows it.
pub(crate) const MIN_LEVEL: i32 = -131_072;
/// A context above this size (a frame with a huge window) is given back before the next body.
const KEEP: usize = 8 << 20;

/// What is kept between bodies: the decoder, made when first needed. The library itself refuses windows
/// over 128 MiB (its default `ZSTD_d_windowLogMax`, as in the JVM) and its memory is touched only as far as
/// data comes out.
#[derive(Default)]
pub(crate) struct Context {
    decoder: Option<DCtx<'static>>,
}

/// A zstd body being read.
pub(crate) struct Source<'d, 'a> {
    decoder: &'d mut DCtx<'static>,
    input: &'a [u8],
    /// Whether the last call finished a frame: only then the body may end.
    between_frames: bool,
}

impl<'d, 'a> Source<'d, 'a> {
    pub(crate) fn new(context: &'d mut Context, input: &'a [u8]) -> Result<Self, CodecError> {
        if context
            .decoder
            .as_ref()
            .is_some_and(|decoder| decoder.sizeof() > KEEP)
        {
            context.decoder = None;
        }
        if context.decoder.is_none() {
            context.decoder = DCtx::try_create();
        }
        let decoder = context
            .decoder
            .as_mut()
            .ok_or(CodecError::Library("zstd context"))?;
        decoder
            .reset(ResetDirective::SessionOnly)
            .map_err(|_| CodecError::Library("zstd reset"))?;
        Ok(Source {
            decoder,
            input,
            between_frames: true,
        })
    }

    pub(crate) fn next_size(&mut self) -> Result<Option<usize>, CodecError> {
        Ok((!(self.input.is_empty() && self.between_frames)).then_some(PIECE))
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        let mut output = OutBuffer::around(out);
        let mut input = InBuffer::around(self.input);
        let hint = self.decoder.decompress_stream(&mut output, &mut input);
        let hint = hint.map_err(|_| CodecError::Corrupt("zstd frame"))?;
        let (consumed, written) = (input.pos(), output.pos());
        self.between_frames = hint == 0;
        if consumed == 0 && written == 0 && hint != 0 {
            return Err(CodecError::Truncated);
        }
        self.input = self.input.get(consumed..).unwrap_or_default();
        Ok(written)
    }
}

/// The encoder, made when first needed.
#[derive(Default)]
pub(crate) struct Encoder {
    context: Option<CCtx<'static>>,
}

impl Encoder {
    /// Appends one frame, with its content size.
    pub(crate) fn compress(&mut self, level: i32, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        if self.context.is_none() {
            self.context = CCtx::try_create();
        }
        let context = self.context.as_mut().ok_or(CodecError::Library("zstd context"))?;
        let level = CParameter::CompressionLevel(level.max(min_c_level()));
        context
            .set_parameter(level)
            .map_err(|_| CodecError::Library("zstd level"))?;
        let at = out.len();
        out.resize(at + compress_bound(input.len()), 0);
        let size = context
            .compress2(&mut out[at..], input)
            .map_err(|_| CodecError::Library("zstd"))?;
        out.truncate(at + size);
        Ok(())
    }
}
