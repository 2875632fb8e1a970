//! Random values of every message and record, and uniform access to all of them: for tests and fuzzing only, behind the
//! feature `testgen`. The values come from a [`Seed`], so that a failing one can be made again.

use crate::codec::{DecodeError, EncodeError, Reader};
use ottla_types::Uuid;

/// A stream of random values: SplitMix64, so that a number names a value for ever.
#[derive(Debug, Clone)]
pub struct Seed(u64);

/// Text that strings are cut from; it has characters of one to four bytes.
const TEXT: &str = "orders-7 ä.π_中🎈 __consumer_offsets/broker-0 PLAINTEXT x";

/// Bytes that bytes are cut from.
const BYTES: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 64 {
        bytes[i] = (i as u8).wrapping_mul(37) ^ 0xa5;
        i += 1;
    }
    bytes
};

impl Seed {
    /// The stream with this number.
    pub fn new(number: u64) -> Self {
        Seed(number)
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        (self.number() % limit) as usize
    }

    /// True once in five times.
    pub fn rarely(&mut self) -> bool {
        self.below(5) == 0
    }

    /// A length for an array.
    pub fn count(&mut self) -> usize {
        self.below(4)
    }

    /// An integer that is as often small or extreme as it is anything.
    pub fn i64(&mut self) -> i64 {
        let bits = self.number();
        match self.below(4) {
            0 => (bits % 5) as i64 - 2,
            1 => (bits as i64) >> (bits % 63),
            2 if bits & 1 == 0 => i64::MAX,
            2 => i64::MIN,
            _ => bits as i64,
        }
    }

    /// An int8.
    pub fn i8(&mut self) -> i8 {
        self.i64() as i8
    }

    /// An int16.
    pub fn i16(&mut self) -> i16 {
        self.i64() as i16
    }

    /// A uint16.
    pub fn u16(&mut self) -> u16 {
        self.i64() as u16
    }

    /// An int32.
    pub fn i32(&mut self) -> i32 {
        self.i64() as i32
    }

    /// A uint32.
    pub fn u32(&mut self) -> u32 {
        self.i64() as u32
    }

    /// Never a NaN, which would not be equal to itself.
    pub fn f64(&mut self) -> f64 {
        self.i64() as f64 / 16.0
    }

    /// A bool.
    pub fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A uuid.
    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_bytes((u128::from(self.number()) << 64 | u128::from(self.number())).to_be_bytes())
    }

    /// A string of up to about 60 bytes.
    pub fn string(&mut self) -> &'static str {
        let mut cut = || {
            let mut at = self.below(TEXT.len() as u64 + 1);
            while !TEXT.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (a, b) = (cut(), cut());
        &TEXT[a.min(b)..a.max(b)]
    }

    /// Up to 64 bytes.
    pub fn bytes(&mut self) -> &'static [u8] {
        let (a, b) = (self.below(65), self.below(65));
        &BYTES[a.min(b)..a.max(b)]
    }
}

/// The bytes of a value that was read and written again, and how many of the input's were read.
pub type Rewritten = (Vec<u8>, usize);

/// One message or record, with what tests do to all of them.
#[derive(Debug)]
pub struct Case {
    /// The module it is in, below the crate's root.
    pub group: &'static str,
    /// The schema's name.
    pub name: &'static str,
    /// The API key or the number of the record type.
    pub key: Option<i16>,
    /// The stable versions.
    pub versions: (i16, i16),
    /// Makes a random value, writes it, reads it back and compares; returns the bytes.
    pub round_trip: fn(&mut Seed, i16) -> Result<Vec<u8>, String>,
    /// Reads a value and writes it again.
    pub rewrite: fn(&[u8], i16) -> Result<Rewritten, DecodeError>,
    /// Writes the default value.
    pub default: fn(i16) -> Result<Vec<u8>, EncodeError>,
}

impl Case {
    /// The versions as an iterator.
    pub fn all_versions(&self) -> std::ops::RangeInclusive<i16> {
        self.versions.0..=self.versions.1
    }
}

macro_rules! case {
    ($group:literal, $name:literal, $key:expr, $versions:expr, $($ty:tt)*) => {
        Case {
            group: $group,
            name: $name,
            key: $key,
            versions: $versions,
            round_trip: |seed, version| {
                let value = $($ty)*::arbitrary(seed, version);
                let mut w = Vec::new();
                value.encode(&mut w, version).map_err(|e| format!("{value:?}: {e}"))?;
                let mut r = Reader::new(&w);
                let back = $($ty)*::decode(&mut r, version).map_err(|e| format!("{value:?}: {e}"))?;
                r.finish().map_err(|e| format!("{value:?}: {e}"))?;
                if back == value { Ok(w) } else { Err(format!("{value:?} became {back:?}")) }
            },
            rewrite: |input, version| {
                let mut r = Reader::new(input);
                let value = $($ty)*::decode(&mut r, version)?;
                let mut w = Vec::new();
                // What was read in a version can always be written in it.
                value.encode(&mut w, version).expect("a decoded value can be encoded");
                Ok((w, r.offset()))
            },
            default: |version| {
                let mut w = Vec::new();
                $($ty)*::default().encode(&mut w, version)?;
                Ok(w)
            },
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/testgen.rs"));
