//! What a distinguisher computes from a guessed witness: every column as it would be without masks.

use air::builder::{Challenges, ConstraintFolder, MessageCollector, Over, Row};
use air::chips::Air;
use air::chips::weights::linear_form;
use air::layout::{Layout, Table};
use air::logup::{LookupRow, fill_columns};
use air::statement::{Policy, Statement};
use air::witness::{SetupTraces, generate_main, generate_projection};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;

use super::algebra::{D, limbs, recombine};
use super::bench::{Bench, Seen};
use super::toy::{EF, F};

/// A guessed witness.
pub struct Guess {
    pub layout: Layout,
    pub setup: SetupTraces<F>,
    receivers: Vec<u32>,
    main: Vec<Option<RowMajorMatrix<F>>>,
}

/// The columns of one table: its committed ones, extension columns as their base columns.
#[derive(Clone)]
pub struct Columns {
    pub main: RowMajorMatrix<F>,
    pub projection: RowMajorMatrix<F>,
    pub lookup: RowMajorMatrix<F>,
    pub terminal: EF,
}

/// The columns at a point, and those the constraints read at the next row too.
pub struct Window<'a> {
    pub fixed: &'a [F],
    pub main: &'a [F],
    pub projection: [&'a [F]; 2],
    pub lookup: [&'a [F]; 2],
}

impl Guess {
    /// The guess that a bench's witness was used.
    pub fn new(bench: &Bench, policy: &Policy) -> Self {
        let model = bench.prover.model();
        let statement = Statement::of::<F>(&model.graph, &bench.evaluation, policy);
        let statement = statement.expect("it can be said");
        let layout = bench.key().proof_layout(&statement);
        let (layout, _) = layout.expect("it can be proven");
        Self {
            setup: SetupTraces::generate(&layout, model),
            receivers: statement.receivers(&model.graph),
            main: generate_main(
                &layout,
                model,
                &bench.evaluation,
                &policy.salts(&model.graph),
            ),
            layout,
        }
    }

    /// The challenges of a proof.
    fn challenges(&self, seen: &Seen) -> Challenges<EF> {
        let (powers, receivers) = (self.layout.power_counts(), self.receivers.clone());
        Challenges::projection(seen.projection, powers, receivers)
            .with_lookup(seen.alpha, seen.beta)
    }

    /// Every table's columns in a proof, if there were no masks.
    pub fn columns(&self, seen: &Seen) -> Vec<Columns> {
        let challenges = self.challenges(seen);
        let weight = &self.setup.weight;
        let projections = generate_projection(&self.layout, weight, &self.main, &challenges);
        let tables = self.layout.tables.iter().zip(projections).enumerate();
        tables
            .map(|(t, (table, projection))| {
                let projection = projection.unwrap_or_default();
                let messages = self.messages(t, &projection, &challenges);
                let (lookup, terminal) =
                    fill_columns(&messages, table.widths.messages, table.height());
                let main = self.main[t].as_ref().map_or(&[][..], |m| &m.values);
                let (own, all) = (table.widths, table.committed);
                let widen = |cells: &[F], own, all| widen(cells, own, all, table.height());
                Columns {
                    main: widen(main, own.main, all.main),
                    projection: widen(&limbs(&projection), own.projection * D, all.projection * D),
                    lookup: widen(&limbs(&lookup), own.lookup() * D, all.lookup * D),
                    terminal,
                }
            })
            .collect()
    }

    /// The messages of a table's live rows.
    fn messages(&self, t: usize, projection: &[EF], challenges: &Challenges<EF>) -> Vec<(EF, F)> {
        let table = &self.layout.tables[t];
        let challenges = &challenges.for_chip(&table.chip);
        let form = table.chip.weight_form::<EF>(challenges);
        let form = form
            .zip(self.setup.weight[t].as_ref())
            .map(|(c, w)| linear_form::<F, EF>(w, &c));
        let row = |matrix: &RowMajorMatrix<F>, r: usize| -> Vec<F> {
            matrix
                .row(r)
                .expect("live rows exist")
                .into_iter()
                .collect()
        };
        let mut messages = Vec::new();
        for r in 0..table.live_rows() {
            let width = table.widths.projection;
            let projection = &projection[r * width..(r + 1) * width];
            let row = Row {
                fixed: &row(&self.setup.fixed[t], r),
                weight: &[],
                main: &self.main[t].as_ref().map_or_else(Vec::new, |m| row(m, r)),
                form: form.as_ref().map(|f| f[r]),
                projection,
                projection_next: projection,
            };
            let collector = MessageCollector::new(row, challenges, &mut messages);
            table.chip.eval(&mut Over::<_, F>::new(collector));
        }
        messages
    }

    /// A function that folds the constraints of a table without weights.
    pub fn folder(&self, seen: &Seen, t: usize) -> impl Fn(&Window<'_>) -> EF {
        let table: &Table = &self.layout.tables[t];
        let challenges = self.challenges(seen);
        let (terminal, lambda) = (seen.file.proof.terminals[t], seen.lambda);
        move |at| {
            let [projection, projection_next] = at.projection.map(recombine);
            let row = Row {
                fixed: at.fixed,
                weight: &[],
                main: at.main,
                form: None,
                projection: &projection,
                projection_next: &projection_next,
            };
            let width = table.widths.lookup();
            let [local, next] = at.lookup.map(recombine);
            let lookup = LookupRow {
                local: &local[..width],
                next: &next[..width],
                terminal: table.blinded(terminal, &projection_next),
            };
            let folder = ConstraintFolder::new(row, lookup, &challenges, lambda);
            let mut folder = Over::<_, F>::new(folder);
            table.chip.eval(&mut folder);
            folder.into_inner().finish()
        }
    }
}

/// Row-major cells with more columns and rows, both of zeros.
fn widen(cells: &[F], from: usize, to: usize, height: usize) -> RowMajorMatrix<F> {
    let mut values = F::zero_vec(to * height);
    if from > 0 {
        for (wide, own) in values.chunks_exact_mut(to).zip(cells.chunks_exact(from)) {
            wide[..from].copy_from_slice(own);
        }
    }
    RowMajorMatrix::new(values, to)
}
