//! The compression codecs of a batch body, each with the framing that Kafka's Java clients use, their
//! limits, and the contexts that are kept between batches. One file per format below `codec/`.
//!
//! Everything is streamed: a source puts a piece into a window, `stream` takes records out of it. What a
//! body claims about its size is never believed; memory follows the bytes that really came out.

pub(crate) mod gzip;
pub(crate) mod lz4;
pub(crate) mod snappy;
pub(crate) mod zstd;

#[cfg(test)]
mod tests;

use super::error::CodecError;

/// Compression codec of a batch (`CompressionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the xerial framing of `snappy-java`; also read without it, as librdkafka writes.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl Codec {
    /// All codecs, by id.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this id in a batch's attributes, or the id.
    pub fn from_id(id: u8) -> Result<Self, u8> {
        Self::ALL.get(usize::from(id)).copied().ok_or(id)
    }

    /// The id in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The codec of that name (`compression.type`), `None` when there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The levels that Kafka's configuration allows (`compression.gzip.level` and its kin).
    pub fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Codec::None | Codec::Snappy => 0..=0,
            Codec::Gzip => -1..=9,
            Codec::Lz4 => 1..=17,
            Codec::Zstd => zstd::MIN_LEVEL..=22,
        }
    }

    /// The level that Kafka uses when none is configured.
    pub fn default_level(self) -> i32 {
        match self {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => -1,
            Codec::Lz4 => 9,
            Codec::Zstd => 3,
        }
    }
}

/// How much may come out of one compressed body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Decompressed bytes.
    pub max_bytes: u64,
    /// Records that the header announces.
    pub max_records: u32,
}

impl Default for Limits {
    /// 128 MiB and 16 million records: a hundred times what Kafka's default batch limit lets through at
    /// usual ratios, and well under a second of work.
    fn default() -> Self {
        Limits {
            max_bytes: 128 << 20,
            max_records: 16 << 20,
        }
    }
}

/// The contexts and the window that decompression works in. Keep one per worker: after the first batch of
/// a codec nothing is allocated unless a record is larger than any before it.
#[derive(Default)]
pub struct Decompressor {
    pub(crate) limits: Limits,
    pub(crate) window: Window,
    gzip: gzip::Context,
    snappy: snap::raw::Decoder,
    lz4: lz4::Context,
    zstd: zstd::Context,
}

impl Decompressor {
    /// A decompressor with these limits for each body.
    pub fn new(limits: Limits) -> Self {
        Decompressor {
            limits,
            ..Self::default()
        }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that the window of decompressed records takes now. It follows the largest record so far, never
    /// a claim, and is given back before the next body when it has grown past 1 MiB.
    pub fn window_bytes(&self) -> usize {
        self.window.buffer.capacity()
    }

    pub(crate) fn open<'d, 'a>(
        &'d mut self,
        codec: Codec,
        input: &'a [u8],
    ) -> Result<(Source<'d, 'a>, &'d mut Window), CodecError> {
        self.window.clear();
        let source = match codec {
            Codec::None => Source::Plain(input),
            Codec::Gzip => Source::Gzip(gzip::Source::new(&mut self.gzip, input)),
            Codec::Snappy => Source::Snappy(snappy::Source::new(
                &mut self.snappy,
                input,
                self.limits.max_bytes,
            )),
            Codec::Lz4 => Source::Lz4(lz4::Source::new(&mut self.lz4, input)),
            Codec::Zstd => Source::Zstd(zstd::Source::new(&mut self.zstd, input)?),
        };
        Ok((source, &mut self.window))
    }

    /// Decompresses a whole body into `out`, within the limits: for tools, tests and re-compression.
    pub fn decompress(&mut self, codec: Codec, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let limit = self.limits.max_bytes;
        let (mut source, window) = self.open(codec, input)?;
        let mut total = 0u64;
        while let Some(count) = window.fill(&mut source)? {
            total += count as u64;
            if total > limit {
                return Err(CodecError::TooManyBytes { limit });
            }
            out.extend_from_slice(window.unread());
            window.consume(count);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A compressed body being read.
pub(crate) enum Source<'d, 'a> {
    Plain(&'a [u8]),
    Gzip(gzip::Source<'d, 'a>),
    Snappy(snappy::Source<'d, 'a>),
    Lz4(lz4::Source<'d, 'a>),
    Zstd(zstd::Source<'d, 'a>),
}

impl Source<'_, '_> {
    /// Room the next piece needs, `None` at the end. Bounded by the compressed bytes at hand and by the
    /// format's own block size, not by claims.
    fn next_size(&mut self) -> Result<Option<usize>, CodecError> {
        match self {
            Source::Plain(input) => Ok((!input.is_empty()).then(|| input.len().min(PIECE))),
            Source::Gzip(source) => source.next_size(),
            Source::Snappy(source) => source.next_size(),
            Source::Lz4(source) => source.next_size(),
            Source::Zstd(source) => source.next_size(),
        }
    }

    /// Writes the next piece into `out`, which has the room asked for. Zero is not the end.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Source::Plain(input) => {
                let count = input.len().min(out.len());
                let (piece, rest) = input.split_at(count);
                out[..count].copy_from_slice(piece);
                *input = rest;
                Ok(count)
            }
            Source::Gzip(source) => source.read(out),
            Source::Snappy(source) => source.read(out),
            Source::Lz4(source) => source.read(out),
            Source::Zstd(source) => source.read(out),
        }
    }

    /// Whether Kafka's Java reader understands what was read so far (see `lz4`).
    pub(crate) fn java_reads_it(&self) -> bool {
        match self {
            Source::Lz4(source) => source.java_reads_it(),
            _ => true,
        }
    }
}

/// Room that the streaming codecs ask for.
const PIECE: usize = 64 << 10;
/// A window above this size is given back before the next body.
const KEEP: usize = 1 << 20;

/// Decompressed bytes on their way to the parser: `buffer[start..end]` is unread.
#[derive(Default)]
pub(crate) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.buffer.len() > KEEP {
            self.buffer = Vec::new();
        }
    }

    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Takes `skip` then `count` bytes off the front and gives the latter.
    pub(crate) fn take(&mut self, skip: usize, count: usize) -> &[u8] {
        let from = self.end.min(self.start + skip);
        self.consume(skip + count);
        self.buffer.get(from..self.start).unwrap_or_default()
    }

    /// Reads one more piece behind the unread bytes: its size, or `None` at the end of the body.
    pub(crate) fn fill(&mut self, source: &mut Source<'_, '_>) -> Result<Option<usize>, CodecError> {
        let Some(need) = source.next_size()? else {
            return Ok(None);
        };
        if self.buffer.len() - self.end < need {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() - self.end < need {
                // Doubling keeps a large record linear; both summands are bytes that exist.
                let size = (self.end + need).max(2 * self.end);
                self.buffer.resize(size, 0);
            }
        }
        let count = source.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(Some(count))
    }
}

/// Compresses bodies, keeping contexts between them.
pub struct Compressor {
    snappy: snap::raw::Encoder,
    zstd: zstd::Encoder,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor {
            snappy: snap::raw::Encoder::new(),
            zstd: zstd::Encoder::default(),
        }
    }
}

impl Compressor {
    /// A compressor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed, to `out`. A level outside [`Codec::levels`] is brought into it. Snappy
    /// has no levels, and `lz4_flex` only the fast one, so that lz4's 1 to 17 all give the same bytes.
    pub fn compress(
        &mut self,
        codec: Codec,
        level: i32,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let level = level.clamp(*codec.levels().start(), *codec.levels().end());
        match codec {
            Codec::None => out.extend_from_slice(input),
            Codec::Gzip => gzip::compress(level, input, out)?,
            Codec::Snappy => snappy::compress(&mut self.snappy, input, out)?,
            Codec::Lz4 => lz4::compress(input, out)?,
            Codec::Zstd => self.zstd.compress(level, input, out)?,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
