//! SHA-256 itself (FIPS 180-4), the byte encoding of tensors, and the claim on a digest.

use alloc::vec::Vec;

use p3_field::PrimeCharacteristicRing;

use super::columns::{CHAIN_GROUPS, GROUPS_PER_BLOCK};
use crate::chips::hashed::HashError;
use crate::graph::Range;

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;

/// How one element of a tensor is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Bytes per element, 1 or 2.
    pub bytes: usize,
    /// Two's complement rather than unsigned.
    pub signed: bool,
}

impl Width {
    /// The encoding of a range: one byte if it fits, else two; two's complement if the range has
    /// negative values. `None` if the range fits no such encoding.
    pub const fn of(range: Range) -> Option<Self> {
        let mut bytes = 1;
        while bytes <= 2 {
            let (unsigned, signed) = (Range::unsigned(8 * bytes), Range::signed(8 * bytes));
            if unsigned.lo <= range.lo && range.hi <= unsigned.hi {
                return Some(Self {
                    bytes: bytes as usize,
                    signed: false,
                });
            }
            if signed.lo <= range.lo && range.hi <= signed.hi {
                return Some(Self {
                    bytes: bytes as usize,
                    signed: true,
                });
            }
            bytes += 1;
        }
        None
    }

    /// Elements per 32-bit word.
    pub const fn per_word(self) -> usize {
        4 / self.bytes
    }
}

/// The digest of a tensor: SHA-256 of the salt, if any, and the encoded elements.
pub fn digest(
    values: &[i32],
    range: Range,
    salt: Option<&[u8; SALT_BYTES]>,
) -> Result<[u8; DIGEST_BYTES], HashError> {
    let width = Width::of(range).ok_or(HashError::NoEncoding { range })?;
    let outside = |&v: &i32| !range.contains(i64::from(v));
    if let Some(element) = values.iter().position(outside) {
        return Err(HashError::Range { element });
    }
    Ok(hash_blocks(&blocks(&message(values, width, salt))))
}

/// The message: salt, then elements in flat order.
pub fn message(values: &[i32], width: Width, salt: Option<&[u8; SALT_BYTES]>) -> Vec<u8> {
    let mut bytes = salt.map_or(Vec::new(), |s| s.to_vec());
    for v in values {
        bytes.extend(&v.to_le_bytes()[..width.bytes]);
    }
    bytes
}

/// Number of 64-byte blocks of a padded message.
pub(super) const fn num_blocks(message_bytes: usize) -> usize {
    (message_bytes + 9).div_ceil(64)
}

/// The padded message: 0x80, zeros, and the length in bits as a big-endian 64-bit integer.
pub fn blocks(message: &[u8]) -> Vec<[u32; 16]> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(64 * num_blocks(message.len()) - 8, 0);
    padded.extend((8 * message.len() as u64).to_be_bytes());
    let word = |bytes: &[u8]| bytes.iter().fold(0u32, |w, &b| (w << 8) | u32::from(b));
    padded
        .chunks_exact(64)
        .map(|block| core::array::from_fn(|i| word(&block[4 * i..4 * i + 4])))
        .collect()
}

/// The digest of a padded message.
pub fn hash_blocks(blocks: &[[u32; 16]]) -> [u8; DIGEST_BYTES] {
    let mut state = INITIAL_STATE;
    for block in blocks {
        state = Rounds::new(state, block).next_state();
    }
    let mut bytes = [0; DIGEST_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(4).zip(state) {
        slot.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// One compression, all its words kept. Index `t + 4` belongs to round `t`: the first four entries
/// of `a` are the chaining value's `d, c, b, a`, those of `e` its `h, g, f, e`.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    pub a: [u32; GROUPS_PER_BLOCK],
    pub e: [u32; GROUPS_PER_BLOCK],
    pub w: [u32; 64],
}

impl Rounds {
    pub fn new(state: [u32; 8], block: &[u32; 16]) -> Self {
        let mut w = [0u32; 64];
        w[..16].copy_from_slice(block);
        for t in 16..64 {
            w[t] = small_sigma1(w[t - 2])
                .wrapping_add(w[t - 7])
                .wrapping_add(small_sigma0(w[t - 15]))
                .wrapping_add(w[t - 16]);
        }
        let (mut a, mut e) = ([0; GROUPS_PER_BLOCK], [0; GROUPS_PER_BLOCK]);
        for i in 0..CHAIN_GROUPS {
            a[i] = state[3 - i];
            e[i] = state[7 - i];
        }
        for t in 0..64 {
            // Entry i holds the round before t.
            let i = t + 3;
            let t1 = e[i - 3]
                .wrapping_add(big_sigma1(e[i]))
                .wrapping_add(choose(e[i], e[i - 1], e[i - 2]))
                .wrapping_add(ROUND_CONSTANTS[t])
                .wrapping_add(w[t]);
            e[i + 1] = a[i - 3].wrapping_add(t1);
            a[i + 1] =
                t1.wrapping_add(big_sigma0(a[i]))
                    .wrapping_add(majority(a[i], a[i - 1], a[i - 2]));
        }
        Self { a, e, w }
    }

    /// The chaining value after this block.
    pub fn next_state(&self) -> [u32; 8] {
        let last = GROUPS_PER_BLOCK - 1;
        core::array::from_fn(|i| {
            let (words, i) = if i < 4 {
                (&self.a, i)
            } else {
                (&self.e, i - 4)
            };
            words[3 - i].wrapping_add(words[last - i])
        })
    }
}

pub(super) const fn choose(x: u32, y: u32, z: u32) -> u32 {
    (x & y) ^ (!x & z)
}

pub(super) const fn majority(x: u32, y: u32, z: u32) -> u32 {
    (x & y) ^ (x & z) ^ (y & z)
}

const fn big_sigma0(x: u32) -> u32 {
    x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22)
}

const fn big_sigma1(x: u32) -> u32 {
    x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25)
}

const fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

const fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// What the claim on a digest carries: `Σ_i σ^i·d_i` over the sixteen half-words of the digest. The
/// words come in the order `H0 H4 H1 H5 H2 H6 H3 H7`, each with its low half first.
pub fn digest_value<EF: PrimeCharacteristicRing + Copy>(
    digest: &[u8; DIGEST_BYTES],
    sigma: EF,
) -> EF {
    let mut value = EF::ZERO;
    for word in [7, 3, 6, 2, 5, 1, 4, 0] {
        let half = |at: usize| {
            let at = 4 * word + at;
            EF::from_u16(u16::from_be_bytes([digest[at], digest[at + 1]]))
        };
        value = (value * sigma + half(0)) * sigma + half(2);
    }
    value
}

/// The first 32 bits of the fractional parts of the square roots of the first 8 primes.
pub(super) const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The same of the cube roots of the first 64 primes.
#[rustfmt::skip]
pub(super) const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];
