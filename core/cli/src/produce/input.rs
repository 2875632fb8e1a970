//! Lines of stdin, read as far ahead as one piece and no further: whoever writes the pipe waits when the broker is slow.

use std::io::{ErrorKind, IsTerminal, Read, Write};

use bytes::{Bytes, BytesMut};
use ottla_io::{Env, run_blocking};

/// What one read takes at most.
const PIECE: usize = 64 << 10;

/// The lines of stdin.
pub struct Lines {
    env: Env,
    splitter: Splitter,
    prompt: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes. A person at a terminal is shown a prompt.
    pub fn of_stdin(env: &Env, limit: usize) -> Self {
        let person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Lines {
            env: env.clone(),
            splitter: Splitter::new(limit),
            prompt: person,
        }
    }

    /// Whether a person types them.
    pub fn is_typed(&self) -> bool {
        self.prompt
    }

    /// The next line and its number, from 1; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<(u64, Bytes)>, String> {
        loop {
            if let Some(line) = self.splitter.next()? {
                return Ok(Some(line));
            }
            if self.splitter.ended {
                return Ok(None);
            }
            let piece = self.read().await?;
            self.splitter.feed(&piece);
        }
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        let prompt = self.prompt;
        let read = run_blocking(self.env.tasks.as_ref(), "stdin", move || {
            if prompt {
                let mut stderr = std::io::stderr();
                let _ = stderr.write_all(b"> ").and_then(|()| stderr.flush());
            }
            let mut piece = vec![0; PIECE];
            loop {
                match std::io::stdin().lock().read(&mut piece) {
                    Ok(len) => {
                        piece.truncate(len);
                        return Ok(piece);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        });
        match read.await {
            Some(Ok(piece)) => Ok(piece),
            Some(Err(error)) => Err(format!("stdin can't be read: {error}")),
            None => Ok(Vec::new()),
        }
    }
}

/// Cuts pieces into lines. Pure.
struct Splitter {
    buffer: BytesMut,
    /// Bytes of `buffer` that hold no line end.
    scanned: usize,
    line: u64,
    limit: usize,
    ended: bool,
}

impl Splitter {
    fn new(limit: usize) -> Self {
        Splitter {
            buffer: BytesMut::new(),
            scanned: 0,
            line: 0,
            limit,
            ended: false,
        }
    }

    /// Takes the next piece; an empty one is the end.
    fn feed(&mut self, piece: &[u8]) {
        self.ended |= piece.is_empty();
        self.buffer.extend_from_slice(piece);
    }

    /// The next line that is there to its end. What follows the last line end is a line too, unless it is empty.
    fn next(&mut self) -> Result<Option<(u64, Bytes)>, String> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'\n').map(|at| at + self.scanned);
        let len = end.unwrap_or(self.buffer.len());
        if len > self.limit {
            let (line, limit) = (self.line + 1, self.limit);
            return Err(format!(
                "line {line}: it is longer than {limit} bytes; raise --max-request-size, or send less in one record"
            ));
        }
        match end {
            Some(end) => {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                self.scanned = 0;
                Ok(Some(self.numbered(line)))
            }
            None if self.ended && !self.buffer.is_empty() => {
                let line = self.buffer.split();
                self.scanned = 0;
                Ok(Some(self.numbered(line)))
            }
            None => {
                self.scanned = self.buffer.len();
                Ok(None)
            }
        }
    }

    fn numbered(&mut self, line: BytesMut) -> (u64, Bytes) {
        self.line += 1;
        (self.line, line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], limit: usize) -> Result<Vec<(u64, Bytes)>, String> {
        let mut splitter = Splitter::new(limit);
        let mut lines = Vec::new();
        for piece in pieces.iter().copied().filter(|p| !p.is_empty()).chain([&b""[..]]) {
            splitter.feed(piece);
            while let Some(line) = splitter.next()? {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    #[test]
    fn a_line_that_is_too_long_is_named() {
        let error = lines(&[b"ab\nabc", b"defgh"], 5).unwrap_err();
        assert!(error.starts_with("line 2: it is longer than 5 bytes"), "{error}");
    }

    #[test]
    fn empty_lines_count_and_an_end_without_a_line_end_is_a_line() {
        let found = lines(&[b"a\n\nb"], 9).unwrap();
        let expected: [(u64, &[u8]); 3] = [(1, b"a"), (2, b""), (3, b"b")];
        assert!(found.iter().map(|(n, l)| (*n, &l[..])).eq(expected), "{found:?}");
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_whole_text(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let found = lines(&pieces, 100).unwrap();
            let expected: Vec<&str> = text.split_terminator('\n').collect();
            let found: Vec<&str> = found.iter().map(|(_, l)| std::str::from_utf8(l).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
