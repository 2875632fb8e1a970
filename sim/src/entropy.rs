//! A node's randomness: from the world's seed, another one for each node and incarnation, as real entropy never repeats.

use ottla_io::{Entropy, Rng};

pub(crate) struct SimEntropy {
    seed: u64,
}

impl SimEntropy {
    pub(crate) fn new(seed: u64, node: usize, incarnation: u64) -> Self {
        SimEntropy {
            seed: seed ^ ((node as u64 + 1) << 48) ^ (incarnation << 40),
        }
    }
}

impl Entropy for SimEntropy {
    fn stream(&self, purpose: &str) -> Rng {
        Rng::from_number(self.seed, purpose)
    }
}
