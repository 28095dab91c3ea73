//! # The SHA-256 chip proves digests, and nothing else
//!
//! Completeness against an independent SHA-256, room for masks, and forgeries: cell by cell,
//! coherent ones, and one for every constraint that only this constraint refuses. A failure here
//! means a proof could name a digest that is not the tensor's.

use crate::hashing::{EF, F, Lab, Random, Said, Trace, cell, int, wide};
use air::bus::ClaimKind;
use air::chips::hashed::{HashError, HashedTensor};
use air::chips::sha256::columns::{fixed, main, position, projection};
use air::chips::sha256::{SALT_BYTES, Sha256Air, Width, blocks, digest, digest_value, hash_blocks};
use air::chips::{Air, Chip};
use air::graph::Range;
use p3_field::{Field, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use sha2::{Digest, Sha256};

const SALT: [u8; SALT_BYTES] = *b"thirty-two bytes nobody can know";
const U8: Range = Range::unsigned(8);
const I8: Range = Range::signed(8);
const U16: Range = Range::unsigned(16);
const I16: Range = Range::signed(16);

struct Case {
    lab: Lab,
    air: Sha256Air,
    values: Vec<i32>,
    salt: Option<[u8; SALT_BYTES]>,
}

impl Case {
    fn new(tensor: HashedTensor) -> Self {
        let air = Sha256Air::new(tensor).expect("the range has an encoding");
        let lab = Lab::new(Chip::Sha256(air), tensor, air.power_counts());
        let values = Random(7).values(tensor.len(), tensor.range);
        let salt = tensor.salted.then_some(SALT);
        Self {
            lab,
            air,
            values,
            salt,
        }
    }

    /// 3 × 9 signed bytes after a salt: one block, and a word that holds data and padding.
    fn small() -> Self {
        Self::new(HashedTensor {
            tensor: 5,
            kind: ClaimKind::Input,
            features: 9,
            positions: 3,
            range: I8,
            salted: false,
        })
    }

    /// Three blocks.
    fn long() -> Self {
        Self::new(HashedTensor {
            tensor: 2,
            kind: ClaimKind::Output,
            features: 75,
            positions: 2,
            range: U8,
            salted: true,
        })
    }

    fn project(&self, trace: &mut Trace) {
        let height = self.lab.height();
        trace.projection = self
            .air
            .generate_projection(&trace.main, &self.lab.challenges, height);
    }

    fn trace_of(&self, blocks: &[[u32; 16]]) -> Trace {
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

    fn digest(&self) -> [u8; 32] {
        digest(&self.values, self.air.tensor.range, self.salt.as_ref()).expect("values in range")
    }

    /// The message as anyone would write it to a file.
    fn message(&self) -> Vec<u8> {
        let mut bytes = self.salt.map_or(vec![], |s| s.to_vec());
        for &v in &self.values {
            match (self.air.width.bytes, self.air.width.signed) {
                (1, false) => bytes.push(u8::try_from(v).expect("in range")),
                (1, true) => bytes.extend(i8::try_from(v).expect("in range").to_le_bytes()),
                (_, false) => bytes.extend(u16::try_from(v).expect("in range").to_le_bytes()),
                (_, true) => bytes.extend(i16::try_from(v).expect("in range").to_le_bytes()),
            }
        }
        bytes
    }

    fn claims(&self, values: &[i64], digest: &[u8; 32]) -> Vec<Said> {
        let value = digest_value(digest, self.lab.sigma());
        self.lab.claims(values, value)
    }

    fn true_claims(&self) -> Vec<Said> {
        self.claims(&wide(&self.values), &self.digest())
    }
}

fn oracle(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

#[test]
fn matches_known_digests() {
    let hex = |d: [u8; 32]| d.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex(digest(&[], U8, None).expect("no values")), empty);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let values = b"abc".map(i32::from);
    assert_eq!(hex(digest(&values, I8, None).expect("in range")), abc);
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".map(i32::from);
    let expected = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
    assert_eq!(
        hex(digest(&two_blocks, U8, None).expect("in range")),
        expected
    );
}

#[test]
fn encodes_ranges_in_the_documented_order() {
    let width = |lo, hi| Width::of(Range { lo, hi }).map(|w| (w.bytes, w.signed));
    for (lo, hi, expected) in [
        (0, 255, Some((1, false))),
        (-128, 127, Some((1, true))),
        (0, 127, Some((1, false))),
        (-1, 127, Some((1, true))),
        (-1, 128, Some((2, true))),
        (0, 256, Some((2, false))),
        (0, 65_535, Some((2, false))),
        (-32_768, 32_767, Some((2, true))),
        (-1, 32_768, None),
        (0, 65_536, None),
        (-32_769, 0, None),
    ] {
        assert_eq!(width(lo, hi), expected, "[{lo}, {hi}]");
    }
    let range = Range { lo: -1, hi: 32_768 };
    assert_eq!(
        digest(&[0], range, None),
        Err(HashError::NoEncoding { range })
    );
    let narrow = Range { lo: -5, hi: 5 };
    assert_eq!(
        digest(&[0, 6], narrow, None),
        Err(HashError::Range { element: 1 })
    );
}

/// Lengths at which padding changes shape, both widths, signed and not, salted and not, inputs and
/// outputs, one and several positions.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, elements) in [0, 1, 3, 27, 28, 55, 56, 63, 64, 65, 100]
        .into_iter()
        .enumerate()
    {
        for (j, range) in [U8, I8, U16, I16].into_iter().enumerate() {
            let positions = [1, 2, 5, 4, 3, 7][(i + j) % 6];
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
                range,
                salted: (i + j / 2) % 2 == 0,
            }));
        }
    }
    for (range, kind, salted, positions) in [
        (U8, ClaimKind::Input, true, 1),
        (I16, ClaimKind::Input, false, 1),
        (I8, ClaimKind::Output, true, 28),
    ] {
        cases.push(Case::new(HashedTensor {
            tensor: 0,
            kind,
            features: 784 / positions,
            positions,
            range,
            salted,
        }));
    }
    cases
}

#[test]
fn accepts_digests_of_an_independent_implementation() {
    for case in cases() {
        let what = format!("{:?}", case.air);
        assert_eq!(case.digest(), oracle(&case.message()), "{what}");
        assert_eq!(
            case.digest(),
            hash_blocks(&blocks(&case.message())),
            "{what}"
        );
        let trace = case.honest();
        assert_eq!(case.lab.failures(&trace), [], "{what}");
        assert_eq!(case.lab.said(&trace), case.true_claims(), "{what}");
        let rows = 4 * (68 * (case.message().len() + 9).div_ceil(64) + 4);
        assert_eq!(case.lab.live(), rows);
    }
}

#[test]
fn matches_the_degree_declared() {
    for case in [Case::small(), Case::long()] {
        let seed = Random(3).ext();
        let degree = air::debug::degree::<EF>(&case.lab.table, &case.lab.challenges, seed);
        assert_eq!(degree, 3);
        assert!(degree <= air::chips::MAX_DEGREE);
    }
}

#[test]
fn accepts_masks_on_dead_rows_and_nowhere_else() {
    for case in [Case::small(), Case::long()] {
        let (trace, live) = (case.honest(), case.lab.live());
        assert!(live + 32 <= case.lab.height(), "room for both bands");
        assert_eq!(case.lab.violations_with_masks(&trace, live, 1), 0);
        assert!(case.lab.violations_with_masks(&trace, live - 1, 1) > 0);
        let width = case.lab.fixed.width();
        let dead = &case.lab.fixed.values[live * width..];
        assert!(dead.iter().all(|c| *c == F::ZERO));
    }
}

/// Rows of every kind: chaining value, message, tail, constant padding, schedule, end, digest.
fn rows_of_interest(case: &Case) -> Vec<usize> {
    let groups = case.lab.live() / position::COUNT;
    let mut chosen = vec![0, 1, 3, 4, 9, 10, 11, 19, 20, 40, 66, 67];
    chosen.extend(groups - 4..groups);
    chosen.iter().flat_map(|g| 4 * g..4 * g + 4).collect()
}

#[test]
fn rejects_every_changed_main_cell() {
    let case = Case::small();
    let honest = case.honest();
    let claims = case.true_claims();
    assert!(case.lab.accepts(&honest, &claims));
    let changes = [F::ONE, -F::ONE, F::TWO, int(1 << 16)];
    for r in rows_of_interest(&case) {
        for c in 0..main::WIDTH {
            let change = changes[(r + c) % changes.len()];
            let mut trace = honest.clone();
            *cell(&mut trace, r, c) += change;
            // With the old projections the row itself refuses.
            assert!(
                !case.lab.failures_at(&trace, r).is_empty(),
                "row {r} column {c}"
            );
        }
        for c in 0..main::WIDTH {
            let mut trace = honest.clone();
            *cell(&mut trace, r, c) += changes[(r + c) % changes.len()];
            // With new ones: the row, the last row, or a claim.
            case.project(&mut trace);
            let refused = !case.lab.failures_at(&trace, r).is_empty()
                || !case.lab.failures_at(&trace, case.lab.live() - 1).is_empty()
                || case.lab.said(&trace) != claims;
            assert!(refused, "row {r} column {c}");
        }
    }
}

#[test]
fn rejects_every_flipped_bit() {
    // The most a cell can lie without breaking its own constraint.
    let case = Case::small();
    let (honest, claims) = (case.honest(), case.true_claims());
    for r in rows_of_interest(&case) {
        for c in (main::X..main::Y + 32).chain(main::CARRY_LO..main::ELEMENT) {
            let mut trace = honest.clone();
            let bit = cell(&mut trace, r, c);
            *bit = F::ONE - *bit;
            case.project(&mut trace);
            assert!(!case.lab.accepts(&trace, &claims), "row {r} column {c}");
        }
    }
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
    for case in [Case::small(), Case::long()] {
        let (trace, values) = (case.honest(), wide(&case.values));
        for byte in 0..32 {
            let mut wrong = case.digest();
            wrong[byte] ^= 1;
            assert!(
                !case.lab.accepts(&trace, &case.claims(&values, &wrong)),
                "byte {byte}"
            );
        }
    }
}

#[test]
fn rejects_a_digest_of_other_elements() {
    for case in [Case::small(), Case::long()] {
        for i in [0, 1, case.values.len() / 2, case.values.len() - 1] {
            // The table hashes one tensor, the rest of the proof is about another.
            let mut other = wide(&case.values);
            other[i] += if other[i] > 0 { -1 } else { 1 };
            let trace = case.honest();
            assert_eq!(case.lab.failures(&trace), []);
            assert!(
                !case
                    .lab
                    .accepts(&trace, &case.claims(&other, &case.digest())),
                "{i}"
            );
        }
        // Two elements exchanged.
        let mut other = wide(&case.values);
        other.swap(0, 1);
        assert!(other[0] != other[1]);
        let claims = case.claims(&other, &case.digest());
        assert!(!case.lab.accepts(&case.honest(), &claims));
    }
}

#[test]
fn rejects_aliases_of_an_element() {
    // v and v ± 256 have the same byte; so have −1 and 255 without a sign convention.
    for range in [U8, I8, U16, I16] {
        let case = Case::new(HashedTensor {
            range,
            ..Case::small().air.tensor
        });
        let (trace, digest) = (case.honest(), case.digest());
        assert!(case.lab.accepts(&trace, &case.true_claims()));
        let period = 1i64 << (8 * case.air.width.bytes);
        for i in 0..case.values.len() {
            for alias in [period, -period] {
                let mut other = wide(&case.values);
                other[i] += alias;
                assert!(!case.lab.accepts(&trace, &case.claims(&other, &digest)));
            }
        }
    }
}

#[test]
fn rejects_salt_that_is_no_bytes() {
    let case = Case::long();
    let claims = case.true_claims();
    // Word 0 of the message is salt. Its bits 1 and 0 are rewritten to the same number.
    let row = 4 * position::COUNT + position::W;
    let mut trace = case.honest();
    *cell(&mut trace, row, main::X) += F::TWO;
    *cell(&mut trace, row, main::X + 1) -= F::ONE;
    case.project(&mut trace);
    assert!(case.lab.failures(&trace).contains(&(row, main::X)));
    assert!(!case.lab.accepts(&trace, &claims));
    // Other salts are other digests of the same tensor.
    let mut salt = SALT;
    salt[31] ^= 0x80;
    let other = Case {
        salt: Some(salt),
        ..Case::long()
    };
    assert!(!case.lab.accepts(&other.honest(), &claims));
    assert!(case.lab.accepts(&other.honest(), &other.true_claims()));
}

#[test]
fn rejects_changed_padding() {
    // Every word of padding, and the bits of padding in the last word of data; the digest claimed
    // is that of the changed blocks.
    for case in [Case::small(), Case::long()] {
        let honest = blocks(&case.message());
        let data_bits = 8 * case.message().len();
        assert_ne!(data_bits % 32, 0, "a word of both kinds");
        let last = honest.len() - 1;
        for bit in data_bits % 512..512 {
            let mut forged = honest.clone();
            forged[last][bit / 32] ^= 1 << (31 - bit % 32);
            let claims = case.claims(&wide(&case.values), &hash_blocks(&forged));
            let trace = case.trace_of(&forged);
            assert_eq!(
                case.lab.said(&trace),
                claims,
                "the claims alone do not tell"
            );
            assert!(!case.lab.failures(&trace).is_empty(), "bit {bit}");
        }
    }
}

#[test]
fn rejects_blocks_out_of_order() {
    let case = Case::long();
    let mut forged = blocks(&case.message());
    forged.swap(0, 1);
    let trace = case.trace_of(&forged);
    // A tensor may well have this digest, but it is not this tensor.
    assert_eq!(case.lab.failures(&trace), []);
    let claims = case.claims(&wide(&case.values), &hash_blocks(&forged));
    assert!(!case.lab.accepts(&trace, &claims));
    // The last block's place is fixed by its padding.
    forged.swap(0, 2);
    assert!(!case.lab.failures(&case.trace_of(&forged)).is_empty());
}

/// The honest trace down to `row`, from there on that of another message with the same elements in
/// its last block: the rows are locally right, the state between them is not.
fn splice(case: &Case, row: usize) -> (Trace, [u8; 32]) {
    let honest = blocks(&case.message());
    let mut other = honest.clone();
    other[0][0] ^= 1;
    assert_eq!(honest[2], other[2]);
    let mut trace = case.trace_of(&honest);
    let tail = case.trace_of(&other);
    let width = trace.main.width();
    trace.main.values[row * width..].copy_from_slice(&tail.main.values[row * width..]);
    case.project(&mut trace);
    (trace, hash_blocks(&other))
}

#[test]
fn rejects_a_broken_chain() {
    let case = Case::long();
    let groups = case.lab.live() / 4;
    for group in [
        100,
        2 * 68,
        2 * 68 + 1,
        2 * 68 + 4,
        2 * 68 + 40,
        groups - 4,
        groups - 1,
    ] {
        for row in 4 * group..4 * group + 4 {
            let (trace, digest) = splice(&case, row);
            assert!(!case.lab.failures(&trace).is_empty(), "row {row}");
            let claims = case.claims(&wide(&case.values), &digest);
            assert!(!case.lab.accepts(&trace, &claims));
        }
    }
}

#[test]
fn rejects_a_dropped_or_doubled_element() {
    let case = Case::small();
    let honest = case.honest();
    let taken = 68 * 4;
    for i in [0, 1, 13, 26] {
        for factor in [-1i64, 1] {
            // The fold says the tensor has 0, or twice the value, at i.
            let mut other = wide(&case.values);
            other[i] += factor * other[i];
            assert_ne!(other[i], i64::from(case.values[i]));
            let claims = case.claims(&other, &case.digest());
            let mut trace = honest.clone();
            let jump = claims[0].1[2];
            trace.projection[taken * projection::WIDTH + projection::FOLD] = jump;
            assert_eq!(case.lab.said(&trace), claims);
            assert_eq!(case.lab.failing(&trace), [index_of(&case, "fold")]);
            // Nor may the element's cell say so.
            let row = 4 * (4 + i / 4) + i % 4;
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
    let (small, long) = (Case::small(), Case::long());
    let name = small.lab.table.chip.constraint_names()[index];
    // Rows of the digest's last group, whose cells nothing below reads.
    let last_group = small.lab.live() - position::COUNT;
    let (idle_w, idle_m) = (last_group + position::W, last_group + position::M);
    let mut trace = small.honest();
    let mut claims = small.true_claims();
    match name {
        "x_bool" => {
            // y + 2x stays what it is: the other parity and a majority of one half more or less.
            let bit = index;
            let y = *cell(&mut trace, idle_m, main::Y + bit);
            *cell(&mut trace, idle_m, main::Y + bit) = F::ONE - y;
            *cell(&mut trace, idle_m, main::X + bit) += (y.double() - F::ONE).halve();
        }
        "y_pin" => *cell(&mut trace, idle_w, main::Y + index - 32) += F::ONE,
        "z_pin" => *cell(&mut trace, idle_w, main::Z + index - 64) += F::ONE,
        "carry" => *cell(&mut trace, idle_m, main::CARRY_LO + index - 96) += F::TWO,
        "tail" => {
            let mut forged = blocks(&small.message());
            forged[0][6] ^= 1;
            trace = small.trace_of(&forged);
            claims = small.claims(&wide(&small.values), &hash_blocks(&forged));
        }
        "link_start" | "link" => {
            let (mut trace, digest) = splice(&long, 2 * 68 * 4);
            let claims = long.claims(&wide(&long.values), &digest);
            let last = long.lab.live() - 1;
            let link = index_of(&long, "link");
            // What the last row must start from so that nothing is left.
            let at = last * projection::WIDTH + projection::LINK;
            let left = long.lab.eval(&trace, last).0[link].1;
            let target = trace.projection[at] + left * long.lab.challenges.rho().inverse();
            if name == "link" {
                trace.projection[at] = target;
            } else {
                long.lab
                    .run_back(&mut trace, projection::LINK, link, last, target);
            }
            return (long, trace, claims);
        }
        "fold_start" | "fold" => {
            let mut other = wide(&small.values);
            other[3] += 1;
            claims = small.claims(&other, &small.digest());
            let (taken, target) = (68 * 4, claims[0].1[2]);
            let fold = index_of(&small, "fold");
            if name == "fold" {
                trace.projection[taken * projection::WIDTH + projection::FOLD] = target;
            } else {
                small
                    .lab
                    .run_back(&mut trace, projection::FOLD, fold, taken, target);
            }
            return (small, trace, claims);
        }
        _ => panic!("no forgery for constraint {name}"),
    }
    small.project(&mut trace);
    (small, trace, claims)
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
fn rejects_carries_that_are_no_bits() {
    // c = b0 + 2·b1 + 4·b2 keeps its value while its bits lose theirs.
    let case = Case::long();
    let honest = case.honest();
    let half = F::ONE.halve();
    for first in [main::CARRY_LO, main::CARRY_HI] {
        let row = (0..case.lab.live()).find(|&r| {
            let m = honest.main.row_slice(r).expect("in range");
            (m[first], m[first + 1], m[first + 2]) == (F::ZERO, F::ZERO, F::ONE)
        });
        let row = row.expect("some sum carries four");
        let [four, two] = [F::from_u8(4), F::TWO];
        for changes in [
            [four, F::ZERO, -F::ONE],
            [F::ZERO, two, -F::ONE],
            [two, F::ZERO, -half],
        ] {
            let mut trace = honest.clone();
            for (i, change) in changes.into_iter().enumerate() {
                *cell(&mut trace, row, first + i) += change;
            }
            case.project(&mut trace);
            let failing = case.lab.failing(&trace);
            assert!(!failing.is_empty());
            assert!(
                failing
                    .iter()
                    .all(|&i| case.lab.table.chip.constraint_names()[i] == "carry")
            );
        }
    }
}

#[test]
fn every_flag_of_an_addition_is_needed() {
    // A key with one flag cleared somewhere describes another function than SHA-256.
    let mut case = Case::long();
    let trace = case.honest();
    let columns: Vec<usize> = (fixed::W_SECOND..=fixed::CHAIN).collect();
    let width = case.lab.fixed.width();
    for column in columns {
        let set = (0..case.lab.live())
            .filter(|r| case.lab.fixed.values[r * width + column] == F::ONE)
            .collect::<Vec<_>>();
        let row = set[set.len() / 2];
        case.lab.fixed.values[row * width + column] = F::ZERO;
        assert!(!case.lab.failures(&trace).is_empty(), "column {column}");
        case.lab.fixed.values[row * width + column] = F::ONE;
    }
    assert!(case.lab.failures(&trace).is_empty());
}
