//! Two ways to hide a proof, side by side: mask rows under the plain commitment scheme, which is what
//! provenn does, and Plonky3's hiding scheme over the same tables without mask rows.
//! `cargo bench -p provenn-benches --bench hiding_pcs`.
//!
//! What is measured is committing to matrices of random cells in the shape of a model's tables and
//! opening them where a proof does: everything of a proof but its traces, its constraints and the public
//! commitments F and W, which are made once. The hiding scheme makes every matrix twice as tall, adds
//! five random columns to it and a salt to every leaf. Constraints would be evaluated on twice as
//! many points as well, and the quotient would have more columns than the mask-row one; neither is
//! counted, so its figures are lower bounds.

use std::hint::black_box;

use air::layout::Layout;
use criterion::{Criterion, criterion_group, criterion_main};
use p3_challenger::{CanObserve, FieldChallenger};
use p3_commit::{ExtensionMmcs, OpeningRequest, UnivariateStarkPcs};
use p3_dft::Radix2DitParallel;
use p3_field::coset::TwoAdicMultiplicativeCoset;
use p3_field::{BasedVectorSpace, TwoAdicField};
use p3_fri::{FriParameters, HidingFriPcs};
use p3_keccak::{KeccakF, VECTOR_LEN};
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::{MerkleCap, MerkleTreeHidingMmcs};
use p3_symmetric::{CompressionFunctionFromHasher, PaddingFreeSponge, SerializingHasher};
use provenn_benches::{P, case};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use verifier::{Privacy, Profile, Protocol};

type F = <P as Protocol>::Val;
type EF = <P as Protocol>::Challenge;
type Challenger = <P as Protocol>::Challenger;

/// Base-field degree of the challenges; as many random codewords mask the batch.
const DEGREE: usize = <EF as BasedVectorSpace<F>>::DIMENSION;
/// Elements of a leaf's salt: 123 bits.
const SALT: usize = 4;
/// Most points a matrix is opened at.
const POINTS: usize = 2;

type Sponge = PaddingFreeSponge<KeccakF, 25, 17, 4>;
type HidingMmcs = MerkleTreeHidingMmcs<
    [F; VECTOR_LEN],
    [u64; VECTOR_LEN],
    SerializingHasher<Sponge>,
    CompressionFunctionFromHasher<Sponge, 2, 4>,
    ChaCha20Rng,
    2,
    4,
    SALT,
>;
type HidingPcs = HidingFriPcs<
    F,
    Radix2DitParallel<F>,
    HidingMmcs,
    ExtensionMmcs<F, EF, HidingMmcs>,
    ChaCha20Rng,
>;

fn hiding_pcs(profile: &Profile) -> HidingPcs {
    let rng = |seed| ChaCha20Rng::from_seed([seed; 32]);
    let sponge = Sponge::new(KeccakF {});
    let compress = || CompressionFunctionFromHasher::new(sponge);
    let mmcs = |seed| HidingMmcs::new(SerializingHasher::new(sponge), compress(), 0, rng(seed));
    let fri = FriParameters {
        log_blowup: profile.log_blowup,
        log_final_poly_len: profile.log_final_poly_len,
        max_log_arity: profile.max_log_arity,
        num_queries: profile.num_queries,
        batch_proof_of_work_bits: profile.batch_pow_bits,
        commit_proof_of_work_bits: profile.fold_pow_bits,
        query_proof_of_work_bits: profile.query_pow_bits,
        mmcs: ExtensionMmcs::new(mmcs(1)),
    };
    HidingFriPcs::new(Radix2DitParallel::default(), mmcs(2), fri, DEGREE, rng(3))
}

/// Shape of a matrix: logarithm of its height, base columns, and whether it is opened at ω·ζ too.
type Shape = (usize, usize, bool);

/// The matrices of the public commitment, and of M, P, L and Q.
struct Shapes {
    public: Vec<Shape>,
    rounds: [Vec<Shape>; 4],
}

impl Shapes {
    /// Of a layout whose tables are at least `2^min` rows tall.
    fn new(layout: &Layout, min: usize, quotient_chunks: usize) -> Self {
        let matrices = |width: &dyn Fn(&air::layout::Table) -> usize, next: bool| {
            let shapes = layout
                .tables
                .iter()
                .map(|t| (t.log_height.max(min), width(t), next));
            shapes.filter(|s| s.1 > 0).collect::<Vec<_>>()
        };
        let fixed = matrices(&|t| t.committed.fixed, false);
        let weight = matrices(&|t| t.widths.weight, false);
        Self {
            public: [fixed, weight].concat(),
            rounds: [
                matrices(&|t| t.committed.main, false),
                matrices(&|t| t.committed.projection * DEGREE, true),
                matrices(&|t| t.committed.lookup * DEGREE, true),
                matrices(&|_| quotient_chunks * DEGREE, false),
            ],
        }
    }

    /// Base cells of a proof.
    fn cells(&self) -> usize {
        let all = self.rounds.iter().flatten();
        all.map(|&(log_height, width, _)| width << log_height).sum()
    }
}

type Root = MerkleCap<F, [u64; 4]>;
type Domains = TwoAdicMultiplicativeCoset<F>;
type Matrices = Vec<(Domains, RowMajorMatrix<F>)>;

fn random<Scheme>(pcs: &Scheme, shapes: &[Shape], rng: &mut ChaCha20Rng) -> Matrices
where
    Scheme: UnivariateStarkPcs<EF, Challenger, Domain = Domains>,
{
    let matrix = |&(log_height, width, _): &Shape| {
        // 30 bits: below p, and uniform enough to time.
        let cells = (0..width << log_height).map(|_| F::new(rng.next_u32() >> 2));
        // The domain of what is committed: with a random row beside every other.
        let domain = pcs.natural_domain_for_degree(1 << (log_height + usize::from(Scheme::ZK)));
        (domain, RowMajorMatrix::new(cells.collect(), width))
    };
    shapes.iter().map(matrix).collect()
}

/// Commits to M, P, L and Q and opens them with the public commitment: the bytes of the opening.
fn commit_and_open<Scheme>(
    pcs: &Scheme,
    shapes: &Shapes,
    public: &Scheme::ProverData,
    rounds: [Matrices; 4],
) -> usize
where
    Scheme: UnivariateStarkPcs<EF, Challenger, Domain = Domains, Commitment = Root>,
{
    let mut challenger = P::challenger();
    let committed = rounds.map(|matrices| {
        let (commitment, data) = pcs.commit(matrices).expect("it commits");
        challenger.observe(commitment);
        data
    });
    let zeta: EF = challenger.sample_algebra_element();
    let points = |shapes: &[Shape]| {
        let points = shapes.iter().map(|&(log_height, _, next)| match next {
            true => vec![zeta, zeta * F::two_adic_generator(log_height)],
            false => vec![zeta],
        });
        points.collect::<Vec<_>>()
    };
    let request = |prover_data, shapes: &[Shape]| OpeningRequest {
        prover_data,
        points: points(shapes),
    };
    let mut requests = vec![request(public, &shapes.public)];
    requests.extend((committed.iter().zip(&shapes.rounds)).map(|(data, s)| request(data, s)));
    let public = Scheme::ZK.then_some(0);
    let opening = match public {
        Some(_) => pcs.open_with_preprocessing(requests, &mut challenger, public),
        None => pcs.open(requests, &mut challenger),
    };
    let config = bincode::config::standard().with_fixed_int_encoding();
    let (values, proof) = opening.expect("it opens");
    let bytes = bincode::serde::encode_to_vec((values, proof), config);
    bytes.expect("it can be written").len()
}

fn measure<Scheme>(criterion: &mut Criterion, name: &str, way: &str, pcs: &Scheme, shapes: &Shapes)
where
    Scheme: UnivariateStarkPcs<EF, Challenger, Domain = Domains, Commitment = Root>,
{
    let mut rng = ChaCha20Rng::from_seed([0; 32]);
    let public = random(pcs, &shapes.public, &mut rng);
    let (_, public) = pcs.commit_preprocessing(public).expect("it commits");
    let rounds = shapes.rounds.each_ref().map(|s| random(pcs, s, &mut rng));
    let bytes = commit_and_open(pcs, shapes, &public, rounds.clone());
    eprintln!("{name} ({way}): {} cells, {bytes} bytes", shapes.cells());
    let mut group = criterion.benchmark_group(format!("{name}/{way}"));
    group.sample_size(10);
    group.bench_function("commit and open", |b| {
        b.iter_batched(
            || rounds.clone(),
            |rounds| black_box(commit_and_open(pcs, shapes, &public, rounds)),
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn compare(criterion: &mut Criterion) {
    // No grinding, which takes a different time for every input.
    let profile = Profile::LATENCY;
    for name in [
        "logreg_cancer",
        "adult-income-mlp",
        "mlp2_mnist",
        "dense4m_mnist",
    ] {
        let layout = |privacy| {
            let case = case(name, &profile, privacy, 12)?;
            Some(case.prover.verifying_key().layout.clone())
        };
        let (Some(plain), Some(masked)) = (layout(Privacy::None), layout(Privacy::Data)) else {
            eprintln!("{name}: not found, skipped");
            continue;
        };
        let off = Shapes::new(&plain, 0, plain.tables[0].committed.quotient);
        measure(criterion, name, "nothing hidden", &P::pcs(&profile), &off);
        let mut masks = Shapes::new(&masked, 0, masked.tables[0].committed.quotient);
        // The mask of the batch.
        masks.rounds[1].push((masked.max_log_height(), DEGREE, false));
        measure(criterion, name, "mask rows", &P::pcs(&profile), &masks);
        // It asks for so many rows that they cover the queries and the points.
        let rows = 2 * (profile.num_queries + POINTS * DEGREE);
        let min = rows.next_power_of_two().ilog2() as usize;
        let hiding = Shapes::new(&plain, min, masked.tables[0].committed.quotient);
        measure(
            criterion,
            name,
            "hiding scheme",
            &hiding_pcs(&profile),
            &hiding,
        );
    }
}

criterion_group!(benches, compare);
criterion_main!(benches);
