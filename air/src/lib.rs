//! # provenn-air: what is proved
//!
//! This crate is the language both sides of a proof speak. It holds the *quantised graph* with its
//! exact integer semantics, the chips (algebraic constraints, one folder each), the buses that
//! connect them, and the layout that turns a graph into a fixed list of tables.
//!
//! ```text
//!   Graph ──layout──▶ tables (chip, height, width)      what the verifier checks
//!     │
//!     └──evaluate──▶ integers (acc, q, rem, out)        what the prover commits to
//! ```
//!
//! Three types to know: [`graph::Graph`] (the computation), [`chips::Air`] (a chip's constraints
//! and bus traffic, written once and interpreted by prover, verifier and debugger) and
//! [`layout::Layout`] (the tables of one graph).
//!
//! Nothing here proves anything, reads files or starts threads: the crate is `no_std + alloc`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod builder;
pub mod bus;
pub mod chips;
pub mod debug;
pub mod graph;
pub mod hiding;
pub mod layout;
pub mod logup;
pub mod projection;
pub mod statement;
pub mod witness;
