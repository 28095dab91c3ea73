//! # The Poseidon2 chip proves digests, and nothing else
//!
//! Completeness against the permutation of `p3-baby-bear`, room for masks, and forgeries: cell by
//! cell, coherent ones, and one for every constraint that only this constraint refuses. A failure
//! here means a proof could name a digest that is not the tensor's.

use crate::hashing::{EF, F, Lab, Random, Said, Trace, cell, int, wide};
use air::bus::ClaimKind;
use air::chips::hashed::{HashError, HashedTensor};
use air::chips::poseidon2::columns::{fixed, main, position, projection};
use air::chips::poseidon2::{
    Poseidon2Air, RATE, WIDTH, blocks, digest, digest_value, hash_blocks, initial_state, permute,
};
use air::chips::{Air, Chip};
use air::graph::Range;
use p3_baby_bear::default_babybear_poseidon2_16;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_symmetric::Permutation;

type Block = [F; RATE];

fn salt() -> Block {
    let mut random = Random(31);
    core::array::from_fn(|_| random.base())
}

struct Case {
    lab: Lab,
    air: Poseidon2Air,
    values: Vec<i32>,
    salt: Option<Block>,
}

impl Case {
    fn new(tensor: HashedTensor) -> Self {
        let air = Poseidon2Air { tensor };
        let lab = Lab::new(Chip::Poseidon2(air), tensor, air.power_counts());
        Self {
            lab,
            air,
            values: Random(7).values(tensor.len(), tensor.range),
            salt: tensor.salted.then(salt),
        }
    }

    /// Salt, then 27 elements: five permutations, the last block with padding.
    fn small() -> Self {
        Self::new(HashedTensor {
            tensor: 5,
            kind: ClaimKind::Input,
            features: 9,
            positions: 3,
            range: Range::signed(8),
            salted: true,
        })
    }

    /// An output without salt.
    fn output() -> Self {
        Self::new(HashedTensor {
            tensor: 2,
            kind: ClaimKind::Output,
            features: 10,
            positions: 2,
            range: Range::signed(16),
            salted: false,
        })
    }

    fn project(&self, trace: &mut Trace) {
        let height = self.lab.height();
        trace.projection = self
            .air
            .generate_projection(&trace.main, &self.lab.challenges, height);
    }

    fn trace_of(&self, blocks: &[Block]) -> Trace {
        let mut trace = Trace {
            main: self.air.generate_main_of(blocks, self.lab.height()),
            projection: vec![],
        };
        self.project(&mut trace);
        trace
    }

    fn honest(&self) -> Trace {
        let mut trace = Trace {
            main: self
                .air
                .generate_main(&self.values, self.salt.as_ref(), self.lab.height()),
            projection: vec![],
        };
        self.project(&mut trace);
        trace
    }

    fn blocks(&self) -> Vec<Block> {
        blocks(&self.values, self.salt.as_ref())
    }

    /// The digest of any blocks, from this tensor's initial state.
    fn digest_of(&self, blocks: &[Block]) -> Block {
        hash_blocks(
            initial_state(self.values.len(), self.salt.is_some()),
            blocks,
        )
    }

    fn digest(&self) -> Block {
        digest(&self.values, self.air.tensor.range, self.salt.as_ref()).expect("values in range")
    }

    fn claims(&self, values: &[i64], digest: &Block) -> Vec<Said> {
        self.lab
            .claims(values, digest_value(digest, self.lab.sigma()))
    }

    fn true_claims(&self) -> Vec<Said> {
        self.claims(&wide(&self.values), &self.digest())
    }

    /// The row on which the tensor's claim is received.
    fn taken_row(&self) -> usize {
        self.air.num_blocks() * position::COUNT + 1
    }
}

/// The sponge as documented, written out over `p3-baby-bear`'s permutation.
fn oracle(values: &[i32], salt: Option<Block>) -> Block {
    let permutation = default_babybear_poseidon2_16();
    let mut state = [F::ZERO; WIDTH];
    state[8] = F::from_u32(0x7072_766e);
    state[9] = F::from_usize(values.len());
    state[10] = F::from_bool(salt.is_some());
    let mut stream: Vec<F> = salt.map_or(vec![], |s| s.to_vec());
    stream.extend(values.iter().map(|&v| int(i64::from(v))));
    while stream.is_empty() || !stream.len().is_multiple_of(8) {
        stream.push(F::ZERO);
    }
    for block in stream.chunks(8) {
        for i in 0..8 {
            state[i] += block[i];
        }
        permutation.permute_mut(&mut state);
    }
    core::array::from_fn(|i| state[i])
}

#[test]
fn matches_the_permutation_of_another_library() {
    let permutation = default_babybear_poseidon2_16();
    let mut random = Random(17);
    let mut states = vec![[F::ZERO; WIDTH], [F::ONE; WIDTH], [-F::ONE; WIDTH]];
    states.extend((0..50).map(|_| core::array::from_fn(|_| random.base())));
    for state in states {
        assert_eq!(permute(state), permutation.permute(state));
    }
}

#[test]
fn rejects_values_outside_the_range() {
    let narrow = Range { lo: -5, hi: 5 };
    let result = digest::<F>(&[0, -6], narrow, None);
    assert_eq!(result, Err(HashError::Range { element: 1 }));
}

#[test]
fn digests_tell_shapes_and_salts_apart() {
    let range = Range::signed(8);
    let of = |values: &[i32], salt: Option<&Block>| digest(values, range, salt).expect("in range");
    let zeros = [F::ZERO; RATE];
    let all = [
        of(&[], None),
        of(&[0], None),
        of(&[0; 7], None),
        of(&[0; 8], None),
        of(&[0; 9], None),
        of(&[], Some(&zeros)),
        of(&[0; 8], Some(&zeros)),
        of(&[1, 0], None),
        of(&[0, 1], None),
        of(&[-1, 0], None),
    ];
    for (i, a) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|b| a != b), "{i}");
    }
}

/// Lengths around a block, inputs and outputs, one and several positions, salted and not.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let ranges = [
        Range::unsigned(8),
        Range::signed(8),
        Range::unsigned(16),
        Range::signed(16),
    ];
    let lengths = [0, 1, 7, 8, 9, 15, 16, 17, 55, 56, 63, 64, 65, 784, 1568];
    for (i, elements) in lengths.into_iter().enumerate() {
        for j in 0..4 {
            let positions = [1, 2, 5, 4, 8, 7][(i + j) % 6];
            let (features, positions) = if elements % positions == 0 {
                (elements / positions, positions)
            } else {
                (elements, 1)
            };
            cases.push(Case::new(HashedTensor {
                tensor: i,
                kind: [ClaimKind::Input, ClaimKind::Output][(i + j) % 2],
                features,
                positions,
                range: ranges[j],
                salted: (i + j / 2) % 2 == 0,
            }));
        }
    }
    cases
}

#[test]
fn accepts_digests_of_an_independent_implementation() {
    for case in cases() {
        let what = format!("{:?}", case.air);
        assert_eq!(case.digest(), oracle(&case.values, case.salt), "{what}");
        let trace = case.honest();
        assert_eq!(case.lab.failures(&trace), [], "{what}");
        assert_eq!(case.lab.said(&trace), case.true_claims(), "{what}");
        assert_eq!(case.lab.live(), 9 * (case.blocks().len() + 1) + 1);
    }
}

#[test]
fn matches_the_degree_declared() {
    for case in [Case::small(), Case::output()] {
        let seed = Random(3).ext();
        let degree = air::debug::degree::<EF>(&case.lab.table, &case.lab.challenges, seed);
        assert_eq!(degree, 3);
        assert!(degree <= air::chips::MAX_DEGREE);
    }
}

#[test]
fn accepts_masks_on_dead_rows_and_nowhere_else() {
    for case in [Case::small(), Case::output()] {
        let (trace, live) = (case.honest(), case.lab.live());
        assert!(live + 32 <= case.lab.height(), "room for both bands");
        assert_eq!(case.lab.violations_with_masks(&trace, live, 1), 0);
        assert!(case.lab.violations_with_masks(&trace, live - 1, 1) > 0);
        let width = case.lab.fixed.width();
        let dead = &case.lab.fixed.values[live * width..];
        assert!(dead.iter().all(|c| *c == F::ZERO));
    }
}

#[test]
fn rejects_every_changed_main_cell() {
    for case in [Case::small(), Case::output()] {
        let (honest, claims) = (case.honest(), case.true_claims());
        assert!(case.lab.accepts(&honest, &claims));
        let changes = [F::ONE, -F::ONE, F::TWO, int(256)];
        for r in 0..case.lab.live() {
            for c in 0..main::WIDTH {
                let mut trace = honest.clone();
                *cell(&mut trace, r, c) += changes[(r + c) % changes.len()];
                // With the old projections the row itself refuses.
                assert!(
                    !case.lab.failures_at(&trace, r).is_empty(),
                    "row {r} column {c}"
                );
                // With new ones: the row, the last row, or a claim.
                case.project(&mut trace);
                let refused = !case.lab.failures_at(&trace, r).is_empty()
                    || !case.lab.failures_at(&trace, case.lab.live() - 1).is_empty()
                    || case.lab.said(&trace) != claims;
                assert!(refused, "row {r} column {c}");
            }
        }
    }
}

#[test]
fn rejects_every_other_sbox_input() {
    // An input changed with all its powers, so that the row is right by itself.
    let case = Case::small();
    let (honest, claims) = (case.honest(), case.true_claims());
    for r in 0..case.lab.live() {
        for i in 0..WIDTH {
            let mut trace = honest.clone();
            set_input(&mut trace, r, i, |x| x + F::ONE);
            assert_eq!(
                case.lab.failing(&trace).first(),
                Some(&index_of(&case, "link"))
            );
            case.project(&mut trace);
            assert!(!case.lab.accepts(&trace, &claims), "row {r} lane {i}");
        }
    }
}

fn set_input(trace: &mut Trace, row: usize, lane: usize, change: impl Fn(F) -> F) {
    let x = change(*cell(trace, row, main::X + lane));
    *cell(trace, row, main::X + lane) = x;
    *cell(trace, row, main::SQUARE + lane) = x.square();
    *cell(trace, row, main::CUBE + lane) = x.cube();
    *cell(trace, row, main::SIXTH + lane) = x.cube().square();
}

#[test]
fn rejects_every_changed_projection_cell() {
    let case = Case::small();
    let honest = case.honest();
    let mut random = Random(5);
    for r in 0..case.lab.live() {
        for c in 0..projection::WIDTH {
            let mut trace = honest.clone();
            trace.projection[r * projection::WIDTH + c] += random.ext();
            let refused = !case.lab.failures_at(&trace, r).is_empty()
                || r > 0 && !case.lab.failures_at(&trace, r - 1).is_empty();
            assert!(refused, "row {r} column {c}");
        }
    }
    // Dead rows are nobody's business.
    let mut trace = honest;
    for r in case.lab.live()..case.lab.height() {
        for c in 0..main::WIDTH {
            *cell(&mut trace, r, c) = random.base();
        }
    }
    assert!(case.lab.accepts(&trace, &case.true_claims()));
}

#[test]
fn rejects_a_digest_that_is_not_the_tensors() {
    for case in [Case::small(), Case::output()] {
        let (trace, values) = (case.honest(), wide(&case.values));
        for i in 0..RATE {
            let mut wrong = case.digest();
            wrong[i] += F::ONE;
            assert!(
                !case.lab.accepts(&trace, &case.claims(&values, &wrong)),
                "{i}"
            );
        }
        let mut swapped = case.digest();
        swapped.swap(0, 7);
        assert!(!case.lab.accepts(&trace, &case.claims(&values, &swapped)));
    }
}

#[test]
fn rejects_a_digest_of_other_elements() {
    for case in [Case::small(), Case::output()] {
        let trace = case.honest();
        assert_eq!(case.lab.failures(&trace), []);
        for i in 0..case.values.len() {
            for change in [1, -1, 256, -65_536] {
                let mut other = wide(&case.values);
                other[i] += change;
                let claims = case.claims(&other, &case.digest());
                assert!(!case.lab.accepts(&trace, &claims), "{i} {change}");
            }
        }
        let mut other = wide(&case.values);
        other.swap(0, 1);
        assert!(other[0] != other[1]);
        let claims = case.claims(&other, &case.digest());
        assert!(!case.lab.accepts(&trace, &claims));
    }
}

#[test]
fn rejects_another_salt() {
    let case = Case::small();
    for i in 0..RATE {
        let mut salt = salt();
        salt[i] += F::ONE;
        let other = Case {
            salt: Some(salt),
            ..Case::small()
        };
        let trace = other.honest();
        assert!(!case.lab.accepts(&trace, &case.true_claims()));
        assert!(other.lab.accepts(&trace, &other.true_claims()));
    }
    // Nor can a salt pass as elements: it is not in the fold.
    let unsalted = Case::output();
    let mut forged = unsalted.blocks();
    forged[0] = self::salt();
    let trace = unsalted.trace_of(&forged);
    assert_eq!(unsalted.lab.failures(&trace), []);
    let claims = unsalted.claims(&wide(&unsalted.values), &unsalted.digest_of(&forged));
    assert!(!unsalted.lab.accepts(&trace, &claims));
}

#[test]
fn rejects_changed_padding() {
    for case in [Case::small(), Case::output()] {
        let honest = case.blocks();
        let used = case.values.len() % RATE;
        assert_ne!(used, 0, "the last block has padding");
        for lane in used..RATE {
            let mut forged = honest.clone();
            forged.last_mut().expect("a block")[lane] = -F::ONE;
            let claims = case.claims(&wide(&case.values), &case.digest_of(&forged));
            let trace = case.trace_of(&forged);
            assert_eq!(
                case.lab.said(&trace),
                claims,
                "the claims alone do not tell"
            );
            assert_eq!(case.lab.failing(&trace), [index_of(&case, "element")]);
        }
    }
}

#[test]
fn rejects_another_initial_state() {
    // 28 elements whose last is 0 are the blocks of 27; the number of elements tells them apart.
    let case = Case::small();
    let longer = Case::new(HashedTensor {
        features: 28,
        positions: 1,
        ..case.air.tensor
    });
    assert_eq!(case.lab.live(), longer.lab.live());
    let mut trace = longer.trace_of(&case.blocks());
    case.project(&mut trace);
    assert_eq!(case.lab.failing(&trace), [index_of(&case, "link")]);
    let claims = case.claims(&wide(&case.values), &longer.digest_of(&case.blocks()));
    assert_eq!(
        case.lab.said(&trace),
        claims,
        "the claims alone do not tell"
    );
}

#[test]
fn rejects_blocks_out_of_order() {
    let case = Case::small();
    let mut forged = case.blocks();
    forged.swap(1, 2);
    let trace = case.trace_of(&forged);
    // A tensor may well have this digest, but it is not this tensor.
    assert_eq!(case.lab.failures(&trace), []);
    let claims = case.claims(&wide(&case.values), &case.digest_of(&forged));
    assert!(!case.lab.accepts(&trace, &claims));
}

/// The honest trace down to `row`, from there on that of another salt: the rows are locally right,
/// the state between them is not.
fn splice(case: &Case, row: usize) -> (Trace, Block) {
    let honest = case.blocks();
    let mut other = honest.clone();
    other[0][0] += F::ONE;
    let mut trace = case.trace_of(&honest);
    let tail = case.trace_of(&other);
    let width = trace.main.width();
    trace.main.values[row * width..].copy_from_slice(&tail.main.values[row * width..]);
    case.project(&mut trace);
    (trace, case.digest_of(&other))
}

#[test]
fn rejects_a_broken_chain() {
    let case = Case::small();
    // Every place between two rows, from the permutation of the salt on.
    for row in position::COUNT + 1..case.lab.live() - 1 {
        let (trace, digest) = splice(&case, row);
        assert!(!case.lab.failures(&trace).is_empty(), "row {row}");
        let claims = case.claims(&wide(&case.values), &digest);
        assert!(!case.lab.accepts(&trace, &claims), "row {row}");
    }
}

#[test]
fn rejects_a_dropped_or_doubled_element() {
    let case = Case::small();
    let honest = case.honest();
    for i in [0, 1, 13, 26] {
        for factor in [-1i64, 1] {
            // The fold says the tensor has 0, or twice the value, at i.
            let mut other = wide(&case.values);
            other[i] += factor * other[i];
            assert_ne!(other[i], i64::from(case.values[i]));
            let claims = case.claims(&other, &case.digest());
            let mut trace = honest.clone();
            trace.projection[case.taken_row() * projection::WIDTH + projection::FOLD] =
                claims[0].1[2];
            assert_eq!(case.lab.said(&trace), claims);
            assert_eq!(case.lab.failing(&trace), [index_of(&case, "fold")]);
            // Nor may the element's cell say so.
            let slot = RATE + i;
            let row = slot / RATE * position::COUNT + slot % RATE;
            let mut trace = honest.clone();
            *cell(&mut trace, row, main::ELEMENT) += int(factor * i64::from(case.values[i]));
            case.project(&mut trace);
            assert_eq!(case.lab.said(&trace), claims);
            assert_eq!(case.lab.failing(&trace), [index_of(&case, "link")]);
        }
    }
}

fn index_of(case: &Case, name: &str) -> usize {
    let names = case.lab.table.chip.constraint_names();
    names.iter().position(|n| *n == name).expect("a constraint")
}

/// A false witness, and false claims, that only constraint `index` stands against.
fn forge(index: usize) -> (Case, Trace, Vec<Said>) {
    let case = Case::small();
    let names = case.lab.table.chip.constraint_names();
    let (name, lane) = (names[index], index % WIDTH);
    let last = case.lab.live() - 1;
    let mut trace = case.honest();
    let mut claims = case.true_claims();
    // Nothing reads the S-boxes of the last row, and their inputs are 0.
    match name {
        "square" => *cell(&mut trace, last, main::SQUARE + lane) = F::TWO,
        "cube" => {
            *cell(&mut trace, last, main::CUBE + lane) = F::TWO;
            *cell(&mut trace, last, main::SIXTH + lane) = F::from_u8(4);
        }
        "sixth" => *cell(&mut trace, last, main::SIXTH + lane) = F::TWO,
        "element" => {
            let mut forged = case.blocks();
            forged.last_mut().expect("a block")[RATE - 1] = F::ONE;
            trace = case.trace_of(&forged);
            claims = case.claims(&wide(&case.values), &case.digest_of(&forged));
        }
        "link_start" | "link" => {
            let digest;
            (trace, digest) = splice(&case, 3 * position::COUNT);
            claims = case.claims(&wide(&case.values), &digest);
            let link = index_of(&case, "link");
            // What the last row must start from so that nothing is left.
            let at = last * projection::WIDTH + projection::LINK;
            let left = case.lab.eval(&trace, last).0[link].1;
            let target = trace.projection[at] + left * case.lab.challenges.rho().inverse();
            trace.projection[at] = target;
            if name == "link_start" {
                case.lab
                    .run_back(&mut trace, projection::LINK, link, last, target);
            }
        }
        "fold_start" | "fold" => {
            let mut other = wide(&case.values);
            other[3] += 1;
            claims = case.claims(&other, &case.digest());
            let (taken, target) = (case.taken_row(), claims[0].1[2]);
            trace.projection[taken * projection::WIDTH + projection::FOLD] = target;
            if name == "fold_start" {
                let fold = index_of(&case, "fold");
                case.lab
                    .run_back(&mut trace, projection::FOLD, fold, taken, target);
            }
        }
        _ => panic!("no forgery for constraint {name}"),
    }
    (case, trace, claims)
}

#[test]
fn rejects_for_exactly_one_reason_and_only_while_it_is_there() {
    for index in 0..Case::small().lab.table.widths.constraints {
        let (case, trace, claims) = forge(index);
        assert_eq!(case.lab.failing(&trace), [index], "constraint {index}");
        // Without the constraint nothing is left to object to.
        assert_eq!(case.lab.said(&trace), claims, "constraint {index}");
    }
}

#[test]
fn every_flag_is_needed() {
    let mut case = Case::small();
    let (trace, claims) = (case.honest(), case.true_claims());
    let width = case.lab.fixed.width();
    for column in fixed::POSITION..fixed::WIDTH {
        let set = (0..case.lab.live())
            .filter(|r| case.lab.fixed.values[r * width + column] == F::ONE)
            .collect::<Vec<_>>();
        let row = set[set.len() / 2];
        case.lab.fixed.values[row * width + column] = F::ZERO;
        assert!(!case.lab.accepts(&trace, &claims), "column {column}");
        case.lab.fixed.values[row * width + column] = F::ONE;
    }
    assert!(case.lab.accepts(&trace, &claims));
}
