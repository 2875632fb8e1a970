//! The parser. Its input comes from topics and files, so depth is bounded and nothing is allocated that the input does not hold.

use std::fmt;

use super::Json;

/// How deep arrays and objects may nest.
const DEEPEST: usize = 200;

/// Bytes that are not one JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {} at byte {}", self.problem, self.at)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads one value and nothing behind it but white space.
pub fn parse(bytes: &[u8]) -> Result<Json, SyntaxError> {
    let mut parser = Parser { bytes, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.wrong("something follows the value")),
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, problem: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, SyntaxError> {
        if depth > DEEPEST {
            return Err(self.wrong("it nests too deep"));
        }
        self.space();
        match self.peek() {
            Some(b'"') => self.text().map(Json::Text),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err(self.wrong("no value begins like this")),
            None => Err(self.wrong("it ends where a value should be")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, SyntaxError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.wrong("unknown word"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, SyntaxError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        Ok(Json::Number(text.iter().map(|b| char::from(*b)).collect()))
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("a digit is missing"));
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]` is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, SyntaxError> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        // Where each name stands: a search per member would take time by the square of their number.
        let mut places = std::collections::BTreeMap::new();
        self.space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name is missing"));
            }
            let name = self.text()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("`:` is missing"));
            }
            let value = self.value(depth + 1)?;
            match places.get(&name).and_then(|at: &usize| members.get_mut(*at)) {
                Some(member) => member.1 = value,
                None => {
                    places.insert(name.clone(), members.len());
                    members.push((name, value));
                }
            }
            self.space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}` is missing"));
            }
        }
    }

    fn text(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\') || *b < b' ');
            let Some(plain) = plain else {
                return Err(self.wrong("a text does not end"));
            };
            let part = std::str::from_utf8(rest.get(..plain).unwrap_or_default());
            out.push_str(part.map_err(|_| self.wrong("a text is not UTF-8"))?);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.wrong("a control character must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        self.at += 1;
        let c = match self.peek() {
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'u') => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(self.wrong("unknown escape")),
        };
        self.at += 1;
        Ok(c)
    }

    /// Behind `\u`. Half of a surrogate pair, which Java's texts can hold and ours can't, becomes U+FFFD.
    fn code_point(&mut self) -> Result<char, SyntaxError> {
        let first = self.four_digits()?;
        if (0xd800..0xdc00).contains(&first) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.four_digits()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, SyntaxError> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let code = std::str::from_utf8(digits)
            .ok()
            .filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .ok_or_else(|| self.wrong("\\u needs four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<String, String> {
        parse(text.as_bytes())
            .map(|json| json.to_string())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn values_are_read() {
        for (text, written) in [
            (" [1 , -2.50e+3,\ttrue]\n", "[1,-2.50e+3,true]"),
            (r#"{"a":{},"b":[],"a":null}"#, r#"{"a":null,"b":[]}"#),
            (r#""\u00e9\ud83d\ude00\/""#, "\"é\\uD83D\\uDE00/\""),
            (r#""\ud83dx""#, "\"\u{fffd}x\""),
            (r#""\ud83d\u0041""#, "\"\u{fffd}A\""),
        ] {
            assert_eq!(read(text).as_deref(), Ok(written));
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in [
            "",
            "  ",
            "nul",
            "01",
            "1.",
            "-",
            "1e",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "\"a",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "1 2",
            "{\"a\":1,}",
            "[1}",
            "\u{feff}1",
            "+1",
            ".5",
            "NaN",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\[{}\\],:\"\\\\u0-9a-f. ]{0,30}") {
            let _ = (parse(&bytes), parse(text.as_bytes()));
        }
    }
}
