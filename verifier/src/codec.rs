//! # Bytes
//!
//! The one place that knows how keys and proofs are written: a 12-byte header, then the payload in
//! bincode with fixed-width little-endian integers. Field elements are four bytes each and are
//! refused unless below p; lengths are eight bytes.
//!
//! | bytes | content |
//! |---|---|
//! | 0–7 | `PROVENN\0` |
//! | 8 | kind: 1 verifying key, 2 proof, 3 proving key, 4 rekey proof, 5 attestation |
//! | 9 | profile |
//! | 10–11 | format version |
//!
//! Decoding is bounded (the caller states a limit), refuses trailing bytes, and refuses anything
//! that does not encode back to the same bytes.

use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Version of every format and of the transcript. Any change to either changes it.
pub const FORMAT_VERSION: u16 = 7;

const MAGIC: [u8; 8] = *b"PROVENN\0";
const HEADER: usize = 12;

/// Memory a decoder may claim for a payload of at most `SMALL` bytes: a length in a small file must
/// not make us reserve what only a large file could fill.
const MAX_DECODED_SMALL: usize = 1 << 26;
/// Memory a decoder may claim for any payload.
const MAX_DECODED: usize = 1 << 31;
/// Payloads up to this size, in bytes, are small.
const SMALL: usize = 1 << 24;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A verifying key.
    VerifyingKey = 1,
    /// A proof with its statement.
    Proof = 2,
    /// A proving key.
    ProvingKey = 3,
    /// A proof that two keys have the same weights.
    RekeyProof = 4,
    /// A proof that the weights of a key keep their bound.
    Attestation = 5,
}

impl Kind {
    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyingKey => "verifying key",
            Self::Proof => "proof",
            Self::ProvingKey => "proving key",
            Self::RekeyProof => "rekey proof",
            Self::Attestation => "attestation",
        }
    }
}

/// Why bytes are not an artefact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The file does not start like one of ours.
    #[error("this is not a provenn file")]
    NotOurs,
    /// The file is of another kind.
    #[error("this is a {got}, not a {expected}")]
    WrongKind {
        /// Kind asked for.
        expected: &'static str,
        /// Kind found.
        got: &'static str,
    },
    /// The file was written by another version.
    #[error("format version {got} is not the supported version {expected}")]
    Version {
        /// Version of this program.
        expected: u16,
        /// Version of the file.
        got: u16,
    },
    /// The file is longer than anything valid.
    #[error("{got} bytes are more than the {limit} a valid file can have")]
    TooLong {
        /// Largest valid size.
        limit: usize,
        /// Size found.
        got: usize,
    },
    /// The payload does not decode.
    #[error("the file is damaged or truncated")]
    Damaged,
    /// Bytes follow the payload.
    #[error("{extra} bytes follow the end of the data")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The payload decodes, but is not how we would write it.
    #[error("the file is not in canonical form")]
    NotCanonical,
}

const fn config<const LIMIT: usize>() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// The payload alone, without a header: what digests are taken of.
pub fn encode_payload<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing plain data to memory cannot fail; an empty result would fail every check made on it.
    bincode::serde::encode_to_vec(value, config::<MAX_DECODED>()).unwrap_or_default()
}

/// A file.
pub fn encode<T: Serialize>(kind: Kind, profile: u8, value: &T) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    bytes.push(kind as u8);
    bytes.push(profile);
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend(encode_payload(value));
    bytes
}

/// The kind and profile a file's header states, if it is one of ours.
pub fn sniff(bytes: &[u8]) -> Result<(Kind, u8), CodecError> {
    let header: &[u8; HEADER] = bytes
        .first_chunk()
        .filter(|h| h.starts_with(&MAGIC))
        .ok_or(CodecError::NotOurs)?;
    let [.., kind, profile, v0, v1] = *header;
    let got = u16::from_le_bytes([v0, v1]);
    if got != FORMAT_VERSION {
        let expected = FORMAT_VERSION;
        return Err(CodecError::Version { expected, got });
    }
    let kind = match kind {
        1 => Kind::VerifyingKey,
        2 => Kind::Proof,
        3 => Kind::ProvingKey,
        4 => Kind::RekeyProof,
        5 => Kind::Attestation,
        _ => return Err(CodecError::Damaged),
    };
    Ok((kind, profile))
}

/// Reads a file of the given kind, at most `limit` bytes long. Returns its profile and payload.
pub fn decode<T: Serialize + DeserializeOwned>(
    kind: Kind,
    bytes: &[u8],
    limit: usize,
) -> Result<(u8, T), CodecError> {
    let (found, profile) = sniff(bytes)?;
    if found != kind {
        return Err(CodecError::WrongKind {
            expected: kind.name(),
            got: found.name(),
        });
    }
    if bytes.len() > limit {
        let got = bytes.len();
        return Err(CodecError::TooLong { limit, got });
    }
    let payload = bytes.get(HEADER..).ok_or(CodecError::Damaged)?;
    let decoded = if payload.len() <= SMALL {
        bincode::serde::decode_from_slice(payload, config::<MAX_DECODED_SMALL>())
    } else {
        bincode::serde::decode_from_slice(payload, config::<MAX_DECODED>())
    };
    let (value, used): (T, usize) = decoded.map_err(|_| CodecError::Damaged)?;
    let extra = payload.len() - used;
    if extra != 0 {
        return Err(CodecError::Trailing { extra });
    }
    if encode_payload(&value) != payload {
        return Err(CodecError::NotCanonical);
    }
    Ok((profile, value))
}
