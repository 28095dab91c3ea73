//! The provenn command.
fn main() {}
