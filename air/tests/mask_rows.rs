//! # Room for masks
//!
//! Zero-knowledge will fill two bands of rows at the end of every table with random cells. That
//! must not need a single chip to change: here the bands are filled, and every constraint of every
//! chip, LogUp's included, still holds on every row. The controls put randomness where it does not
//! belong and see it refused.

mod common;

use air::builder::{Challenges, ConstraintFolder, MessageCollector, Over, Row, engine};
use air::chips::Air;
use air::chips::weights::linear_form;
use air::graph::{LinearWeights, Model, Range, evaluate};
use air::layout::{Layout, MaskBands, Table};
use air::logup::{LookupRow, fill_columns};
use air::witness::{SetupTraces, generate_main, generate_projection};
use common::{EF, F, MODULUS, chain, identity};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

const BANDS: MaskBands = MaskBands {
    uniform: 90,
    blank: 50,
};

/// A small generator (splitmix64); the tests need variety, not secrecy.
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

/// What is put into the bands. The default is what masks will be.
#[derive(Clone, Copy)]
struct Filling {
    /// Base and projection cells of the uniform band are random.
    uniform: bool,
    /// The base cells of a row of the blank band are random too, which they must not be.
    dirty_blank: bool,
    /// Fractions are random in the uniform band too, where they are not free.
    fractions_everywhere: bool,
}

const MASKS: Filling = Filling {
    uniform: true,
    dirty_blank: false,
    fractions_everywhere: false,
};

fn model() -> Model {
    let weights = |inputs: u32, outputs: u32| LinearWeights {
        inputs,
        outputs,
        values: (0..inputs * outputs)
            .map(|i| (i * 7 % 19) as i16 - 9)
            .collect(),
        bias: (0..outputs).map(|j| 40 * j as i32 - 100).collect(),
    };
    let layers = vec![weights(5, 6), weights(6, 4)];
    let requants = [
        identity(4, 6, Range::signed(7)),
        identity(5, 7, Range::signed(7)),
    ];
    chain(2, Range::signed(6), &[5, 6, 4], &requants, layers)
}

/// Number of rows on which the constraints of some table do not vanish.
fn violations(filling: Filling) -> usize {
    let model = model();
    let inputs = vec![(0..10).map(|i| i * 5 - 25).collect()];
    let evaluation = evaluate(&model, &inputs).expect("it evaluates");
    let layout = Layout::new(&model.graph, BANDS, MODULUS).expect("it has a layout");
    let mut random = Random(1);
    let [sigma, rho, alpha, beta, lambda] = core::array::from_fn(|_| random.ext());
    let challenges = Challenges::projection(sigma, rho, layout.power_counts());
    let setup = SetupTraces::<F>::generate(&layout, &model);
    let mut main = generate_main::<F>(&layout, &evaluation);
    let mut projection = generate_projection(&layout, &setup.weight, &main, &challenges);
    for (i, table) in layout.tables.iter().enumerate() {
        let live = table.chip.rows();
        assert!(
            live + BANDS.uniform + BANDS.blank <= table.height(),
            "room for both bands"
        );
        let band = live..live + BANDS.uniform;
        if let (Some(main), true) = (&mut main[i], filling.uniform) {
            let width = main.width();
            let cells = &mut main.values[band.start * width..band.end * width];
            cells.iter_mut().for_each(|c| *c = random.base());
        }
        if let (Some(main), true) = (&mut main[i], filling.dirty_blank) {
            let width = main.width();
            let cells = &mut main.values[band.end * width..(band.end + 1) * width];
            cells.iter_mut().for_each(|c| *c = random.base());
        }
        if let (Some(columns), true) = (&mut projection[i], filling.uniform) {
            let width = table.widths.projection;
            let cells = &mut columns[band.start * width..band.end * width];
            cells.iter_mut().for_each(|c| *c = random.ext());
        }
    }
    let challenges = challenges.with_lookup(alpha, beta);
    (0..layout.tables.len())
        .map(|i| {
            let table = Witness {
                table: &layout.tables[i],
                fixed: &setup.fixed[i],
                weight: setup.weight[i].as_ref(),
                main: main[i].as_ref(),
                projection: projection[i].as_deref().unwrap_or(&[]),
            };
            table.violations(&challenges, lambda, filling, &mut random)
        })
        .sum()
}

/// One table's traces.
struct Witness<'a> {
    table: &'a Table,
    fixed: &'a RowMajorMatrix<F>,
    weight: Option<&'a RowMajorMatrix<F>>,
    main: Option<&'a RowMajorMatrix<F>>,
    projection: &'a [EF],
}

impl Witness<'_> {
    /// Calls `f` with the columns of row `r`.
    fn with_row<T>(
        &self,
        forms: Option<&[EF]>,
        r: usize,
        f: impl FnOnce(Row<'_, F, EF>) -> T,
    ) -> T {
        let base = |m: Option<&RowMajorMatrix<F>>| -> Vec<F> {
            m.map_or(Vec::new(), |m| {
                m.row(r).expect("in range").into_iter().collect()
            })
        };
        let width = self.table.widths.projection;
        let next = (r + 1) % self.table.height();
        f(Row {
            fixed: &base(Some(self.fixed)),
            weight: &base(self.weight),
            main: &base(self.main),
            form: forms.map(|f| f[r]),
            projection: &self.projection[r * width..(r + 1) * width],
            projection_next: &self.projection[next * width..(next + 1) * width],
        })
    }

    fn violations(
        &self,
        challenges: &Challenges<EF>,
        lambda: EF,
        filling: Filling,
        random: &mut Random,
    ) -> usize {
        let (table, live) = (self.table, self.table.chip.rows());
        let form = table.chip.weight_form(challenges);
        let forms = form
            .zip(self.weight)
            .map(|(c, w)| linear_form::<F, EF>(w, &c));
        let mut messages = Vec::new();
        for r in 0..live {
            self.with_row(forms.as_deref(), r, |row| {
                let collector = MessageCollector::new(row, challenges, &mut messages);
                table.chip.eval(&mut Over::<_, F>::new(collector));
            });
        }
        let per_row = table.widths.messages;
        let (mut lookup, terminal) = fill_columns(&messages, per_row, table.height());
        let width = table.widths.lookup();
        for r in live..live + BANDS.uniform + BANDS.blank {
            let blank = r >= live + BANDS.uniform;
            for c in 0..width {
                // The running sum is free in both bands, a fraction in the blank one.
                if c + 1 == width || blank || filling.fractions_everywhere {
                    lookup[r * width + c] = random.ext();
                }
            }
        }
        (0..table.height())
            .filter(|&r| {
                let next = (r + 1) % table.height();
                let columns = LookupRow {
                    local: &lookup[r * width..(r + 1) * width],
                    next: &lookup[next * width..(next + 1) * width],
                    terminal,
                };
                let folded = self.with_row(forms.as_deref(), r, |row| {
                    let folder = ConstraintFolder::new(row, columns, challenges, lambda);
                    let mut folder = Over::<_, F>::new(folder);
                    table.chip.eval(&mut folder);
                    folder.into_inner().finish()
                });
                folded != EF::ZERO
            })
            .count()
    }
}

#[test]
fn accepts_masks_in_both_bands() {
    assert_eq!(violations(MASKS), 0);
}

#[test]
fn accepts_bands_left_empty() {
    let empty = Filling {
        uniform: false,
        ..MASKS
    };
    assert_eq!(violations(empty), 0);
}

#[test]
fn rejects_fractions_that_are_not_free() {
    let fractions_everywhere = Filling {
        fractions_everywhere: true,
        ..MASKS
    };
    assert!(violations(fractions_everywhere) > 0);
    let dirty_blank = Filling {
        dirty_blank: true,
        ..MASKS
    };
    assert!(violations(dirty_blank) > 0);
}

#[test]
fn selectors_are_zero_in_both_bands() {
    let layout = Layout::new(&model().graph, BANDS, MODULUS).expect("it has a layout");
    for table in &layout.tables {
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
