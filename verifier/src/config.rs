//! # Protocol configurations
//!
//! Field, extension degree, hash and commitment scheme are one type parameter, [`Protocol`]. The
//! default is BabyBear (p = 15·2^27 + 1) with its degree-5 extension (X^5 − 2), Keccak-f\[1600\]
//! Merkle trees and a Keccak-256 transcript.

use alloc::vec;
use core::fmt::Debug;

use p3_baby_bear::BabyBear;
use p3_challenger::{
    CanObserve, FieldChallenger, GrindingChallenger, HashChallenger, SerializingChallenger32,
};
use p3_commit::{ExtensionMmcs, Pcs, UnivariateStarkPcs};
use p3_dft::Radix2DitParallel;
use p3_field::coset::TwoAdicMultiplicativeCoset;
use p3_field::extension::{BinomialExtensionField, BinomiallyExtendable};
use p3_field::{ExtensionField, Field, PrimeField32, TwoAdicField};
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_keccak::{Keccak256Hash, KeccakF};
use p3_matrix::dense::RowMajorMatrixCow;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{CompressionFunctionFromHasher, PaddingFreeSponge, SerializingHasher};

use crate::profile::Profile;

/// Everything that can be exchanged without touching the protocol.
pub trait Protocol: 'static + Clone + Debug + Send + Sync {
    /// Base field.
    type Val: PrimeField32 + TwoAdicField;
    /// Extension field of the challenges.
    type Challenge: ExtensionField<Self::Val>;
    /// Polynomial commitment scheme.
    type Pcs: UnivariateStarkPcs<
            Self::Challenge,
            Self::Challenger,
            Domain = TwoAdicMultiplicativeCoset<Self::Val>,
            Commitment: Debug + Eq + Send + Sync,
            ProverData: Send + Sync,
        > + Send
        + Sync;
    /// Fiat–Shamir transcript.
    type Challenger: FieldChallenger<Self::Val>
        + GrindingChallenger<Witness = Self::Val>
        + CanObserve<Commitment<Self>>
        + Clone;

    /// Short name; the transcript begins with it.
    const NAME: &'static str;
    /// The security profiles this configuration can be used with.
    const PROFILES: &'static [Profile];

    /// The commitment scheme with a profile's parameters.
    fn pcs(profile: &Profile) -> Self::Pcs;

    /// An empty transcript.
    fn challenger() -> Self::Challenger;

    /// Whether a commitment is a single root. Further roots would be absorbed and never opened:
    /// harmless, but then one commitment could be written in many ways.
    fn is_single_root(commitment: &Commitment<Self>) -> bool;

    /// The same for the commitments inside an opening proof.
    fn has_single_roots(proof: &PcsProof<Self>) -> bool;

    /// The rows of a committed matrix on the coset of size `2^log_size`, in bit-reversed order.
    fn evaluations<'a>(
        pcs: &'a Self::Pcs,
        data: &'a ProverData<Self>,
        index: usize,
        log_size: usize,
    ) -> RowMajorMatrixCow<'a, Self::Val>;
}

/// Commitments of a protocol.
pub type Commitment<P> = <<P as Protocol>::Pcs as Pcs<
    <P as Protocol>::Challenge,
    <P as Protocol>::Challenger,
>>::Commitment;
/// What the prover keeps of a commitment.
pub type ProverData<P> = <<P as Protocol>::Pcs as Pcs<
    <P as Protocol>::Challenge,
    <P as Protocol>::Challenger,
>>::ProverData;
/// Opening proofs.
pub type PcsProof<P> =
    <<P as Protocol>::Pcs as Pcs<<P as Protocol>::Challenge, <P as Protocol>::Challenger>>::Proof;
/// Why an opening proof is refused.
pub type PcsError<P> =
    <<P as Protocol>::Pcs as Pcs<<P as Protocol>::Challenge, <P as Protocol>::Challenger>>::Error;

type Sponge = PaddingFreeSponge<KeccakF, 25, 17, 4>;
type FieldHash = SerializingHasher<Sponge>;
type Compress = CompressionFunctionFromHasher<Sponge, 2, 4>;
type KeccakMmcs<F> = MerkleTreeMmcs<
    [F; p3_keccak::VECTOR_LEN],
    [u64; p3_keccak::VECTOR_LEN],
    FieldHash,
    Compress,
    2,
    4,
>;

/// BabyBear with a degree-`D` extension, Keccak trees, FRI.
#[derive(Clone, Debug)]
pub struct BabyBearKeccak<const D: usize>;

impl<const D: usize> Protocol for BabyBearKeccak<D>
where
    BabyBear: BinomiallyExtendable<D>,
    BinomialExtensionField<BabyBear, D>: ExtensionField<BabyBear>,
{
    type Val = BabyBear;
    type Challenge = BinomialExtensionField<BabyBear, D>;
    type Pcs = TwoAdicFriPcs<
        BabyBear,
        Radix2DitParallel<BabyBear>,
        KeccakMmcs<BabyBear>,
        ExtensionMmcs<BabyBear, Self::Challenge, KeccakMmcs<BabyBear>>,
    >;
    type Challenger = SerializingChallenger32<BabyBear, HashChallenger<u8, Keccak256Hash, 32>>;

    const NAME: &'static str = match D {
        5 => "babybear-keccak",
        _ => "babybear-keccak, another degree",
    };
    const PROFILES: &'static [Profile] = match D {
        4 => &[Profile::DEGREE_4],
        5 => &Profile::ALL,
        _ => &[],
    };

    fn pcs(profile: &Profile) -> Self::Pcs {
        let sponge = Sponge::new(KeccakF {});
        let mmcs = KeccakMmcs::new(FieldHash::new(sponge), Compress::new(sponge), 0);
        let fri = FriParameters {
            log_blowup: profile.log_blowup,
            log_final_poly_len: profile.log_final_poly_len,
            max_log_arity: profile.max_log_arity,
            num_queries: profile.num_queries,
            batch_proof_of_work_bits: profile.batch_pow_bits,
            commit_proof_of_work_bits: profile.fold_pow_bits,
            query_proof_of_work_bits: profile.query_pow_bits,
            mmcs: ExtensionMmcs::new(mmcs.clone()),
        };
        TwoAdicFriPcs::new(Radix2DitParallel::default(), mmcs, fri)
    }

    fn is_single_root(commitment: &Commitment<Self>) -> bool {
        commitment.roots().len() == 1
    }

    fn has_single_roots(proof: &PcsProof<Self>) -> bool {
        let mut roots = proof.commit_phase_commits.iter().map(|c| c.roots().len());
        roots.all(|count| count == 1)
    }

    fn challenger() -> Self::Challenger {
        SerializingChallenger32::from_hasher(vec![], Keccak256Hash {})
    }

    fn evaluations<'a>(
        pcs: &'a Self::Pcs,
        data: &'a ProverData<Self>,
        index: usize,
        log_size: usize,
    ) -> RowMajorMatrixCow<'a, BabyBear> {
        // A coset of this size always exists: the caller's heights are bounded by the layout.
        let domain = TwoAdicMultiplicativeCoset::new(BabyBear::GENERATOR, log_size)
            .expect("heights are bounded by the two-adicity");
        <Self::Pcs as UnivariateStarkPcs<Self::Challenge, Self::Challenger>>::get_evaluations_on_domain(
            pcs, data, index, domain,
        )
        .inner
    }
}
