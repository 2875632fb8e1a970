//! Randomness from the kernel: every generator is seeded afresh, so two of one purpose differ as well.
#![allow(unsafe_code, reason = "getrandom(2)")]

use ottla_io::{Entropy, Rng};

/// Seeds from getrandom(2).
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn stream(&self, _purpose: &str) -> Rng {
        let mut seed = [0u8; 32];
        fill(&mut seed);
        Rng::from_seed(seed)
    }
}

fn fill(out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        // SAFETY: the pointer and the length describe `rest`, which is ours and writable.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => done += n,
            Err(_) => {
                let e = std::io::Error::last_os_error();
                // Without randomness ids would collide between brokers: going on is worse than stopping.
                assert_eq!(
                    e.kind(),
                    std::io::ErrorKind::Interrupted,
                    "the kernel gives no random bytes: {e}"
                );
            }
        }
    }
}
