//! All tests of the prover, in one binary: each would otherwise compile prover and verifier for the
//! protocol under test once more.

mod attest;
mod attest_forgery;
mod attest_tamper;
mod budget;
mod bytes;
mod common;
mod distinguish;
mod end_to_end;
mod extremes;
mod facts;
mod forgery;
mod hiding;
mod mutation;
mod networks;
mod rekey;
mod rekey_tamper;
mod several;
mod structure;
mod tamper;
