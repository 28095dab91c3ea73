//! All tests of the constraints, in one binary.

mod common;
mod deletion;
mod hashing;
mod layout;
mod logup;
mod map;
mod mask_rows;
mod poseidon2_chip;
mod reference;
mod requantise;
mod sha256;
mod windows;
