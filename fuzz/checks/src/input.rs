//! A fuzzer's bytes as numbers. Whatever they are, they mean something, and where they end everything is zero: so a mutation of an
//! input is an input, and a shorter one is a simpler case.

/// The bytes that are left.
#[derive(Debug, Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Reads `data` from its begin.
    pub fn new(data: &'a [u8]) -> Self {
        Input(data)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next four bytes.
    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// The next eight bytes.
    pub fn i64(&mut self) -> i64 {
        i64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below `limit`, of one byte if that is enough, else of two; 0 if `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let number = if limit <= 256 {
            usize::from(self.byte())
        } else {
            usize::from(self.u16())
        };
        number.checked_rem(limit).unwrap_or(0)
    }

    /// True once in `n` values of a byte.
    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// The next `count` bytes, or what is left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        front
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_zero() {
        let mut input = Input::new(&[7, 1, 2]);
        assert_eq!(
            (input.below(5), input.u16(), input.byte(), input.i64()),
            (2, 258, 0, 0)
        );
        assert!(input.is_empty() && input.take(3).is_empty());
    }
}
