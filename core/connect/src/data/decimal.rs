//! Java's `BigDecimal` as far as Connect needs it: a whole number of any size and how many of its decimal digits stand behind the
//! point. No arithmetic.

use std::fmt;

use bytes::Bytes;

/// How many bytes or digits a decimal may have here. Turning one into the other takes time by the square of it.
const LARGEST: usize = 1024;

/// A decimal number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// The digits as a whole number: big-endian, two's complement, as few bytes as possible and at least one.
    unscaled: Bytes,
    scale: i32,
}

/// A text that is no decimal number, or one of too many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidDecimal;

impl Decimal {
    /// From the big-endian two's complement of its digits (Java: `new BigDecimal(new BigInteger(bytes), scale)`).
    pub fn from_bytes(unscaled: &[u8], scale: i32) -> Result<Self, InvalidDecimal> {
        if unscaled.is_empty() || unscaled.len() > LARGEST {
            return Err(InvalidDecimal);
        }
        let mut bytes = unscaled;
        while let [first, second, ..] = bytes
            && (*first == 0 && *second < 0x80 || *first == 0xff && *second >= 0x80)
        {
            bytes = bytes.get(1..).unwrap_or(&[0]);
        }
        Ok(Decimal {
            unscaled: Bytes::copy_from_slice(bytes),
            scale,
        })
    }

    /// From text: `-12.50`, `1E+3`.
    pub fn parse(text: &str) -> Result<Self, InvalidDecimal> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| InvalidDecimal)?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let count = whole.len() + fraction.len();
        if count == 0 || count > LARGEST {
            return Err(InvalidDecimal);
        }
        let mut magnitude = vec![0u8];
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = digit
                .checked_sub(b'0')
                .filter(|d| *d < 10)
                .ok_or(InvalidDecimal)?;
            times_ten_plus(&mut magnitude, digit);
        }
        let scale = i32::try_from(fraction.len())
            .ok()
            .and_then(|places| places.checked_sub(exponent))
            .ok_or(InvalidDecimal)?;
        // A leading byte for the sign.
        magnitude.push(0);
        if negative {
            negate(&mut magnitude);
        }
        magnitude.reverse();
        Decimal::from_bytes(&magnitude, scale)
    }

    /// The digits as a big-endian two's complement.
    pub fn unscaled(&self) -> &Bytes {
        &self.unscaled
    }

    /// How many of the digits stand behind the point; negative: zeros that follow.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    fn digits(&self) -> (bool, String) {
        let negative = self.unscaled.first().is_some_and(|b| *b >= 0x80);
        let mut magnitude: Vec<u8> = self.unscaled.iter().rev().copied().collect();
        if negative {
            negate(&mut magnitude);
        }
        let mut digits = Vec::new();
        while magnitude.iter().any(|b| *b != 0) {
            digits.push(b'0' + divide_by_ten(&mut magnitude));
        }
        if digits.is_empty() {
            digits.push(b'0');
        }
        digits.reverse();
        (negative, digits.into_iter().map(char::from).collect())
    }
}

/// Little-endian.
fn times_ten_plus(magnitude: &mut Vec<u8>, digit: u8) {
    let mut carry = u16::from(digit);
    for byte in magnitude.iter_mut() {
        let product = u16::from(*byte) * 10 + carry;
        (*byte, carry) = (product as u8, product >> 8);
    }
    if carry > 0 {
        magnitude.push(carry as u8);
    }
}

/// Little-endian; returns the rest.
fn divide_by_ten(magnitude: &mut [u8]) -> u8 {
    let mut rest = 0u16;
    for byte in magnitude.iter_mut().rev() {
        let part = rest << 8 | u16::from(*byte);
        (*byte, rest) = ((part / 10) as u8, part % 10);
    }
    rest as u8
}

/// Two's complement, little-endian.
fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

impl fmt::Display for Decimal {
    /// `BigDecimal.toString`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, digits) = self.digits();
        if negative {
            f.write_str("-")?;
        }
        let adjusted = digits.len() as i64 - 1 - i64::from(self.scale);
        match usize::try_from(self.scale) {
            Ok(0) => f.write_str(&digits),
            Ok(scale) if adjusted >= -6 => {
                let padded = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = padded.split_at(padded.len() - scale);
                write!(f, "{whole}.{fraction}")
            }
            _ => {
                let (first, rest) = digits.split_at(1);
                f.write_str(first)?;
                if !rest.is_empty() {
                    write!(f, ".{rest}")?;
                }
                if adjusted != 0 {
                    write!(f, "E{adjusted:+}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_print_as_in_java() {
        for (text, printed) in [
            ("0", "0"),
            ("-12.50", "-12.50"),
            ("1E+3", "1E+3"),
            ("0.0000001", "1E-7"),
            ("0.000001", "0.000001"),
            (
                "123456789012345678901234567890.5",
                "123456789012345678901234567890.5",
            ),
            ("-1.5E10", "-1.5E+10"),
            ("256", "256"),
            ("-128", "-128"),
            ("0.00", "0.00"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), printed, "{text}");
        }
        for bad in ["", "-", "x", "1e", "1..2", "1E99999999999", "."] {
            assert_eq!(Decimal::parse(bad), Err(InvalidDecimal), "{bad}");
        }
        assert_eq!(Decimal::parse("-128").unwrap().unscaled().as_ref(), [0x80]);
        assert_eq!(Decimal::parse("128").unwrap().unscaled().as_ref(), [0, 0x80]);
    }

    proptest! {
        #[test]
        fn text_and_bytes_say_the_same(number: i128, scale in -40i32..40) {
            let decimal = Decimal::from_bytes(&number.to_be_bytes(), scale).unwrap();
            prop_assert_eq!(&Decimal::parse(&decimal.to_string()).unwrap(), &decimal);
            let whole = Decimal::from_bytes(&number.to_be_bytes(), 0).unwrap();
            prop_assert_eq!(whole.to_string(), number.to_string());
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}", more in "[-+0-9.eE]{0,12}") {
            let _ = (Decimal::parse(&text), Decimal::parse(&more).map(|d| d.to_string()));
        }
    }
}
