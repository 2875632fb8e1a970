//! How Java prints floating-point numbers and dates. `Double.toString` since JDK 19 gives the shortest decimal that reads back the
//! same, as Rust does; only the notation differs.

use super::DAY;

/// `Double.toString`.
pub(crate) fn double(value: f64) -> String {
    let (shortest, two) = (format!("{:e}", value.abs()), format!("{:.1e}", value.abs()));
    let same = two.parse() == Ok(value.abs());
    notation(
        value.is_nan(),
        value.is_infinite(),
        value.is_sign_negative(),
        digits(&shortest, &two, same),
    )
}

/// `Float.toString`.
pub(crate) fn float(value: f32) -> String {
    let (shortest, two) = (format!("{:e}", value.abs()), format!("{:.1e}", value.abs()));
    let same = two.parse() == Ok(value.abs());
    notation(
        value.is_nan(),
        value.is_infinite(),
        value.is_sign_negative(),
        digits(&shortest, &two, same),
    )
}

/// Java prints two digits at least, and then the two that are nearest: 4.9E-324, which 5E-324 would stand for too.
fn digits<'a>(shortest: &'a str, two: &'a str, same: bool) -> &'a str {
    let one = shortest.find('e') == Some(1);
    if one && same { two } else { shortest }
}

/// From Rust's `d.ddde±n` to Java's: plain between 10^-3 and 10^7, at least one digit behind the point.
fn notation(nan: bool, infinite: bool, negative: bool, scientific: &str) -> String {
    if nan {
        return "NaN".into();
    }
    let sign = if negative { "-" } else { "" };
    if infinite {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // What the second of two digits adds is written anyway.
    let digits = digits
        .strip_suffix('0')
        .filter(|d| d.len() == 1)
        .unwrap_or(&digits)
        .to_owned();
    if digits.bytes().all(|b| b == b'0') {
        return format!("{sign}0.0");
    }
    let text = if (-3..7).contains(&exponent) {
        plain(&digits, exponent)
    } else {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        format!("{first}.{rest}E{exponent}")
    };
    format!("{sign}{text}")
}

fn plain(digits: &str, exponent: i32) -> String {
    match usize::try_from(exponent) {
        Ok(exponent) => {
            let whole = exponent + 1;
            let padded = format!("{digits:0<whole$}");
            let (left, right) = padded.split_at(whole);
            format!("{left}.{}", if right.is_empty() { "0" } else { right })
        }
        Err(_) => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            format!("0.{:0<zeros$}{digits}", "")
        }
    }
}

/// `java.util.Date.toString` in UTC: `Thu Jan 01 00:00:00 UTC 1970`.
pub(crate) fn date(millis: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY) / 1000);
    let (year, month, day) = civil(days);
    let weekday = DAYS.get(days.rem_euclid(7) as usize).unwrap_or(&"");
    let month = MONTHS.get(month).unwrap_or(&"");
    format!(
        "{weekday} {month} {day:02} {:02}:{:02}:{:02} UTC {year:04}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Year, month from 0 and day of the month, of days since 1970 (Gregorian, also before its time).
fn civil(days: i64) -> (i64, usize, i64) {
    // Counted from 1 March of year 0, so that a leap day is the last of its year.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_floats() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.00123, "0.00123"),
            (9.99e-4, "9.99E-4"),
            (1234567.5, "1234567.5"),
            (1e7, "1.0E7"),
            (1.5e300, "1.5E300"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (10.0, "10.0"),
            (5e-5, "5.0E-5"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(float(0.1), "0.1");
        assert_eq!(float(3.4e38), "3.4E38");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(-1), "Wed Dec 31 23:59:59 UTC 1969");
        assert_eq!(date(951_782_400_000), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(date(1_790_000_000_000), "Mon Sep 21 14:13:20 UTC 2026");
        date(i64::MAX);
        date(i64::MIN);
    }
}
