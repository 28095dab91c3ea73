//! Salts of digests: read from a file, or drawn and written to one.
//!
//! A salt file is JSON: `{"schema": "provenn.salts", "version": 1, "salts": {"NAME": "HEX", …}}`, 32
//! bytes for each tensor by its name. Who has a tensor and its salt can show that a digest is the
//! tensor's; without the salt nobody can find the tensor by trying. So the file is its owner's alone.

use std::path::Path;

use air::graph::{Graph, TensorId};
use air::statement::{Hash, Salt};
use p3_field::PrimeField32;
use serde_json::{Map, Value, json};
use verifier::Protocol;

use crate::commands::P;
use crate::error::{Code, Failure};
use crate::files;
use crate::report::hex;

const MODULUS: u32 = <<P as Protocol>::Val as PrimeField32>::ORDER_U32;
/// Largest salt file read.
const MAX_BYTES: u64 = 1 << 20;

/// Salts of some tensors, by name.
#[derive(Clone, Debug, Default)]
pub struct Salts(Map<String, Value>);

impl Salts {
    /// Reads a salt file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, MAX_BYTES)?;
        let malformed = |what: &str| Failure::new(Code::Malformed, what).in_file(path);
        let json: Value = serde_json::from_slice(&bytes)
            .map_err(|_| malformed("it is not JSON, let alone salts"))?;
        let known = json["schema"] == "provenn.salts" && json["version"] == 1;
        match (known, json["salts"].as_object()) {
            (true, Some(salts)) => Ok(Self(salts.clone())),
            _ => Err(malformed("it is not a salt file of this version")),
        }
    }

    /// Writes a salt file, for its owner only.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let json = json!({"schema": "provenn.salts", "version": 1, "salts": self.0});
        files::write_secret(path, format!("{json:#}\n").as_bytes())
    }

    /// Salts for some tensors of a graph, drawn anew.
    pub fn fresh(graph: &Graph, ids: &[TensorId], hash: Hash) -> Result<Self, Failure> {
        let mut salts = Self::default();
        for id in ids {
            let salt = draw(hash)?;
            salts.0.insert(name(graph, *id), hex(&salt).into());
        }
        Ok(salts)
    }

    /// The salt of each of these tensors. `path` is where they came from, for messages.
    pub fn of(
        &self,
        graph: &Graph,
        ids: &[TensorId],
        hash: Hash,
        path: &Path,
    ) -> Result<Vec<Salt>, Failure> {
        let one = |id: &TensorId| {
            let name = name(graph, *id);
            let malformed = |what: &str| {
                let message = format!("{what} for tensor `{name}`");
                Failure::new(Code::Malformed, message).in_file(path)
            };
            let text = self.0.get(&name).and_then(Value::as_str);
            let text = text.ok_or_else(|| malformed("there is no salt"))?;
            let salt =
                parse_hex(text).ok_or_else(|| malformed("64 hexadecimal digits expected"))?;
            match hash.is_canonical(&salt, u64::from(MODULUS)) {
                true => Ok(salt),
                false => Err(malformed(
                    "the salt is none for Poseidon2 (a word is not below p)",
                )),
            }
        };
        ids.iter().map(one).collect()
    }
}

fn name(graph: &Graph, id: TensorId) -> String {
    graph.tensors[id.index()].name.clone()
}

/// A salt that is uniform among those the hash accepts.
fn draw(hash: Hash) -> Result<Salt, Failure> {
    let random = || prover::fresh_seed().map_err(|e| Failure::new(Code::Limit, e.to_string()));
    let mut salt = random()?;
    if hash == Hash::Poseidon2 {
        for word in salt.chunks_exact_mut(4) {
            // By rejection: a 31-bit number, drawn again until it is below p.
            let mut source = random()?;
            let mut at = 0;
            loop {
                if at == source.len() {
                    (source, at) = (random()?, 0);
                }
                let bytes = [
                    source[at],
                    source[at + 1],
                    source[at + 2],
                    source[at + 3] & 0x7f,
                ];
                at += 4;
                if u32::from_le_bytes(bytes) < MODULUS {
                    word.copy_from_slice(&bytes);
                    break;
                }
            }
        }
    }
    Ok(salt)
}

/// 32 bytes from 64 hexadecimal digits.
pub fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_64_digits() {
        assert_eq!(parse_hex(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(parse_hex(&"0f".repeat(31)), None);
        assert_eq!(parse_hex(&"+f".repeat(32)), None);
        assert_eq!(parse_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn drawn_salts_are_canonical_and_differ() {
        for hash in [Hash::Sha256, Hash::Poseidon2] {
            let [a, b] = [draw(hash), draw(hash)].map(|s| s.expect("there is randomness"));
            assert_ne!(a, b);
            assert!(hash.is_canonical(&a, u64::from(MODULUS)));
        }
    }
}
