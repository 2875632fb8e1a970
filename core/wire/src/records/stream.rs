//! The records of a compressed body, decompressed piece by piece into a reused window and given out
//! one at a time. Bounded by the limits of the [`Decompressor`] whatever the body claims.

use super::codec::{Codec, Decompressor, Limits, Source, Window};
use super::error::{CodecError, RecordError};
use super::record::{RecordRef, Scan};
use super::varint;

/// Streams the records of a batch. It gives exactly the announced number of records or ends with an
/// error; the end of the compressed stream (and the checksums there) is part of what it checks.
pub struct RecordStream<'d, 'a> {
    source: Source<'d, 'a>,
    window: &'d mut Window,
    limits: Limits,
    produced: u64,
    announced: i32,
    found: i32,
    done: bool,
}

impl<'d, 'a> RecordStream<'d, 'a> {
    pub(crate) fn new(
        scratch: &'d mut Decompressor,
        codec: Codec,
        body: &'a [u8],
        announced: i32,
    ) -> Result<Self, RecordError> {
        let limits = scratch.limits;
        match u32::try_from(announced) {
            Err(_) => return Err(RecordError::NegativeCount { count: announced }),
            Ok(count) if count > limits.max_records => {
                return Err(CodecError::TooManyRecords {
                    limit: limits.max_records,
                }
                .into());
            }
            Ok(_) => {}
        }
        let (source, window) = scratch.open(codec, body)?;
        Ok(RecordStream {
            source,
            window,
            limits,
            produced: 0,
            announced,
            found: 0,
            done: false,
        })
    }

    /// The next record, borrowed until the next call; `None` at the end. After an error in
    /// the stream it ends; after one inside a record, whose length still stands, it may go on.
    pub fn next_record(&mut self) -> Option<Result<RecordRef<'_>, RecordError>> {
        self.next_body().map(|body| body.and_then(RecordRef::parse))
    }

    /// The next record as validation wants it, headers checked.
    pub(crate) fn next_scan(&mut self) -> Option<Result<Scan, RecordError>> {
        self.next_body().map(|body| body.and_then(Scan::read))
    }

    fn next_body(&mut self) -> Option<Result<&[u8], RecordError>> {
        if self.done {
            return None;
        }
        if self.found == self.announced {
            self.done = true;
            return self.expect_end().err().map(Err);
        }
        match self.locate() {
            Ok((prefix, length)) => {
                self.found += 1;
                Some(Ok(self.window.take(prefix, length)))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }

    /// Whether Kafka's Java clients can read this body; meaningful once all records were read.
    pub(crate) fn java_reads_it(&self) -> bool {
        self.source.java_reads_it()
    }

    /// Brings the next record into the window: size of its length field, and its length.
    fn locate(&mut self) -> Result<(usize, usize), RecordError> {
        loop {
            let unread = self.window.unread();
            let mut rest = unread;
            match varint::read_i32(&mut rest) {
                Ok(length) if length < 0 => return Err(RecordError::NegativeLength { length }),
                Ok(length) if length as usize <= rest.len() => {
                    return Ok((unread.len() - rest.len(), length as usize));
                }
                Ok(length) if length as u64 > self.limits.max_bytes => {
                    return Err(CodecError::TooManyBytes {
                        limit: self.limits.max_bytes,
                    }
                    .into());
                }
                Ok(_) | Err(RecordError::Truncated) => {}
                Err(error) => return Err(error),
            }
            if !self.fill()? {
                let counted = RecordError::CountMismatch {
                    announced: self.announced,
                    found: self.found,
                };
                return Err(if self.window.unread().is_empty() {
                    counted
                } else {
                    RecordError::Truncated
                });
            }
        }
    }

    fn expect_end(&mut self) -> Result<(), RecordError> {
        while self.window.unread().is_empty() {
            if !self.fill()? {
                return Ok(());
            }
        }
        Err(RecordError::TrailingBytes)
    }

    /// Decompresses one more piece; false at the end.
    fn fill(&mut self) -> Result<bool, CodecError> {
        let Some(count) = self.window.fill(&mut self.source)? else {
            return Ok(false);
        };
        self.produced += count as u64;
        if self.produced > self.limits.max_bytes {
            return Err(CodecError::TooManyBytes {
                limit: self.limits.max_bytes,
            });
        }
        Ok(true)
    }
}

impl std::fmt::Debug for RecordStream<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordStream")
            .field("announced", &self.announced)
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}
