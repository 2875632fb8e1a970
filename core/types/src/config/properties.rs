//! The file format of `server.properties`: that of `java.util.Properties`, read from UTF-8 text (which Java's own Latin-1 files
//! are too as long as they keep to ASCII and escapes). What the keys mean is the rest of `config`.

use std::collections::BTreeMap;
use std::fmt;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// The value; empty if there was none.
    pub value: String,
}

/// An escape that does not follow the format: the only thing that can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEscape {
    /// The line on which its entry begins, from 1.
    pub line: usize,
}

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: \\u must be followed by four hexadecimal digits; write \\\\u for a backslash and a u",
            self.line
        )
    }
}

impl std::error::Error for BadEscape {}

/// Reads `text`; entries come in the order of the file, repeated keys included. A byte order mark is skipped.
pub fn parse(text: &str) -> Result<Vec<Entry>, BadEscape> {
    let mut entries = Vec::new();
    let mut lines = Lines {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        number: 0,
    };
    while let Some((line, logical)) = lines.next_logical() {
        let key_end = end_of_key(&logical);
        let (key, rest) = logical.split_at(key_end);
        let rest = rest.trim_start_matches(is_space);
        let rest = rest
            .strip_prefix(['=', ':'])
            .unwrap_or(rest)
            .trim_start_matches(is_space);
        let (key, value) = (unescape(key), unescape(rest));
        entries.push(Entry {
            line,
            key: key.ok_or(BadEscape { line })?,
            value: value.ok_or(BadEscape { line })?,
        });
    }
    Ok(entries)
}

/// The entries as a map: of a repeated key the last one counts, as in Java.
pub fn to_map(entries: Vec<Entry>) -> BTreeMap<String, String> {
    entries
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect()
}

/// Writes entries, a line each, in ASCII, as `Properties.store` does; what Java's reader and ours make of it is equal.
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (key, value) in entries {
        escape(key, true, &mut out);
        out.push('=');
        escape(value, false, &mut out);
        out.push('\n');
    }
    out
}

/// White space within a line.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// The lines of a file, joined where one ends in a backslash.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end, which is `\n`, `\r` or `\r\n`.
    fn next_natural(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(end) = self.rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut self.rest));
        };
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix("\r\n").unwrap_or(rest.get(1..).unwrap_or(""));
        Some(line)
    }

    /// The next line that is neither blank nor a comment, with all that continues it, and the number of its first line.
    fn next_logical(&mut self) -> Option<(usize, String)> {
        loop {
            let line = self.next_natural()?.trim_start_matches(is_space);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let number = self.number;
            let mut logical = String::new();
            let mut part = line;
            loop {
                let backslashes = part.bytes().rev().take_while(|b| *b == b'\\').count();
                if backslashes % 2 == 0 {
                    logical.push_str(part);
                    break;
                }
                logical.push_str(part.get(..part.len() - 1).unwrap_or(part));
                if self.rest.is_empty() {
                    break; // A backslash at the very end makes an entry even if nothing else does.
                }
                part = self.next_continuation(&logical)?;
            }
            return Some((number, logical));
        }
    }

    /// What continues a line. While nothing but backslashes has been seen, blank lines and comments are skipped, as Java does.
    fn next_continuation(&mut self, so_far: &str) -> Option<&'a str> {
        loop {
            let line = self.next_natural()?.trim_start_matches(is_space);
            let skipped = line.is_empty() || line.starts_with(['#', '!']);
            if !(skipped && so_far.is_empty()) {
                return Some(line);
            }
        }
    }
}

/// Where the key of a logical line ends: at the first separator without a backslash before it.
fn end_of_key(line: &str) -> usize {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if !escaped && (matches!(c, '=' | ':') || is_space(c)) {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    line.len()
}

/// Undoes the escapes. Escapes that make half of a UTF-16 pair become the replacement character.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut buffer));
            continue;
        }
        match chars.next() {
            None => {}
            Some('u') => {
                let digits: Option<Vec<u32>> = (0..4).map(|_| chars.next()?.to_digit(16)).collect();
                let unit = digits?.into_iter().fold(0, |unit, digit| unit << 4 | digit);
                units.push(u16::try_from(unit).ok()?);
            }
            Some('t') => units.push(9),
            Some('n') => units.push(10),
            Some('f') => units.push(12),
            Some('r') => units.push(13),
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut buffer)),
        }
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(text: &str, is_key: bool, out: &mut String) {
    let mut buffer = [0; 2];
    for (i, c) in text.chars().enumerate() {
        match c {
            ' ' if is_key || i == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut buffer) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file and what `Properties.load` made of it, every text as UTF-16 in hexadecimal, the keys in order.
    const READ: &str = include_str!("facts/properties-read.tsv");
    /// A text and what `Properties.store` wrote for it as key and value.
    const WRITTEN: &str = include_str!("facts/properties-write.tsv");

    fn from_hex(hex: &str) -> String {
        if hex == "-" {
            return String::new();
        }
        let unit = |at: usize| u16::from_str_radix(&hex[at..at + 4], 16).unwrap();
        String::from_utf16(&(0..hex.len()).step_by(4).map(unit).collect::<Vec<_>>()).unwrap()
    }

    fn to_hex(text: &str) -> String {
        let hex: String = text.encode_utf16().map(|unit| format!("{unit:04x}")).collect();
        if hex.is_empty() { "-".to_string() } else { hex }
    }

    #[test]
    fn reads_as_java_does() {
        let mut cases = 0;
        for line in READ.lines() {
            let (file, expected) = line.split_once('\t').unwrap();
            let text = from_hex(file);
            let ours = match parse(&text) {
                Err(_) => "bad".to_string(),
                Ok(entries) if entries.is_empty() => "none".to_string(),
                Ok(entries) => {
                    let pairs = to_map(entries);
                    let pairs: Vec<String> = pairs
                        .iter()
                        .map(|(k, v)| format!("{}={}", to_hex(k), to_hex(v)))
                        .collect();
                    pairs.join(" ")
                }
            };
            assert_eq!(ours, expected, "{text:?}");
            cases += 1;
        }
        assert!(cases > 80);
    }

    #[test]
    fn writes_as_java_does_and_reads_it_back() {
        for line in WRITTEN.lines() {
            let (text, expected) = line.split_once('\t').unwrap();
            let text = from_hex(text);
            let written = write([(text.as_str(), text.as_str())]);
            assert_eq!(written, from_hex(expected), "{text:?}");
            let entry = Entry {
                line: 1,
                key: text.clone(),
                value: text,
            };
            assert_eq!(parse(&written).unwrap(), [entry]);
        }
    }

    #[test]
    fn whatever_is_written_reads_back() {
        // A small generator of our own keeps this crate without dependencies.
        let alphabet: Vec<char> = " \t\n\r\x0c\\=:#!uaé😀\u{0}\u{7f}".chars().collect();
        let mut state: u64 = 1;
        let mut text = || {
            let mut out = String::new();
            loop {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                match alphabet.get((state >> 33) as usize % (alphabet.len() + 3)) {
                    Some(c) => out.push(*c),
                    None => return out,
                }
            }
        };
        for _ in 0..5_000 {
            let (key, value) = (text(), text());
            let read = parse(&write([(key.as_str(), value.as_str())])).unwrap();
            assert_eq!(read, [Entry { line: 1, key, value }]);
        }
    }

    #[test]
    fn entries_know_their_line() {
        let entries = parse("# one\n\na=1\\\n  2\r\nb=3\rc\n").unwrap();
        let lines: Vec<(usize, &str)> = entries.iter().map(|e| (e.line, e.key.as_str())).collect();
        assert_eq!(lines, [(3, "a"), (5, "b"), (6, "c")]);
        assert_eq!(parse("a=1\nb=\\u12\n"), Err(BadEscape { line: 2 }));
        assert_eq!(parse("\u{feff}a=1").unwrap()[0].key, "a");
    }
}
