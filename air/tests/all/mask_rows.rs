//! # Masks, chip by chip
//!
//! What `docs/zero-knowledge.md` asks of a chip, checked on every chip there is: the rows of both
//! mask bands may hold what masks put there, and no live row notices. If this failed, either honest
//! zero-knowledge proofs would not verify, or a chip would tie a mask to a witness.
//!
//! The live rows hold junk: what is checked are the mask rows and their influence, and no trace
//! generator is needed for that. A chip that is added to the registry must be added to `samples`.

use crate::common::{EF, F, MODULUS, gated, identity, line, two_layers};
use air::builder::{Challenges, ConstraintFolder, Drawn, Over, Row, engine};
use air::bus::ClaimKind;
use air::chips::compare::{CompareAir, Rule};
use air::chips::hashed::HashedTensor;
use air::chips::poseidon2::Poseidon2Air;
use air::chips::sha256::Sha256Air;
use air::chips::weights::linear_form;
use air::chips::{Air, Chip};
use air::graph::{Model, Range};
use air::hiding::{Hiding, LEAF_COLUMNS, MaskBands};
use air::layout::{Layout, Table};
use air::logup::LookupRow;
use air::statement::{Disclosed, Hash, Statement, TensorDigest};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

const DEGREE: usize = 5;
const HIDING: Hiding = Hiding {
    queries: 11,
    degree: DEGREE,
    weight_openings: 0,
};
const PRIVATE_WEIGHTS: Hiding = Hiding {
    weight_openings: 4,
    ..HIDING
};

/// A small generator (splitmix64); the tests need variety, not secrecy.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn base(&mut self) -> F {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        F::from_u64((z ^ (z >> 27)) % MODULUS)
    }

    fn ext(&mut self) -> EF {
        EF::from_basis_coefficients_fn(|_| self.base())
    }
}

/// Dense layers, a convolution with an overhang, and a gate.
fn models() -> [Model; 3] {
    let requant = identity(4, 8, Range::signed(7));
    [two_layers(), line(Range::signed(6), requant), gated()]
}

/// At least one table for every chip.
fn samples(hiding: Hiding) -> Vec<Table> {
    let models = models();
    let layouts = models.iter().map(|model| {
        let layout = Layout::new(&model.graph, Some(hiding), MODULUS);
        layout.expect("it has a layout").tables
    });
    let mut tables: Vec<Table> = layouts.flatten().collect();
    let hashed = HashedTensor {
        tensor: 0,
        kind: ClaimKind::Input,
        features: 5,
        positions: 2,
        range: Range::signed(12),
        salted: true,
    };
    let sha256 = Sha256Air::new(hashed).expect("the tensor has a digest");
    let poseidon2 = Poseidon2Air { tensor: hashed };
    let compare = |rule| {
        Chip::Compare(CompareAir {
            tensor: 0,
            kind: ClaimKind::Output,
            features: 5,
            positions: 2,
            range: Range::signed(12),
            rule,
        })
    };
    let bounds = compare(Rule::Bounds(vec![Range::signed(9); 5]));
    let leading = compare(Rule::Leading(vec![vec![1, 3], vec![0, 4]]));
    for chip in [
        Chip::Sha256(sha256),
        Chip::Poseidon2(poseidon2),
        bounds,
        leading,
    ] {
        tables.push(Table::outside_key(chip, Some(&hiding)));
    }
    // Private weights: the first table is as tall as the one whose commitment it reads.
    if hiding.weight_openings > 0 {
        for model in &models {
            let key = Layout::new(&model.graph, Some(hiding), MODULUS).expect("it has a layout");
            let attestation = key.attestation(&model.graph, Some(&hiding), MODULUS);
            tables.extend(attestation.expect("it has a layout").tables);
        }
    }
    // A new chip does not compile here until it is counted, and fails until there is a table.
    let number = |chip: &Chip| match chip {
        Chip::Activation(_) => 0,
        Chip::Weights(_) => 1,
        Chip::Lookup(_) => 2,
        Chip::Sha256(_) => 3,
        Chip::Poseidon2(_) => 4,
        Chip::Compare(_) => 5,
        Chip::Overhang(_) => 6,
        Chip::Sums(_) => 7,
        Chip::AttestWeights(_) => 8,
        Chip::AttestSums(_) => 9,
    };
    const CHIPS: usize = 10;
    let attested = if hiding.weight_openings > 0 { CHIPS } else { 8 };
    for wanted in 0..attested {
        assert!(tables.iter().any(|t| number(&t.chip) == wanted));
    }
    tables
}

/// What is put into the bands. The default is what masks are.
#[derive(Clone, Copy)]
struct Filling {
    /// The base cells of a row of the blank band are random, which they must not be.
    dirty_blank: bool,
    /// Fractions are random in the uniform band even where they are not free.
    fractions_everywhere: bool,
}

const MASKS: Filling = Filling {
    dirty_blank: false,
    fractions_everywhere: false,
};

/// All columns of a table.
struct Traces {
    fixed: RowMajorMatrix<F>,
    weight: RowMajorMatrix<F>,
    main: RowMajorMatrix<F>,
    projection: RowMajorMatrix<EF>,
    lookup: RowMajorMatrix<EF>,
    terminal: EF,
}

/// Junk on live rows, the same for all seeds; masks on the others.
fn traces(table: &Table, filling: Filling, seed: u64) -> Traces {
    let mut random = Random(1);
    let mut masks = Random(seed);
    let (live, bands) = (table.chip.rows(), table.bands.expect("the table hides"));
    let uniform = live..live + bands.uniform;
    let all = live..live + bands.rows();
    let mut base = |width: usize, masked: &core::ops::Range<usize>| {
        let cells = (0..table.height()).flat_map(|r| core::iter::repeat_n(r, width));
        let values = cells.map(|r| {
            let dirt = filling.dirty_blank && r == uniform.end && !masked.is_empty();
            if r < live {
                random.base()
            } else if masked.contains(&r) || dirt {
                masks.base()
            } else {
                F::ZERO
            }
        });
        RowMajorMatrix::new(values.collect(), width)
    };
    // An attestation reads the key's weights, whose own mask is longer than these bands.
    let weight_mask = match table.chip {
        Chip::AttestWeights(_) => live..table.height(),
        _ => uniform.clone(),
    };
    let weight = base(table.widths.weight, &weight_mask);
    let main = base(table.committed.main, &uniform);
    let extend = |m: RowMajorMatrix<F>, width: usize| {
        let values = m.values.chunks_exact(DEGREE);
        let values = values.map(|c| EF::from_basis_coefficients_fn(|i| c[i]));
        RowMajorMatrix::new(values.collect(), width)
    };
    let projection = extend(
        base(table.committed.projection * DEGREE, &uniform),
        table.committed.projection,
    );
    let mut lookup = extend(
        base(table.committed.lookup * DEGREE, &(0..0)),
        table.committed.lookup,
    );
    let own = table.widths.lookup();
    for r in all {
        let free = !table.chip.needs_blank_band() || !uniform.contains(&r);
        for c in 0..table.committed.lookup {
            // The running sum is free in both bands, and so are columns nothing reads.
            if c + 1 >= own || free || filling.fractions_everywhere {
                lookup.values[r * table.committed.lookup + c] = masks.ext();
            }
        }
    }
    let blind = projection.values[live * table.committed.projection];
    Traces {
        fixed: table.generate_fixed(),
        weight,
        main,
        projection,
        lookup,
        terminal: EF::from_u32(77) + blind,
    }
}

fn challenges(table: &Table) -> Challenges<EF> {
    let mut random = Random(2);
    let [rho, depth, height, width, alpha, beta] = core::array::from_fn(|_| random.ext());
    let drawn = Drawn {
        rho,
        sigma: [depth, height, width],
    };
    let layout = Layout {
        tables: vec![table.clone()],
    };
    let receivers = vec![1; 64];
    Challenges::projection(drawn, layout.power_counts(), receivers)
        .with_lookup(alpha, beta)
        .for_chip(&table.chip)
}

/// The folded constraints of every row.
fn fold(table: &Table, traces: &Traces) -> Vec<EF> {
    let challenges = challenges(table);
    let lambda = Random(3).ext();
    let coefficients = table.chip.weight_form(&challenges);
    let forms = coefficients.map(|c| linear_form::<F, EF>(&traces.weight, &c));
    fn row<T: Copy + Send + Sync>(m: &RowMajorMatrix<T>, r: usize) -> &[T] {
        &m.values[r * m.width..(r + 1) * m.width]
    }
    (0..table.height())
        .map(|r| {
            let next = (r + 1) % table.height();
            let projection_next = row(&traces.projection, next);
            let window = Row {
                fixed: row(&traces.fixed, r),
                weight: row(&traces.weight, r),
                main: row(&traces.main, r),
                form: forms.as_ref().map(|f| f[r]),
                projection: row(&traces.projection, r),
                projection_next,
            };
            let own = table.widths.lookup();
            let columns = LookupRow {
                local: &row(&traces.lookup, r)[..own],
                next: &row(&traces.lookup, next)[..own],
                terminal: table.blinded(traces.terminal, projection_next),
            };
            let folder = ConstraintFolder::new(window, columns, &challenges, lambda);
            let mut folder = Over::<_, F>::new(folder);
            table.chip.eval(&mut folder);
            folder.into_inner().finish()
        })
        .collect()
}

/// Mask rows on which a constraint fails.
fn violations(table: &Table, filling: Filling) -> usize {
    let folded = fold(table, &traces(table, filling, 5));
    let dead = folded[table.chip.rows()..].iter();
    dead.filter(|&&x| x != EF::ZERO).count()
}

#[test]
fn accepts_masks_on_every_mask_row_of_every_chip() {
    for hiding in [HIDING, PRIVATE_WEIGHTS] {
        for table in samples(hiding) {
            assert_eq!(violations(&table, MASKS), 0, "{}", table.chip.name());
        }
    }
}

#[test]
fn no_live_row_of_any_chip_notices_masks() {
    for hiding in [HIDING, PRIVATE_WEIGHTS] {
        for table in samples(hiding) {
            let live = table.chip.rows();
            let [a, b] = [7, 8].map(|seed| fold(&table, &traces(&table, MASKS, seed)));
            // The junk violates constraints, so that equality says something.
            assert!(a[..live].iter().any(|&x| x != EF::ZERO));
            assert_eq!(a[..live], b[..live], "{}", table.chip.name());
        }
    }
}

#[test]
fn rejects_randomness_where_cells_are_not_free() {
    let tables = [samples(HIDING), samples(PRIVATE_WEIGHTS)].concat();
    let bound: Vec<&Table> = (tables.iter())
        .filter(|t| t.chip.needs_blank_band())
        .collect();
    assert!(!bound.is_empty());
    for table in bound {
        let dirty_blank = Filling {
            dirty_blank: true,
            ..MASKS
        };
        assert!(violations(table, dirty_blank) > 0);
        let fractions_everywhere = Filling {
            fractions_everywhere: true,
            ..MASKS
        };
        assert!(violations(table, fractions_everywhere) > 0);
    }
}

#[test]
fn every_fixed_column_of_every_chip_is_zero_on_mask_rows() {
    for table in samples(PRIVATE_WEIGHTS) {
        let fixed = table.generate_fixed::<F>();
        let live = table.chip.rows();
        for r in 0..table.height() {
            let row: Vec<F> = fixed.row(r).expect("in range").into_iter().collect();
            assert_eq!(row[engine::LIVE], F::from_bool(r < live));
            assert!(
                r < live || row.iter().all(|&c| c == F::ZERO),
                "row {r} is dead"
            );
        }
    }
}

#[test]
fn bands_are_as_long_as_the_counts_say() {
    // s = 11, D = 5: 16 evaluations of a column read at the current row, 32 of one read at both,
    // 21 of a fraction; one row to spare, one for the terminal's blinding.
    for table in samples(HIDING) {
        let blank = if table.chip.needs_blank_band() { 22 } else { 0 };
        let expected = MaskBands { uniform: 34, blank };
        assert_eq!(table.bands, Some(expected), "{}", table.chip.name());
        assert!(table.chip.rows() + expected.rows() <= table.height());
        assert_eq!(table.quotient_stride(), table.height() - 17);
    }
    // Four openings of private weights: 64 evaluations, one to spare.
    for table in samples(PRIVATE_WEIGHTS) {
        let bands = table.bands.expect("the table hides");
        // An attestation's table reads a matrix whose mask is the key's.
        let masks_weights = matches!(table.chip, Chip::Weights(_));
        let uniform = if masks_weights { 65 } else { 34 };
        assert_eq!(bands.uniform, uniform, "{}", table.chip.name());
    }
}

/// Layouts with tables of statements behind those of the key.
fn statement_layouts(model: &Model) -> Vec<Layout> {
    let key = Layout::new(&model.graph, Some(HIDING), MODULUS).expect("it has a layout");
    let input = &model.graph.tensors[0];
    let bounds = vec![input.range; input.features as usize];
    let digest = |hash| TensorDigest {
        hash,
        salted: true,
        bytes: [0; 32],
    };
    let said = [Hash::Sha256, Hash::Poseidon2].map(|hash| Disclosed {
        digest: Some(digest(hash)),
        bounds: Some(bounds.clone()),
        ..Disclosed::PRIVATE
    });
    let bounded = Disclosed {
        bounds: Some(bounds.clone()),
        ..Disclosed::PRIVATE
    };
    let layouts = said.into_iter().chain([bounded]).map(|input| {
        let statement = Statement {
            inputs: vec![input],
            outputs: vec![Disclosed::PRIVATE],
        };
        let layout = key.with_statement(&model.graph, &statement, &HIDING, MODULUS);
        layout.expect("it has a layout")
    });
    layouts.collect()
}

#[test]
fn every_leaf_of_a_hiding_commitment_is_long_enough() {
    let model = crate::common::two_layers();
    let graph = &model.graph;
    let key = |hiding| Layout::new(graph, Some(hiding), MODULUS).expect("it has a layout");
    let attestation = key(PRIVATE_WEIGHTS).attestation(graph, Some(&PRIVATE_WEIGHTS), MODULUS);
    let mut widened = 0;
    for layout in statement_layouts(&model).into_iter().chain([
        key(HIDING),
        key(PRIVATE_WEIGHTS),
        attestation.expect("it has a layout"),
    ]) {
        let tallest = layout.max_log_height();
        for table in &layout.tables {
            let height = table.log_height;
            let class = || layout.tables.iter().filter(|t| t.log_height == height);
            let leaf = |columns: fn(&Table) -> usize| class().map(columns).sum::<usize>();
            let main = leaf(|t| t.committed.main);
            assert!(main == 0 || main >= LEAF_COLUMNS);
            let batch_mask = if height == tallest { DEGREE } else { 0 };
            assert!(leaf(|t| t.committed.projection * DEGREE) + batch_mask >= LEAF_COLUMNS);
            assert!(leaf(|t| t.committed.lookup * DEGREE) >= LEAF_COLUMNS);
            assert!(leaf(|t| t.committed.quotient * DEGREE) >= LEAF_COLUMNS);
            assert!(table.committed.projection > 0, "its first cell blinds");
            widened += table.committed.lookup - table.widths.lookup();
        }
    }
    assert!(widened > 0, "some leaf was too short");
    let weights = key(PRIVATE_WEIGHTS);
    let weights = weights.weight_tables().next().expect("there are weights");
    assert!(weights.widths.weight >= LEAF_COLUMNS);
}
