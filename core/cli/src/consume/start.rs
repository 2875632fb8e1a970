//! Where reading begins.

use std::collections::BTreeMap;
use std::str::FromStr;

use ottla_client::{Consumer, Result};
use ottla_types::TopicPartition;

use crate::values::{duration, time};

/// Where reading begins, in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is kept.
    Beginning,
    /// Behind the last record.
    End,
    /// At this offset.
    Offset(i64),
    /// So many records before the end.
    Last(i64),
    /// At the first record that is not older: milliseconds since 1970.
    Time(i64),
    /// At the first record that is not older than so many milliseconds before now.
    Ago(i64),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no place: write beginning, end, an offset, -N for the last N records, or @TIME"
            )
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = digits.then(|| text.parse().ok()).flatten();
            number.ok_or_else(bad)
        };
        match text {
            "beginning" | "start" | "earliest" => Ok(Start::Beginning),
            "end" | "latest" => Ok(Start::End),
            _ => match text.split_at_checked(1) {
                Some(("@", ago)) if ago.starts_with('-') => {
                    let ago = duration(ago.get(1..).unwrap_or_default())?;
                    Ok(Start::Ago(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
                }
                Some(("@", at)) => time(at).map(Start::Time),
                Some(("-", last)) => number(last).map(Start::Last),
                _ => number(text).map(Start::Offset),
            },
        }
    }
}

/// A partition to read: from `from` on, of what was kept as `first..end` when that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Records below are not wanted.
    pub from: i64,
    /// Where to begin fetching: `from`, unless that is not there yet or any more.
    pub seek: i64,
    /// The end of then.
    pub end: i64,
}

impl Range {
    fn new(from: i64, first: i64, end: i64) -> Self {
        Range {
            from,
            seek: from.clamp(first, end.max(first)),
            end,
        }
    }
}

/// Finds out where to begin.
pub async fn resolve(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    from: Start,
    now: i64,
) -> Result<BTreeMap<TopicPartition, Range>> {
    let first = consumer.beginning_offsets(partitions).await?;
    let end = consumer.end_offsets(partitions).await?;
    let at = match from {
        Start::Time(at) => Some(at),
        Start::Ago(ago) => Some(now.saturating_sub(ago).max(0)),
        _ => None,
    };
    let by_time = match at {
        Some(at) => {
            let times: Vec<_> = partitions.iter().map(|p| (p.clone(), at)).collect();
            consumer.offsets_for_times(&times).await?
        }
        None => BTreeMap::new(),
    };
    let range = |partition: &TopicPartition| {
        let first = first.get(partition).copied().unwrap_or(0);
        let end = end.get(partition).copied().unwrap_or(first);
        let from = match from {
            Start::Beginning => first,
            Start::End => end,
            Start::Offset(offset) => offset,
            Start::Last(count) => end.saturating_sub(count).max(first),
            Start::Time(_) | Start::Ago(_) => by_time
                .get(partition)
                .copied()
                .flatten()
                .map_or(end, |found| found.offset),
        };
        (partition.clone(), Range::new(from, first, end))
    };
    Ok(partitions.iter().map(range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, place) in [
            ("beginning", Start::Beginning),
            ("earliest", Start::Beginning),
            ("end", Start::End),
            ("0", Start::Offset(0)),
            ("9223372036854775807", Start::Offset(i64::MAX)),
            ("-5", Start::Last(5)),
            ("@1700000000000", Start::Time(1_700_000_000_000)),
            ("@1970-01-01T00:00:01Z", Start::Time(1_000)),
            ("@-2m", Start::Ago(120_000)),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for bad in [
            "",
            "-",
            "@",
            "+5",
            "5x",
            "--5",
            "@x",
            "@-",
            "@-x",
            "é",
            "9223372036854775808",
        ] {
            assert!(bad.parse::<Start>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_outside_of_what_is_kept_is_waited_for_or_cut() {
        assert_eq!(
            Range::new(7, 5, 10),
            Range {
                from: 7,
                seek: 7,
                end: 10
            }
        );
        assert_eq!(
            Range::new(2, 5, 10),
            Range {
                from: 2,
                seek: 5,
                end: 10
            }
        );
        assert_eq!(
            Range::new(99, 5, 10),
            Range {
                from: 99,
                seek: 10,
                end: 10
            }
        );
    }
}
