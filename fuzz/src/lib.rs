//! What every target does around its check: the memory that it holds at once is bounded, whatever the input claims.

/// The most that a check may hold: what may come out of one compressed body twice over, with room (as in `checks/tests/corpus.rs`).
const MOST: u64 = 24 << 20;

/// Runs a check on an input.
pub fn bounded(check: fn(&[u8]), data: &[u8]) {
    let memory = allocation_counter::measure(|| check(data));
    assert!(
        memory.bytes_max < MOST,
        "{} bytes of memory for {} of input",
        memory.bytes_max,
        data.len()
    );
}
