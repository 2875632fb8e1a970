//! Values on the command line and in records: durations, sizes, times, pairs, escapes, base64.

use std::time::Duration;

use ottla_wire::records::Codec;

/// `500ms`, `10s`, `2m`, `1h`, `7d`; a number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no duration: write 500ms, 10s, 2m, 1h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let millis = number.checked_mul(millis).filter(|m| i64::try_from(*m).is_ok());
    millis.map(Duration::from_millis).ok_or_else(bad)
}

/// `1048576`, `64K`, `1M`, `2G`; also `KiB`, `MiB`, `GiB`, which are the same.
pub fn size(text: &str) -> Result<usize, String> {
    let bad = || format!("`{text}` is no size: write bytes, or a number with K, M or G");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| bad())?;
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(bad()),
    };
    number
        .checked_mul(1 << shift)
        .filter(|n| *n <= i32::MAX as usize)
        .ok_or_else(bad)
}

/// `key=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`: write KEY=VALUE"))?;
    if key.is_empty() {
        return Err(format!("`{text}` has no key: write KEY=VALUE"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A codec by the name in `compression.type`.
pub fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Codec::ALL.iter().map(|c| c.name()).collect();
        format!("no codec is called `{text}`; there are {}", names.join(", "))
    })
}

/// Text with `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` made what they stand for.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let mut chars = after.chars();
        let byte = match chars.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let hex = after.get(1..3).and_then(|h| u8::from_str_radix(h, 16).ok());
                chars = after.get(3..).unwrap_or_default().chars();
                hex.ok_or_else(|| format!("`{text}`: \\x needs two hexadecimal digits"))?
            }
            _ => {
                return Err(format!(
                    "`{text}`: after a backslash comes n, r, t, 0, x or another backslash"
                ));
            }
        };
        out.push(byte);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// What stands between key and value; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separator(pub Vec<u8>);

/// A separator, with escapes.
pub fn separator(text: &str) -> Result<Separator, String> {
    match unescape(text)? {
        // `-K=` is how an option is given an empty value.
        bytes if bytes.is_empty() => Err("it is empty; an equals sign is written apart: -K =".to_owned()),
        bytes => Ok(Separator(bytes)),
    }
}

/// A time in milliseconds since 1970: that number, a day (`2026-11-24`), or RFC 3339 (`2026-11-24T10:00:00.5+01:00`).
pub fn time(text: &str) -> Result<i64, String> {
    let bad =
        || format!("`{text}` is no time: write milliseconds since 1970, 2026-11-24 or 2026-11-24T10:00:00Z");
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| bad());
    }
    calendar(text).filter(|at| *at >= 0).ok_or_else(bad)
}

fn calendar(text: &str) -> Option<i64> {
    let (day, clock) = match text.split_once(['T', 't', ' ']) {
        Some((day, clock)) => (day, Some(clock)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let (year, month, day) = (
        number(parts.next()?, 4)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    if parts.next().is_some() || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * 86_400_000;
    match clock {
        None => Some(midnight),
        Some(clock) => Some(midnight + time_of_day(clock)?),
    }
}

/// `10:00:00.5Z` or with an offset such as `+01:00`, in milliseconds from midnight in UTC.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => return None,
    };
    let offset = match offset.as_bytes().first()? {
        b'Z' | b'z' if offset.len() == 1 => 0,
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 60_000 } else { -60_000 }
        }
        _ => return None,
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = number(parts.next()?, 2)?;
    let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 || !digits {
        return None;
    }
    let padded = format!("{fraction:0<3}");
    let millis: i64 = padded.get(..3)?.parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + millis - offset)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counted in years that begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648 §4).
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (group >> (18 - 6 * i)) & 63;
            let symbol = ALPHABET.get(six as usize).copied().unwrap_or(b'=');
            out.push(if i > chunk.len() { '=' } else { char::from(symbol) });
        }
    }
    out
}

/// The bytes of base64; padding may be missing. `None` if it is not base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut group, mut bits) = (0u32, 0u32);
    for digit in digits.bytes() {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::show_time;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for bad in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).unwrap_err().contains("500ms"), "{bad}");
        }
        assert_eq!(
            (size("17"), size("64K"), size("1MiB")),
            (Ok(17), Ok(65_536), Ok(1 << 20))
        );
        for bad in ["", "K", "-1", "1T", "4G", "99999999999999999999G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_codecs_and_escapes() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a").is_err() && pair("=a").is_err());
        assert_eq!(codec("zstd"), Ok(Codec::Zstd));
        assert!(codec("lz").unwrap_err().contains("snappy"));
        assert_eq!(
            unescape(r"a\t\x1fé\\\0\n").as_deref(),
            Ok("a\t\u{1f}é\\\0\n".as_bytes())
        );
        assert_eq!(separator(r"\t"), Ok(Separator(b"\t".to_vec())));
        assert!(separator("").unwrap_err().contains("-K ="));
        for bad in [r"\", r"\q", r"\x", r"\x1", r"\xzz", r"\xé"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("1700000000123"), Ok(1_700_000_000_123));
        assert_eq!(time("1970-01-01"), Ok(0));
        assert_eq!(time("2000-02-29T23:59:59.999Z"), Ok(951_868_799_999));
        assert_eq!(time("2000-03-01 01:30:00+01:30"), Ok(951_868_800_000));
        assert_eq!(time("1969-12-31T23:00:00.25-02:00"), Ok(3_600_250));
        for bad in [
            "",
            "yesterday",
            "2001-02-29",
            "2001-13-01",
            "2001-00-01",
            "2001-1-01",
            "1969-12-31",
            "2001-01-01T10:00:00",
            "2001-01-01T24:00:00Z",
            "2001-01-01T10:00:00.Z",
            "2001-01-01T10:00:00+1",
            "2001-01-01T10:00:00Zx",
            "99999999999999999999",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn base64_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(from_base64("-_8"), Some(vec![0xfb, 0xff]));
        for bad in ["A", "AA===", "A A=", "é"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_undone(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }

        #[test]
        fn shown_times_are_read_back(at in 0i64..253_402_300_800_000) {
            prop_assert_eq!(time(&show_time(at)), Ok(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = (time(&text), duration(&text), size(&text), unescape(&text), from_base64(&text));
        }
    }
}
