//! Bytes into lines, each with the position behind it. Pure.
//!
//! A line ends with `\n`, `\r\n` or a lone `\r`; what has no end yet is no line, and a `\r` at the end of what was fed waits for
//! the next byte. Positions are bytes from the beginning of the file. (Kafka's count UTF-16 units and are then used as bytes: equal
//! for ASCII, wrong for everything else.)

use bytes::{Buf, Bytes, BytesMut};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its bytes, without its end.
    pub bytes: Bytes,
    /// The position behind its end.
    pub end: u64,
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: BytesMut,
    /// Bytes of `buffer` that hold no line end.
    scanned: usize,
    /// The position of `buffer`'s beginning.
    position: u64,
}

impl Lines {
    /// Lines of a file from `position`, where one begins.
    pub fn from(position: u64) -> Self {
        Lines {
            position,
            ..Lines::default()
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that has its end.
    pub fn next_line(&mut self) -> Option<Line> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let at = at + self.scanned;
        let end = match self.buffer.get(at..at + 2) {
            Some(b"\r\n") => at + 2,
            None if self.buffer.get(at) == Some(&b'\r') => {
                // Whether a `\n` belongs to it is not known yet.
                self.scanned = at;
                return None;
            }
            _ => at + 1,
        };
        let bytes = self.buffer.split_to(at).freeze();
        self.buffer.advance(end - at);
        (self.scanned, self.position) = (0, self.position + end as u64);
        Some(Line {
            bytes,
            end: self.position,
        })
    }

    /// Bytes of a line that has no end yet, or of lines not taken.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Where the first line that was not taken begins.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(lines: &mut Lines) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        while let Some(line) = lines.next_line() {
            out.push((String::from_utf8_lossy(&line.bytes).into_owned(), line.end));
        }
        out
    }

    fn lines(parts: &[&str]) -> Vec<(String, u64)> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for part in parts {
            lines.feed(part.as_bytes());
            out.extend(all(&mut lines));
        }
        out
    }

    #[test]
    fn line_ends_and_positions_are_kafkas() {
        let expected = [("", 1), ("", 3), ("x", 5), ("y", 7)].map(|(t, p)| (t.to_owned(), p));
        assert_eq!(lines(&["\n\r\nx\ry\n"]), expected);
        let mut kept = Lines::default();
        kept.feed(b"a\nb\nlast");
        assert_eq!(all(&mut kept), [("a".to_owned(), 2), ("b".to_owned(), 4)]);
        kept.feed(b"-more\n");
        assert_eq!(all(&mut kept), [("last-more".to_owned(), 14)]);
        assert_eq!(lines(&["x\r"]), [], "a carriage return waits");
        assert_eq!(lines(&["x\r", "\n"]), [("x".to_owned(), 3)]);
        assert_eq!(lines(&["x\r", "y\n"]), [("x".to_owned(), 2), ("y".to_owned(), 4)]);
    }

    #[test]
    fn positions_count_bytes() {
        assert_eq!(lines(&["héllo wörld\n"]), [("héllo wörld".to_owned(), 14)]);
    }

    /// The lines of a text, one character after the other.
    fn naive(text: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let (mut out, mut line, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            match text[at] {
                b'\r' if at + 1 == text.len() => break,
                b'\r' | b'\n' => {
                    at += if text[at..].starts_with(b"\r\n") { 2 } else { 1 };
                    out.push((std::mem::take(&mut line), at as u64));
                }
                byte => {
                    line.push(byte);
                    at += 1;
                }
            }
        }
        out
    }

    proptest! {
        /// However the bytes come in, the lines are the same, and reading on from any line's position gives those behind it.
        #[test]
        fn cuts_do_not_matter(text in "[a\\r\\né]{0,40}", cuts in proptest::collection::vec(0usize..50, 0..6), from in 0usize..10) {
            let expected = naive(text.as_bytes());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut lines, mut found, mut last) = (Lines::default(), Vec::new(), 0);
            for cut in cuts {
                lines.feed(&text.as_bytes()[last..cut]);
                last = cut;
                while let Some(line) = lines.next_line() {
                    found.push((line.bytes.to_vec(), line.end));
                }
            }
            prop_assert_eq!(&found, &expected);
            if let Some((_, position)) = expected.get(from) {
                let mut rest = Lines::from(*position);
                rest.feed(&text.as_bytes()[*position as usize..]);
                let rest: Vec<_> = std::iter::from_fn(|| rest.next_line()).map(|l| (l.bytes.to_vec(), l.end)).collect();
                prop_assert_eq!(&rest[..], &expected[from + 1..]);
            }
        }
    }
}
