//! Traces of the compare chip.

use alloc::vec::Vec;

use p3_field::{ExtensionField, Field};
use p3_matrix::dense::RowMajorMatrix;

use super::{CompareAir, LIMB_BITS, Rule, projection};
use crate::builder::Challenges;
use crate::bus::ClaimKind;
use crate::chips::signed;

impl CompareAir {
    /// The main trace for a tensor's values, flat `[feature][position]`.
    pub fn generate_main<F: Field>(&self, values: &[i32], height: usize) -> RowMajorMatrix<F> {
        let width = self.positions * self.lane_width();
        let thresholds = self.thresholds(values);
        let mut cells = F::zero_vec(height * width);
        let rows = cells.chunks_exact_mut(width);
        for (f, (row, xs)) in rows.zip(values.chunks_exact(self.positions)).enumerate() {
            for (p, &x) in xs.iter().enumerate() {
                let cols = self.lane(p);
                row[cols.x] = signed(i64::from(x));
                if let Some(&m) = thresholds.get(p) {
                    row[cols.m] = signed(i64::from(m));
                }
                let limbs = &mut row[cols.limbs..(p + 1) * self.lane_width()];
                for (cell, (_, limb)) in limbs.iter_mut().zip(self.limbs(f, p, x, &thresholds)) {
                    *cell = F::from_u32(limb);
                }
            }
        }
        RowMajorMatrix::new(cells, width)
    }

    /// Calls `range(bits, limb)` for everything the table looks up.
    pub fn for_each_lookup(&self, values: &[i32], mut range: impl FnMut(u8, u32)) {
        let thresholds = self.thresholds(values);
        for (f, xs) in values.chunks_exact(self.positions).enumerate() {
            for (p, &x) in xs.iter().enumerate() {
                for (bits, limb) in self.limbs(f, p, x, &thresholds) {
                    range(bits, limb);
                }
            }
        }
    }

    /// The projection columns of a main trace.
    pub fn generate_projection<F: Field, EF: ExtensionField<F>>(
        &self,
        main: &RowMajorMatrix<F>,
        challenges: &Challenges<EF>,
        height: usize,
    ) -> Vec<EF> {
        let columns = 1 + usize::from(self.ranks());
        let (sigma, rho) = (&challenges.sigma_powers, challenges.rho());
        let project = |row: &[F], column: &dyn Fn(usize) -> usize| -> EF {
            let lanes = (0..self.positions).zip(sigma);
            lanes.map(|(p, &s)| s * row[column(p)]).sum()
        };
        let factor = match self.kind {
            ClaimKind::Output => rho.try_inverse().unwrap_or(EF::ZERO),
            _ => rho,
        };
        let mut cells = EF::zero_vec(height * columns);
        let mut fold = EF::ZERO;
        let mut level = EF::ZERO;
        for r in 0..=self.features {
            let row = &main.values[r * main.width..(r + 1) * main.width];
            if self.ranks() {
                if r == 0 {
                    level = project(row, &|p| self.lane(p).m);
                }
                cells[r * columns + projection::LEVEL] = level;
            }
            cells[r * columns + projection::FOLD] = fold;
            fold = fold * factor + project(row, &|p| self.lane(p).x);
        }
        cells
    }

    /// The threshold of each position: the smallest leading value. Empty for bounds.
    fn thresholds(&self, values: &[i32]) -> Vec<i32> {
        let Rule::Leading(leading) = &self.rule else {
            return Vec::new();
        };
        let value = |f: u32, p: usize| values[f as usize * self.positions + p];
        let least = |(p, list): (usize, &Vec<u32>)| list.iter().map(|&f| value(f, p)).min();
        leading
            .iter()
            .enumerate()
            .map(|pair| least(pair).unwrap_or(self.range.lo))
            .collect()
    }

    /// The limbs of a lane's differences with their widths. Where the rule is broken they are those
    /// of no difference: nothing a prover could write would be right.
    fn limbs(&self, f: usize, p: usize, x: i32, thresholds: &[i32]) -> Vec<(u8, u32)> {
        let differences = match &self.rule {
            Rule::Bounds(bounds) => alloc::vec![x - bounds[f].lo, bounds[f].hi - x],
            Rule::Leading(leading) => {
                let named = leading[p].binary_search(&(f as u32)).is_ok();
                let above = x - thresholds[p];
                alloc::vec![if named { above } else { -above }]
            }
        };
        let bits = self.limb_bits();
        let mut limbs = Vec::new();
        for d in differences {
            for (i, &bits) in bits.iter().enumerate() {
                let limb = (d as u32) >> (usize::from(LIMB_BITS) * i);
                limbs.push((bits, limb & ((1 << bits) - 1)));
            }
        }
        limbs
    }
}
