//! What entropy owes: a generator per purpose, with draws that look random and differ between purposes.

use crate::{Env, Rng};

/// Everything in this file.
pub async fn all(env: &Env, rng: &mut Rng) {
    purposes(env, rng);
    looks_random(env);
}

fn draws(mut rng: Rng, n: usize) -> Vec<u64> {
    (0..n).map(|_| rng.next_u64()).collect()
}

/// Different purposes give different generators, however many draws another purpose has made.
pub fn purposes(env: &Env, rng: &mut Rng) {
    let names = ["uuid", "jitter", "election", "", "uuid "];
    let mut seen: Vec<u64> = Vec::new();
    for name in names {
        let n = rng.between(1, 20) as usize;
        seen.extend(draws(env.entropy.stream(name), n));
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(
        seen.len(),
        count,
        "generators of different purposes drew equal 64-bit values"
    );
}

/// Bits are balanced, and filled bytes are not left as they were.
pub fn looks_random(env: &Env) {
    let n = 4096;
    let ones: u64 = draws(env.entropy.stream("balance"), n)
        .iter()
        .map(|v| u64::from(v.count_ones()))
        .sum();
    let bits = n as u64 * 64;
    // 512 is one standard deviation of 2^18 / 2 times two; 10 of them never happen by chance.
    assert!(ones.abs_diff(bits / 2) < 2560, "{ones} of {bits} bits are set");
    let mut bytes = [0u8; 64];
    env.entropy.stream("fill").fill(&mut bytes);
    let zeros = bytes.iter().filter(|b| **b == 0).count();
    assert!(zeros < 16, "{zeros} of 64 filled bytes are zero");
}
