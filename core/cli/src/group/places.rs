//! What a user writes to say which partitions, and where to: Kafka's forms, checked before anything is asked.

use std::str::FromStr;
use std::time::Duration;

use crate::values::{duration, time};

/// A topic, or some of its partitions: `orders` or `orders:0,2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The topic.
    pub topic: String,
    /// The partitions; all if there are none.
    pub partitions: Vec<i32>,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no topic: write NAME, or NAME:0,1 for some of its partitions");
        let (topic, numbers) = match text.split_once(':') {
            Some((topic, numbers)) => (topic, Some(numbers)),
            None => (text, None),
        };
        let partitions = numbers.iter().flat_map(|n| n.split(',')).map(|number| {
            let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| number.parse().ok()).flatten().ok_or_else(bad)
        });
        let partitions = partitions.collect::<Result<Vec<i32>, String>>()?;
        if topic.is_empty() {
            return Err(bad());
        }
        Ok(Scope {
            topic: topic.to_owned(),
            partitions,
        })
    }
}

/// A duration as Kafka writes it (ISO 8601: `PT1H30M`, `P7D`), or as this program does (`90m`).
pub fn ago(text: &str) -> Result<Duration, String> {
    if !text.starts_with(['P', 'p']) {
        return duration(text).map_err(|e| format!("{e}, or ISO 8601 such as PT1H30M"));
    }
    iso(&text.to_ascii_uppercase())
        .ok_or_else(|| format!("`{text}` is no duration: write P7D, PT1H30M, PT10.5S, or 90m"))
}

fn iso(text: &str) -> Option<Duration> {
    let (days, clock) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, clock)) if !clock.is_empty() => (days, clock),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    let (mut rest, mut clock) = (days, clock);
    let mut millis = take(&mut rest, 'D', 86_400_000)?;
    for (unit, worth) in [('H', 3_600_000), ('M', 60_000), ('S', 1_000)] {
        millis = millis.checked_add(take(&mut clock, unit, worth)?)?;
    }
    let whole = rest.is_empty() && clock.is_empty();
    (whole && i64::try_from(millis).is_ok()).then(|| Duration::from_millis(millis))
}

/// The number before `unit` at the start of `text`, in milliseconds; 0 if there is none.
fn take(text: &mut &str, unit: char, worth: u64) -> Option<u64> {
    let Some((number, rest)) = text.split_once(unit) else {
        return Some(0);
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (unit != 'S' && number.contains('.')) {
        return None;
    }
    *text = rest;
    let fraction: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(worth)?
        .checked_add(fraction)
}

/// A point in time as Kafka writes it: without a zone it is in UTC.
pub fn datetime(text: &str) -> Result<i64, String> {
    time(text).or_else(|error| time(&format!("{text}Z")).map_err(|_| error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let scope = |topic: &str, partitions: &[i32]| Scope {
            topic: topic.into(),
            partitions: partitions.to_vec(),
        };
        assert_eq!("t".parse(), Ok(scope("t", &[])));
        assert_eq!("t:0,12".parse(), Ok(scope("t", &[0, 12])));
        for bad in ["", ":1", "t:", "t:x", "t:1,", "t:-1", "t:99999999999"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_kafkas_or_ours() {
        for (text, millis) in [
            ("PT1H", 3_600_000),
            ("P1D", 86_400_000),
            ("P1DT1H1M1.5S", 90_061_500),
            ("PT0S", 0),
            ("pt90m", 5_400_000),
            ("90m", 5_400_000),
        ] {
            assert_eq!(ago(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "P1DT",
            "P1H",
            "PT1D",
            "PT1.5H",
            "PT1",
            "PTS",
            "P1M",
            "PT1M1H",
            "PT1S1",
            "1x",
            "P99999999999999999999D",
        ] {
            assert!(ago(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        assert_eq!(datetime("1970-01-01T00:00:01.500"), Ok(1_500));
        assert_eq!(datetime("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(datetime("1970-01-02"), Ok(86_400_000));
        assert!(datetime("yesterday").is_err());
    }
}
