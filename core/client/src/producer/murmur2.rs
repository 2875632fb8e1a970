//! Murmur2 as Kafka's clients use it for keys (Kafka class `Utils`): Austin Appleby's MurmurHash2 with a fixed seed.

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

/// The hash of a key.
pub fn murmur2(key: &[u8]) -> u32 {
    // Kafka's lengths are Java ints; a key can't be longer.
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key among `count`: the hash without its sign bit (Kafka's `toPositive`), modulo.
pub fn partition_for_key(key: &[u8], count: usize) -> i32 {
    let count = u32::try_from(count).unwrap_or(u32::MAX).clamp(1, i32::MAX as u32);
    ((murmur2(key) & 0x7fff_ffff) % count) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Utils.murmur2` of kafka-clients 4.3.1 gave, and `toPositive` of it modulo 7 and 100.
    const FROM_JAVA: &[(&[u8], i32, i32, i32)] = &[
        (b"", 275646681, 2, 81),
        (&[0], 375494588, 0, 88),
        (&[255], -311467685, 5, 63),
        (b"a", -1563381124, 5, 24),
        (b"ab", 316155434, 0, 34),
        (b"abc", 479470107, 4, 7),
        (b"abcd", -1323649548, 5, 0),
        (b"21", -973932308, 3, 40),
        (b"foobar", -790332482, 0, 66),
        (b"a-little-bit-long-string", -985981536, 1, 12),
        (
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58897971,
            3,
            77,
        ),
        (&[128, 129, 254, 255, 192], -558476002, 2, 46),
        ("Grüße".as_bytes(), 1190824359, 4, 59),
    ];

    #[test]
    fn hashes_and_partitions_are_javas() {
        for (key, hash, of_seven, of_hundred) in FROM_JAVA {
            assert_eq!(murmur2(key) as i32, *hash, "{key:?}");
            assert_eq!(
                (partition_for_key(key, 7), partition_for_key(key, 100)),
                (*of_seven, *of_hundred),
                "{key:?}"
            );
        }
        assert_eq!(partition_for_key(b"x", 0), 0);
    }
}
