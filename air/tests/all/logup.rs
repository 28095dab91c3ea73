//! # LogUp
//!
//! For odd and even numbers of messages, honest columns satisfy all constraints, the terminal is
//! the sum it should be, and of the four kinds of constraint each stops a forgery that the others
//! accept. If this failed, a table could state a sum of fractions that is not its own.

use crate::common::{EF, F, rho, sigma};
use air::logup::{
    LogUpFolder, LookupRow, Selectors, fill_columns, lookup_constraints, lookup_width,
};
use p3_field::{Field, PrimeCharacteristicRing};

const HEIGHT: usize = 16;

/// A table of random messages on `live` rows.
#[derive(Clone)]
struct Table {
    per_row: usize,
    live: usize,
    messages: Vec<(EF, F)>,
    columns: Vec<EF>,
    terminal: EF,
}

impl Table {
    fn new(per_row: usize, live: usize) -> Self {
        let mut state = rho();
        let messages: Vec<(EF, F)> = (0..per_row * live)
            .map(|i| {
                state = state * state + sigma();
                (state, F::from_usize(i % 3) - F::ONE)
            })
            .collect();
        let (columns, terminal) = fill_columns(&messages, per_row, HEIGHT);
        Self {
            per_row,
            live,
            messages,
            columns,
            terminal,
        }
    }

    fn width(&self) -> usize {
        lookup_width(self.per_row)
    }

    /// The kinds of constraints that fail, with how many constraints there are on a row.
    fn failures(&self) -> Vec<&'static str> {
        let width = self.width();
        let mut failed = Vec::new();
        for r in 0..HEIGHT {
            let next = (r + 1) % HEIGHT;
            let mut folder = LogUpFolder::<F, EF>::new(LookupRow {
                local: &self.columns[r * width..(r + 1) * width],
                next: &self.columns[next * width..(next + 1) * width],
                terminal: self.terminal,
            });
            let mut constraints = 0;
            for i in 0..self.per_row {
                // Rows that are not live: every cell 0, the denominator 0, the count 0.
                let (d, m) = if r < self.live {
                    self.messages[r * self.per_row + i]
                } else {
                    (EF::ZERO, F::ZERO)
                };
                if let Some(pin) = folder.message(d, m) {
                    constraints += 1;
                    if pin != EF::ZERO {
                        failed.push("pin");
                    }
                }
            }
            let selectors = Selectors {
                first: F::from_bool(r == 0),
                step: F::from_bool(r + 1 < self.live),
                last: F::from_bool(r + 1 == self.live),
            };
            for (name, x) in ["start", "step", "last"]
                .iter()
                .zip(folder.finish(selectors))
            {
                constraints += 1;
                if x != EF::ZERO {
                    failed.push(name);
                }
            }
            assert_eq!(constraints, lookup_constraints(self.per_row));
        }
        failed
    }

    fn sum(&self) -> EF {
        self.messages.iter().map(|(d, m)| d.inverse() * *m).sum()
    }

    fn acc(&mut self, row: usize) -> &mut EF {
        let width = self.width();
        &mut self.columns[row * width + width - 1]
    }
}

/// Messages a row and live rows: odd, even, one row, full, nearly full.
const SHAPES: [(usize, usize); 9] = [
    (1, 1),
    (1, 9),
    (1, HEIGHT),
    (2, 1),
    (2, 7),
    (2, HEIGHT),
    (3, HEIGHT - 1),
    (4, 5),
    (7, HEIGHT),
];

#[test]
fn accepts_honest_columns() {
    for (per_row, live) in SHAPES {
        let table = Table::new(per_row, live);
        assert_eq!(table.terminal, table.sum(), "{per_row} × {live}");
        assert_eq!(table.failures(), [""; 0], "{per_row} × {live}");
        assert_eq!(table.columns.len(), table.width() * HEIGHT);
    }
}

#[test]
fn accepts_no_messages_at_all() {
    let (columns, terminal) = fill_columns::<F, EF>(&[], 0, HEIGHT);
    assert!(columns.is_empty() && terminal == EF::ZERO);
    assert_eq!((lookup_width(0), lookup_constraints(0)), (0, 0));
}

#[test]
fn accepts_anything_on_padding_rows() {
    for (per_row, live) in SHAPES {
        let mut table = Table::new(per_row, live);
        let width = table.width();
        for cell in &mut table.columns[live * width..] {
            *cell = rho();
        }
        assert_eq!(table.failures(), [""; 0], "{per_row} × {live}");
    }
}

#[test]
fn rejects_a_false_terminal_by_last_alone() {
    for (per_row, live) in SHAPES {
        let mut table = Table::new(per_row, live);
        table.terminal += EF::ONE;
        assert_eq!(table.failures(), ["last"], "{per_row} × {live}");
    }
}

#[test]
fn rejects_a_false_start_by_start_alone() {
    for (per_row, live) in SHAPES {
        let mut table = Table::new(per_row, live);
        for row in 0..live {
            *table.acc(row) += EF::ONE;
        }
        table.terminal += EF::ONE;
        assert_eq!(table.failures(), ["start"], "{per_row} × {live}");
    }
}

#[test]
fn rejects_a_false_step_by_step_alone() {
    for (per_row, live) in SHAPES.into_iter().filter(|s| s.1 > 1) {
        let mut table = Table::new(per_row, live);
        for row in live / 2..live {
            *table.acc(row) += EF::ONE;
        }
        table.terminal += EF::ONE;
        assert_eq!(table.failures(), ["step"], "{per_row} × {live}");
    }
}

#[test]
fn rejects_a_false_fraction_by_pin_alone() {
    for (per_row, live) in SHAPES.into_iter().filter(|s| s.0 > 1) {
        let mut table = Table::new(per_row, live);
        let width = table.width();
        // The fraction on the last live row, and the terminal with it.
        table.columns[(live - 1) * width] += EF::ONE;
        table.terminal += EF::ONE;
        assert_eq!(table.failures(), ["pin"], "{per_row} × {live}");
    }
}

#[test]
fn rejects_nothing_in_a_table_without_live_rows() {
    // Why a layout refuses such a table: no row is the last, and the terminal is free.
    for per_row in [1, 2] {
        let mut table = Table::new(per_row, 0);
        assert_eq!(table.terminal, EF::ZERO);
        table.terminal = rho();
        assert_eq!(table.failures(), [""; 0]);
    }
}
