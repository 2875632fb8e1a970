//! Randomness: a named generator per purpose, so that drawing more for one purpose moves nothing for another. The sampling
//! functions are ours, so that a seed outlives a library's upgrade.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Where generators come from: the operating system, or a trial's seed.
pub trait Entropy: Send + Sync {
    /// The generator of `purpose`. In a trial, equal seeds and purposes give equal generators.
    fn stream(&self, purpose: &str) -> Rng;
}

/// A ChaCha8 generator with Ottla's own sampling.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// From 32 bytes of seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Rng(ChaCha8Rng::from_seed(seed))
    }

    /// From a number and a purpose: FNV-1a of the purpose keys the seed, so both must be equal to get equal draws.
    pub fn from_number(seed: u64, purpose: &str) -> Self {
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&hash.to_le_bytes());
        Rng::from_seed(bytes)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..n`; 0 if `n` is 0. Multiply-shift: the bias is below 2⁻⁶⁴·n.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// One of `items`, or `None` if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_pinned() {
        let mut rng = Rng::from_number(7, "test");
        let draws: Vec<u64> = (0..4).map(|_| rng.below(1000)).collect();
        let again: Vec<u64> = {
            let mut r = Rng::from_number(7, "test");
            (0..4).map(|_| r.below(1000)).collect()
        };
        assert_eq!(draws, again);
        let other: Vec<u64> = {
            let mut r = Rng::from_number(7, "other");
            (0..4).map(|_| r.below(1000)).collect()
        };
        assert_ne!(draws, other);
    }

    #[test]
    fn sampling_stays_in_range() {
        let mut rng = Rng::from_number(1, "range");
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            assert!((5..=9).contains(&rng.between(5, 9)));
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.between(u64::MAX, u64::MAX), u64::MAX);
    }
}
