//! Numbers that depend on the seed and on where they are asked for, and on nothing else: taking one fault out of a
//! schedule leaves all others as they were.

/// A well mixed number (splitmix64).
pub fn mix(seed: u64, a: u64, b: u64) -> u64 {
    let mut z = seed ^ a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for shift in [30, 27, 31] {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> shift)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    z ^ (z >> 29)
}

/// A uuid that nobody rolled dice for.
pub fn uuid(seed: u64, n: u64) -> String {
    let (high, low) = (mix(seed, n, 1), mix(seed, n, 2));
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
