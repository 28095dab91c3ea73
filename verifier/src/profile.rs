//! # Security profiles
//!
//! All parameters of the low-degree test are compiled in under a name. A proof cannot choose them;
//! a verifying key names one, and the verifier recomputes the level for the key's actual shape
//! ([`crate::security`]) and refuses to go below the profile's target.
//!
//! "Proven" means: no conjecture about Reed–Solomon codes; queries are charged in the
//! unique-decoding regime.

/// Parameters of the proof system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Number in keys and proofs.
    pub id: u8,
    /// Name on the command line.
    pub name: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// Degree of the extension field.
    pub extension_degree: usize,
    /// Logarithm of the inverse rate.
    pub log_blowup: usize,
    /// FRI queries.
    pub num_queries: usize,
    /// Logarithm of the largest folding arity.
    pub max_log_arity: usize,
    /// Logarithm of the length of FRI's final polynomial: folding stops there. Every table must be
    /// taller, which the smallest height of the layout sees to.
    pub log_final_poly_len: usize,
    /// Grinding before the challenge that batches openings.
    pub batch_pow_bits: usize,
    /// Grinding before each folding challenge.
    pub fold_pow_bits: usize,
    /// Grinding before the query positions.
    pub query_pow_bits: usize,
    /// Grinding before the LogUp challenges.
    pub lookup_pow_bits: usize,
    /// Grinding before the out-of-domain point.
    pub ood_pow_bits: usize,
    /// Bits every round must reach, proven.
    pub target_bits: u32,
}

impl Profile {
    /// No grinding: the fastest for small models.
    pub const LATENCY: Self = Self {
        id: 1,
        name: "latency",
        summary: "100 bits proven, no grinding: fastest on small models",
        extension_degree: 5,
        log_blowup: 2,
        num_queries: 150,
        max_log_arity: 3,
        log_final_poly_len: 5,
        batch_pow_bits: 0,
        fold_pow_bits: 0,
        query_pow_bits: 0,
        lookup_pow_bits: 0,
        ood_pow_bits: 0,
        target_bits: 100,
    };

    /// Query grinding buys fewer queries, hence smaller proofs.
    pub const COMPACT: Self = Self {
        id: 2,
        name: "compact",
        summary: "100 bits proven, 20 bits of query grinding: smaller proofs",
        num_queries: 120,
        query_pow_bits: 20,
        ..Self::LATENCY
    };

    /// Blow-up 2: half the memory and the cheapest proving of large models.
    pub const THROUGHPUT: Self = Self {
        id: 3,
        name: "throughput",
        summary: "100 bits proven at blow-up 2: cheapest on large models",
        log_blowup: 1,
        num_queries: 200,
        query_pow_bits: 20,
        ..Self::LATENCY
    };

    /// 128 bits proven.
    pub const P128: Self = Self {
        id: 4,
        name: "p128",
        summary: "128 bits proven",
        num_queries: 162,
        batch_pow_bits: 14,
        fold_pow_bits: 4,
        query_pow_bits: 20,
        lookup_pow_bits: 10,
        ood_pow_bits: 2,
        target_bits: 128,
        ..Self::LATENCY
    };

    /// For comparison: 100 bits proven with the degree-4 extension, which needs grinding in almost
    /// every round.
    pub const DEGREE_4: Self = Self {
        id: 5,
        name: "degree-4",
        summary: "100 bits proven in the degree-4 extension, with grinding",
        extension_degree: 4,
        num_queries: 120,
        batch_pow_bits: 16,
        fold_pow_bits: 6,
        query_pow_bits: 20,
        lookup_pow_bits: 12,
        ood_pow_bits: 4,
        ..Self::LATENCY
    };

    /// Every profile of the default configuration.
    pub const ALL: [Self; 4] = [Self::LATENCY, Self::COMPACT, Self::THROUGHPUT, Self::P128];

    /// Folding must stop below the smallest table.
    const STOPS_BELOW_EVERY_TABLE: () = {
        let mut i = 0;
        while i < Self::ALL.len() {
            assert!(Self::ALL[i].log_final_poly_len < air::layout::MIN_LOG_HEIGHT);
            i += 1;
        }
        assert!(Self::DEGREE_4.log_final_poly_len < air::layout::MIN_LOG_HEIGHT);
    };

    /// The profile of the default configuration with this number.
    pub fn by_id(id: u8) -> Option<Self> {
        let () = Self::STOPS_BELOW_EVERY_TABLE;
        Self::ALL.into_iter().find(|p| p.id == id)
    }

    /// The profile of the default configuration with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name == name)
    }
}
