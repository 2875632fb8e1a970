//! What commands print on stdout: text for people, or JSON, an object a line.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Prints items in one format. Once the reader of a pipe has gone, the rest is dropped without a word.
pub struct Printer<'a> {
    format: Format,
    out: Box<dyn Write + 'a>,
    error: Option<io::Error>,
}

impl<'a> Printer<'a> {
    /// Prints to stdout.
    pub fn stdout(format: Format) -> Self {
        Printer::new(
            format,
            Box::new(BufWriter::with_capacity(1 << 16, io::stdout().lock())),
        )
    }

    /// Prints to `out`.
    pub fn new(format: Format, out: Box<dyn Write + 'a>) -> Self {
        Printer {
            format,
            out,
            error: None,
        }
    }

    /// Prints one item.
    pub fn item(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        if self.error.is_some() {
            return;
        }
        let result = match self.format {
            Format::Text => writeln!(self.out, "{}", text()),
            Format::Json => writeln!(self.out, "{}", json()),
        };
        self.error = result.err();
    }

    /// Whether printing goes on: nobody reads any more after an error.
    pub fn is_open(&self) -> bool {
        self.error.is_none()
    }

    /// Prints what is buffered, and says whether all of it could be printed.
    pub fn finish(mut self) -> Result<(), String> {
        let error = self.error.take().or_else(|| self.out.flush().err());
        match error {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(format!("stdout can't be written: {e}")),
            _ => Ok(()),
        }
    }
}

/// Rows with columns under each other, two spaces apart.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("  {cell:width$}"));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `1 member`, `2 members`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A time in milliseconds since 1970 as ISO 8601 in UTC; other than that, the number.
pub fn show_time(millis: i64) -> String {
    /// 9999-12-31T23:59:59.999Z.
    const LAST: i64 = 253_402_300_799_999;
    if !(0..=LAST).contains(&millis) {
        return millis.to_string();
    }
    let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of a day since 1970, counted in years that begin in March, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_a_calendar_says() {
        assert_eq!(show_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(show_time(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(show_time(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(show_time(1_709_164_800_001), "2024-02-29T00:00:00.001Z");
        assert_eq!(show_time(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(show_time(-1), "-1");
        assert_eq!(show_time(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn one_item_two_formats() {
        for (format, expected) in [(Format::Text, "a\n"), (Format::Json, "{\"x\":1}\n")] {
            let mut out = Vec::new();
            let mut printer = Printer::new(format, Box::new(&mut out));
            printer.item(|| "a".into(), || serde_json::json!({"x": 1}));
            assert_eq!(printer.finish(), Ok(()));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        struct Gone(io::ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, fine) in [
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let mut printer = Printer::new(Format::Text, Box::new(Gone(kind)));
            printer.item(|| "a".into(), || Value::Null);
            assert!(!printer.is_open());
            assert_eq!(printer.finish().is_ok(), fine);
        }
    }
}
