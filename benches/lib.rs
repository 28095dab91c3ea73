//! Benchmarks of provenn.
