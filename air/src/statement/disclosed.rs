//! What a statement says of one tensor.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::graph::{Range, Tensor};

/// What a statement says of a tensor, besides its shape and range. A tensor of which nothing more is
/// said is private; one whose values are shown needs no further word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Disclosed {
    /// Its values, flat `[feature][position]`.
    pub values: Option<Vec<i32>>,
    /// Its digest.
    pub digest: Option<TensorDigest>,
    /// An interval for each feature; the feature's values lie in it at all positions.
    pub bounds: Option<Vec<Range>>,
    /// For each position the features, ascending, that no other feature exceeds.
    pub leading: Option<Vec<Vec<u32>>>,
}

/// A hash function that tensors are hashed with inside a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hash {
    /// SHA-256, see [`crate::chips::sha256`].
    Sha256,
    /// Poseidon2, see [`crate::chips::poseidon2`].
    Poseidon2,
}

/// A random string hashed before a tensor's elements, so that nobody can find the tensor by trying.
/// For Poseidon2: eight field elements, each as a little-endian 32-bit integer below p.
pub type Salt = [u8; 32];

/// The digest of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorDigest {
    /// How it was made.
    pub hash: Hash,
    /// Whether a salt was hashed before the elements.
    pub salted: bool,
    /// The digest; for Poseidon2 written like a [`Salt`].
    pub bytes: [u8; 32],
}

impl Disclosed {
    /// Nothing is said.
    pub const PRIVATE: Self = Self {
        values: None,
        digest: None,
        bounds: None,
        leading: None,
    };

    /// All values are shown.
    pub const fn public(values: Vec<i32>) -> Self {
        Self {
            values: Some(values),
            ..Self::PRIVATE
        }
    }

    /// How many times the tensor's claim is received: by the verifier if it knows the values, and by
    /// each table that proves something of them.
    pub fn receivers(&self) -> u32 {
        let parts = [
            self.values.is_some(),
            self.digest.is_some(),
            self.bounds.is_some(),
            self.leading.is_some(),
        ];
        parts.into_iter().map(u32::from).sum()
    }

    /// Whether a table is needed for what is said.
    pub fn needs_table(&self) -> bool {
        self.digest.is_some() || self.bounds.is_some() || self.leading.is_some()
    }

    /// Appends the canonical encoding: a word of flags, then each part that is there, all as
    /// little-endian 32-bit integers, lists with their length first.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let Self {
            values,
            digest,
            bounds,
            leading,
        } = self;
        let mut word = |w: u32| bytes.extend(w.to_le_bytes());
        let flags = [
            values.is_some(),
            digest.is_some(),
            bounds.is_some(),
            leading.is_some(),
        ];
        word((0..).zip(flags).map(|(i, set)| u32::from(set) << i).sum());
        if let Some(values) = values {
            word(values.len() as u32);
            values.iter().for_each(|&v| word(v as u32));
        }
        if let Some(digest) = digest {
            word(digest.hash as u32);
            word(u32::from(digest.salted));
            words(&digest.bytes).into_iter().for_each(&mut word);
        }
        if let Some(bounds) = bounds {
            word(bounds.len() as u32);
            for range in bounds {
                word(range.lo as u32);
                word(range.hi as u32);
            }
        }
        if let Some(leading) = leading {
            word(leading.len() as u32);
            for features in leading {
                word(features.len() as u32);
                features.iter().for_each(|&f| word(f));
            }
        }
    }

    /// Whether `bounds` has an interval for every feature, inside the tensor's range.
    pub(super) fn bounds_fit(bounds: &[Range], shape: &Tensor) -> bool {
        let inside = |r: &Range| r.lo <= r.hi && shape.range.lo <= r.lo && r.hi <= shape.range.hi;
        bounds.len() == shape.features as usize && bounds.iter().all(inside)
    }

    /// Whether `leading` names, for every position, equally many features of the tensor, ascending.
    pub(super) fn leading_fits(leading: &[Vec<u32>], shape: &Tensor) -> bool {
        let count = leading.first().map_or(0, Vec::len);
        let ascending = |list: &Vec<u32>| list.windows(2).all(|w| w[0] < w[1]);
        let exist = |list: &Vec<u32>| list.iter().all(|&f| f < shape.features);
        leading.len() == shape.positions()
            && count > 0
            && (leading.iter()).all(|list| list.len() == count && ascending(list) && exist(list))
    }
}

impl Hash {
    /// Its name in messages and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Poseidon2 => "poseidon2",
        }
    }

    /// Whether these bytes can be a salt or a digest: for Poseidon2 every word must be below the
    /// field's order, or one number could be written in two ways.
    pub fn is_canonical(self, bytes: &[u8; 32], modulus: u64) -> bool {
        match self {
            Self::Sha256 => true,
            Self::Poseidon2 => words(bytes).iter().all(|&w| u64::from(w) < modulus),
        }
    }
}

/// Eight little-endian words.
pub fn words(bytes: &[u8; 32]) -> [u32; 8] {
    core::array::from_fn(|i| {
        let at = |j: usize| bytes[4 * i + j];
        u32::from_le_bytes([at(0), at(1), at(2), at(3)])
    })
}
