//! The format of Kafka's offset file: a `java.util.HashMap<byte[], byte[]>` as Java's object serialization writes it. Only that is
//! read; whatever else the bytes announce is refused, and nothing is allocated that they do not hold.
//! Java Object Serialization Specification, chapter 6.

use std::fmt;

const MAGIC: [u8; 4] = [0xac, 0xed, 0, 5];
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const ARRAY: u8 = 0x75;
const BLOCK: u8 = 0x77;
const END_BLOCK: u8 = 0x78;
/// The handle of the first object or class of a stream.
const FIRST_HANDLE: u32 = 0x7e_0000;

/// `java.util.HashMap`: name, serialVersionUID, flags (a writeObject method), and its two fields.
const HASH_MAP: &[u8] = b"\x72\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09threshold\x78\x70";
/// `byte[]`.
const BYTES: &[u8] = b"\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70";
/// Java's default load factor, 0.75.
const LOAD_FACTOR: [u8; 4] = [0x3f, 0x40, 0, 0];

/// Keys and values; a value may be null.
pub type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Bytes that are no such map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMap {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for NotAMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a HashMap<byte[], byte[]> as Java serialises it: {} expected at byte {}",
            self.expected, self.at
        )
    }
}

impl std::error::Error for NotAMap {}

/// Writes a map.
pub fn write(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.push(OBJECT);
    out.extend(HASH_MAP);
    // As a map that was filled one by one: 16 buckets, doubled while three quarters of them are not enough.
    let mut buckets: u32 = 16;
    while (buckets / 4 * 3) < u32::try_from(entries.len()).unwrap_or(u32::MAX) && buckets < 1 << 30 {
        buckets *= 2;
    }
    out.extend(LOAD_FACTOR);
    out.extend((buckets / 4 * 3).to_be_bytes());
    out.extend([BLOCK, 8]);
    out.extend(buckets.to_be_bytes());
    out.extend((entries.len() as u32).to_be_bytes());
    // Handles count up: the class of the map, the map, then the class of the first array.
    let (array_class, mut first) = (FIRST_HANDLE + 2, true);
    let mut array = |bytes: &[u8], out: &mut Vec<u8>| {
        out.push(ARRAY);
        if std::mem::take(&mut first) {
            out.extend(BYTES);
        } else {
            out.push(REFERENCE);
            out.extend(array_class.to_be_bytes());
        }
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend(bytes);
    };
    for (key, value) in entries {
        array(key, &mut out);
        match value {
            Some(value) => array(value, &mut out),
            None => out.push(NULL),
        }
    }
    out.push(END_BLOCK);
    out
}

/// Reads a map. A null key, which Kafka can't make of an offset, is left out.
pub fn read(bytes: &[u8]) -> Result<Entries, NotAMap> {
    let mut reader = Reader {
        bytes,
        at: 0,
        handles: Vec::new(),
        copied: 0,
    };
    reader.exactly(&MAGIC, "the magic number of a stream")?;
    reader.exactly(&[OBJECT], "an object")?;
    reader.exactly(HASH_MAP, "the class java.util.HashMap")?;
    reader.handles.push(Handle::Other);
    reader.handles.push(Handle::Other);
    reader.take(8, "load factor and threshold")?;
    reader.exactly(&[BLOCK, 8], "the map's size")?;
    reader.take(4, "the number of buckets")?;
    let count = reader.number("the number of entries")?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = reader.array("a key")?;
        let value = reader.array("a value")?;
        if let Some(key) = key {
            entries.push((key, value));
        }
    }
    reader.exactly(&[END_BLOCK], "the end of the map")?;
    if reader.at < bytes.len() {
        return Err(reader.wrong("the end of the file"));
    }
    Ok(entries)
}

/// What a handle stands for.
enum Handle {
    ByteArrayClass,
    /// Where an array's bytes lie.
    Array(std::ops::Range<usize>),
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    handles: Vec<Handle>,
    /// Bytes that references have repeated: at most as many as there are at all, or a small file could fill the memory.
    copied: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, expected: &'static str) -> NotAMap {
        NotAMap {
            at: self.at,
            expected,
        }
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], NotAMap> {
        let end = self.at.checked_add(len).ok_or_else(|| self.wrong(what))?;
        let found = self.bytes.get(self.at..end).ok_or_else(|| self.wrong(what))?;
        self.at = end;
        Ok(found)
    }

    fn exactly(&mut self, expected: &[u8], what: &'static str) -> Result<(), NotAMap> {
        let start = self.at;
        if self.take(expected.len(), what)? == expected {
            return Ok(());
        }
        self.at = start;
        Err(self.wrong(what))
    }

    fn number(&mut self, what: &'static str) -> Result<u32, NotAMap> {
        let bytes = self.take(4, what)?;
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    fn handle(&mut self, what: &'static str) -> Result<&Handle, NotAMap> {
        let wrong = self.wrong(what);
        let number = self.number(what)?;
        let index = number.checked_sub(FIRST_HANDLE).map(|index| index as usize);
        index.and_then(|index| self.handles.get(index)).ok_or(wrong)
    }

    /// An array, or `None` for null. Java writes an array that occurs twice as a reference to the first one.
    fn array(&mut self, what: &'static str) -> Result<Option<Vec<u8>>, NotAMap> {
        let wrong = self.wrong(what);
        match self.take(1, what)? {
            [NULL] => Ok(None),
            [REFERENCE] => match self.handle(what)? {
                Handle::Array(range) => {
                    let range = range.clone();
                    self.copied = self.copied.saturating_add(range.len());
                    if self.copied > self.bytes.len() {
                        return Err(wrong);
                    }
                    Ok(self.bytes.get(range).map(<[u8]>::to_vec))
                }
                _ => Err(wrong),
            },
            [ARRAY] => {
                self.array_class()?;
                let len = self.number("the length of an array")? as usize;
                let start = self.at;
                let found = self.take(len, "an array's bytes")?;
                self.handles.push(Handle::Array(start..self.at));
                Ok(Some(found.to_vec()))
            }
            _ => Err(wrong),
        }
    }

    fn array_class(&mut self) -> Result<(), NotAMap> {
        let wrong = self.wrong("the class byte[]");
        match self.bytes.get(self.at) {
            Some(&CLASS) => {
                self.exactly(BYTES, "the class byte[]")?;
                self.handles.push(Handle::ByteArrayClass);
                Ok(())
            }
            Some(&REFERENCE) => {
                self.at += 1;
                match self.handle("the class byte[]")? {
                    Handle::ByteArrayClass => Ok(()),
                    _ => Err(wrong),
                }
            }
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written by Kafka 4.3.1's connect-standalone.
    const KAFKAS: &[u8] = include_bytes!("../../tests/data/kafka-4.3.1.offsets");

    #[test]
    fn kafkas_file_is_read_and_written_alike() {
        let entries = read(KAFKAS).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (key, value) = &entries[0];
        assert_eq!(text(key), r#"["local-file-source",{"filename":"test.txt"}]"#);
        assert_eq!(text(value.as_ref().unwrap()), r#"{"position":8}"#);
        assert_eq!(write(&entries), KAFKAS);
    }

    #[test]
    fn an_array_that_occurs_twice_is_a_reference() {
        let mut bytes = write(&vec![(b"k".to_vec(), Some(b"v".to_vec()))]);
        // The map is handle 0x7e0001, the array class 0x7e0002, the key 0x7e0003.
        let value = [ARRAY, REFERENCE, 0, 0x7e, 0, 2, 0, 0, 0, 1, b'v', END_BLOCK];
        assert!(bytes.ends_with(&value));
        bytes.truncate(bytes.len() - value.len());
        bytes.extend([REFERENCE, 0, 0x7e, 0, 3, END_BLOCK]);
        assert_eq!(read(&bytes).unwrap(), [(b"k".to_vec(), Some(b"k".to_vec()))]);
        let len = bytes.len();
        bytes[len - 2] = 9;
        assert!(read(&bytes).is_err(), "a handle that does not exist");
    }

    #[test]
    fn references_do_not_multiply_a_file() {
        let long = vec![7; 1000];
        let mut bytes = write(&vec![(long, None)]);
        let count = bytes.iter().position(|b| *b == BLOCK).unwrap() + 6;
        bytes[count..count + 4].copy_from_slice(&2000u32.to_be_bytes());
        bytes.truncate(bytes.len() - 1);
        for _ in 0..1999 {
            bytes.extend([REFERENCE, 0, 0x7e, 0, 3, NULL]);
        }
        bytes.push(END_BLOCK);
        assert!(read(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entries in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..20), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))), 0..30)) {
            prop_assert_eq!(read(&write(&entries)), Ok(entries));
        }

        #[test]
        fn damage_is_refused_or_read(at in 0usize..KAFKAS.len(), byte: u8, cut in 0usize..KAFKAS.len()) {
            let mut bytes = KAFKAS.to_vec();
            bytes[at] = byte;
            let _ = read(&bytes);
            prop_assert!(read(&KAFKAS[..cut]).is_err(), "a part is no whole");
        }
    }
}
