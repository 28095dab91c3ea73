//! # Layout: from a graph to tables
//!
//! [`Layout::new`] is a pure function of the graph and of what proofs hide. The verifier runs it on
//! the graph inside the verifying key, so table order, widths and heights are never read from a proof.
//!
//! | table | rows | one for |
//! |---|---|---|
//! | `activation` | one per `lanes` elements of every tensor, one | each kind of tensors, see `plan` |
//! | `weights` | one per `lanes` weights, one | the model |
//! | `overhang` | one per `lanes` coefficients beyond an image, one | the model |
//! | `sums` | one per term and layer | the model |
//! | `range` | `2^bits` per limb width in use | the model |
//! | `functions` | one per entry of every activation table in use | the model |
//!
//! What a statement says of hidden tensors takes tables of its own, which [`Layout::with_statement`]
//! puts behind the others. The key knows nothing of them: there is no commitment to their fixed
//! columns, and the verifier evaluates these itself.
//!
//! | table | rows | one for |
//! |---|---|---|
//! | `sha256`, `poseidon2` | by the tensor's size | each digest |
//! | `bounds`, `leading` | one per feature, one | each tensor with bounds, or with ranks |
//! | `range` | `2^bits` per limb width in use | all of the line above |
//!
//! An attestation of a key's weights has tables of its own ([`Layout::attestation`]): `attested weights` on
//! the rows of the weights table, `attested sums` with a row for each output, and a range table. There is
//! no commitment to their fixed columns either.
//!
//! Free choices (lanes, limb widths) are made by the cost model of [`cost`].

pub mod cost;
mod error;
mod functions;
mod plan;
mod table;
mod terms;

use alloc::vec::Vec;

pub use self::error::LayoutError;
pub use self::functions::FunctionList;
pub use self::table::{Committed, Table};
pub use self::terms::TermIds;
use crate::builder::PowerCounts;
use crate::chips::activation::ActivationAir;
use crate::chips::attest::{self, AttestSumsAir, AttestWeightsAir, LayerBound};
use crate::chips::compare::{CompareAir, Rule};
use crate::chips::hashed::{HashError, HashedTensor};
use crate::chips::lookup::{LookupAir, LookupContent};
use crate::chips::overhang::OverhangAir;
use crate::chips::poseidon2::Poseidon2Air;
use crate::chips::sha256::Sha256Air;
use crate::chips::sums::SumsAir;
use crate::chips::weights::WeightsAir;
use crate::chips::{Air, Chip};
use crate::graph::{Activation, Graph};
use crate::hiding::Hiding;
use crate::statement::{Disclosed, Hash, Statement};

/// Smallest height of a table, as a logarithm. Shorter tables would save nothing measurable and
/// would cost queries: the relative distance of a code of 2^4 rows is visibly below its limit.
pub const MIN_LOG_HEIGHT: usize = 6;
/// Largest height of a table, as a logarithm.
pub const MAX_LOG_HEIGHT: usize = 22;
/// Most entries of all activation tables together, as a logarithm, and of all range tables: a few
/// bytes of a key name a large table, and whoever audits the key has to build it.
pub const MAX_LOG_ENTRIES: usize = 22;
/// Most fixed cells of all tables outside the key together, as a logarithm: a few bytes of a
/// statement, or of a graph, ask the verifier for them, and it has them in memory.
pub const MAX_LOG_OUTSIDE_CELLS: usize = 26;
/// Most fixed cells of the tables of a key together, as a logarithm.
pub const MAX_LOG_FIXED_CELLS: usize = 28;
/// Most slots of an activation table: readers of one tensor.
pub const MAX_SLOTS: usize = 1024;
/// Most positions of a tensor with bounds or ranks; they lie side by side in a row.
pub const MAX_POSITIONS: usize = 64;

/// All tables of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The tables, in the order in which they are committed.
    pub tables: Vec<Table>,
}

impl Layout {
    /// The tables of a validated graph, with mask rows if a proof is to hide anything.
    pub fn new(graph: &Graph, hiding: Option<Hiding>, modulus: u64) -> Result<Self, LayoutError> {
        let hiding = hiding.as_ref();
        let ids = TermIds::new(graph);
        let functions = FunctionList::new(graph, ids.groups());
        let mut widths = Vec::new();
        let mut chips = Vec::new();
        for table in plan::plan(graph, &ids, hiding)? {
            let plan::TablePlan {
                hosts,
                lanes,
                limbs,
                rows,
                slots,
            } = &table;
            // Before any of them is written down.
            let log_height = log2_ceil(*rows);
            if log_height > MAX_LOG_HEIGHT {
                let chip = "activation";
                return Err(LayoutError::TooTall { chip, log_height });
            }
            if *slots > MAX_SLOTS {
                return Err(LayoutError::TooManyReaders { slots: *slots });
            }
            let air = ActivationAir::new(graph, &ids, hosts, *lanes, *limbs, &functions);
            widths.extend(plan::limb_widths(&air));
            chips.push(Chip::Activation(air));
        }
        let lanes = cost::choose_weight_lanes(graph, hiding);
        let rows = cost::weight_rows(graph, lanes);
        if log2_ceil(rows) > MAX_LOG_HEIGHT {
            return Err(LayoutError::TooTall {
                chip: "weights",
                log_height: log2_ceil(rows),
            });
        }
        chips.push(Chip::Weights(WeightsAir::new(graph, &ids, lanes)));
        let lanes = cost::choose_overhang_lanes(graph, hiding);
        chips.extend(OverhangAir::new(graph, &ids, lanes).map(Chip::Overhang));
        chips.push(Chip::Sums(SumsAir::new(graph, &ids)));
        for content in [
            LookupContent::Range(distinct(widths.into_iter())),
            LookupContent::Functions(functions.list),
        ] {
            // Without shifts or saturation nothing is range-checked by limbs.
            if content.is_empty() {
                continue;
            }
            let lanes = cost::choose_table_lanes(content.len(), content.arity(), hiding);
            chips.push(Chip::Lookup(LookupAir { lanes, content }));
        }
        let tables = chips.into_iter().map(|c| Table::new(c, hiding));
        let mut layout = Self {
            tables: tables.collect(),
        };
        if let Some(hiding) = hiding {
            table::lengthen_leaves(&mut layout.tables, hiding);
        }
        layout.check(modulus)?;
        Ok(layout)
    }

    /// The same tables, and behind them those that prove what a statement says of hidden tensors. The
    /// statement must have passed its check against the graph.
    pub fn with_statement(
        &self,
        graph: &Graph,
        statement: &Statement,
        hiding: &Hiding,
        modulus: u64,
    ) -> Result<Self, LayoutError> {
        let mut layout = self.clone();
        let mut widths = Vec::new();
        for (kind, id, disclosed) in statement.tensors(graph) {
            let shape = &graph.tensors[id.index()];
            let tensor = HashedTensor {
                tensor: id.index(),
                kind,
                features: shape.features as usize,
                positions: shape.positions(),
                range: shape.range,
                salted: disclosed.digest.is_some_and(|d| d.salted),
            };
            let compares = disclosed.bounds.is_some() || disclosed.leading.is_some();
            if compares && tensor.positions > MAX_POSITIONS {
                return Err(LayoutError::TooWide {
                    tensor: tensor.tensor,
                    positions: tensor.positions,
                });
            }
            let digest = |error| LayoutError::Digest {
                tensor: id.index(),
                error,
            };
            for chip in statement_chips(tensor, disclosed).map_err(digest)? {
                if let Chip::Compare(air) = &chip {
                    widths.extend(air.limb_bits());
                }
                layout.tables.push(Table::outside_key(chip, Some(hiding)));
            }
        }
        if !widths.is_empty() {
            layout.tables.push(range_table(widths, Some(hiding)));
        }
        table::lengthen_leaves(&mut layout.tables, hiding);
        layout.check(modulus)?;
        Ok(layout)
    }

    /// The tables of an attestation of a key with this layout. The first is as tall as the weights
    /// table, whose commitment it reads. `hiding` if the weights are private: their own mask is the
    /// key's, and longer than the bands of the table that reads them, unless the key is for one proof.
    pub fn attestation(
        &self,
        graph: &Graph,
        hiding: Option<&Hiding>,
        modulus: u64,
    ) -> Result<Self, LayoutError> {
        let bands = hiding.map(|&hiding| Hiding {
            weight_openings: 0,
            ..hiding
        });
        let hiding = bands.as_ref();
        let bound = |layer| {
            let bound = LayerBound::new(graph, layer, modulus);
            bound.ok_or(LayoutError::NoBound { layer })
        };
        let layers = (graph.sums())
            .map(|(layer, _)| bound(layer))
            .collect::<Result<Vec<_>, _>>()?;
        let widths = attest::limb_widths(&layers);
        let mut tables = Vec::new();
        for table in &self.tables {
            let Chip::Weights(air) = &table.chip else {
                continue;
            };
            let outputs = graph.layers.iter().map(|layer| {
                let output = &graph.tensors[layer.output.index()];
                output.features as usize
            });
            let chip = AttestWeightsAir::new(air.clone(), outputs.collect());
            let chip = Chip::AttestWeights(chip);
            let mut attested = Table::outside_key(chip, hiding);
            if attested.log_height > table.log_height {
                return Err(LayoutError::NoRoom);
            }
            attested.log_height = table.log_height;
            tables.push(attested);
        }
        let sums = Chip::AttestSums(AttestSumsAir { layers });
        tables.push(Table::outside_key(sums, hiding));
        tables.push(range_table(widths, hiding));
        if let Some(hiding) = hiding {
            table::lengthen_leaves(&mut tables, hiding);
        }
        let layout = Self { tables };
        layout.check(modulus)?;
        Ok(layout)
    }

    fn check(&self, modulus: u64) -> Result<(), LayoutError> {
        let outside = self.tables.iter().filter(|t| t.is_outside_key());
        let cells = outside.map(|t| t.live_rows() * t.widths.fixed).sum();
        if cells > 1 << MAX_LOG_OUTSIDE_CELLS {
            return Err(LayoutError::OutsideTooLarge { cells });
        }
        let of_key = self.tables.iter().filter(|t| !t.is_outside_key());
        let fixed = of_key.map(|t| t.widths.fixed << t.log_height).sum();
        if fixed > 1 << MAX_LOG_FIXED_CELLS {
            return Err(LayoutError::FixedTooLarge { cells: fixed });
        }
        let mut messages = 0u64;
        for table in &self.tables {
            if table.log_height > MAX_LOG_HEIGHT {
                return Err(LayoutError::TooTall {
                    chip: table.chip.name(),
                    log_height: table.log_height,
                });
            }
            if let Chip::Lookup(air) = &table.chip
                && air.content.len() > 1 << MAX_LOG_ENTRIES
            {
                return Err(LayoutError::TooManyEntries {
                    chip: table.chip.name(),
                    entries: air.content.len(),
                });
            }
            // The terminal is pinned on the last live row: without one it would be free.
            if table.chip.rows() == 0 {
                let chip = table.chip.name();
                return Err(LayoutError::Empty { chip });
            }
            messages += (table.widths.messages as u64) << table.log_height;
        }
        if messages >= modulus {
            return Err(LayoutError::TooManyMessages { messages, modulus });
        }
        Ok(())
    }

    /// The activation tables in use; identifiers count from 1.
    pub fn functions(&self) -> &[Activation] {
        let mut contents = self.tables.iter().filter_map(|table| match &table.chip {
            Chip::Lookup(air) => Some(&air.content),
            _ => None,
        });
        let functions = contents.find_map(|content| match content {
            LookupContent::Functions(list) => Some(list.as_slice()),
            LookupContent::Range(_) => None,
        });
        functions.unwrap_or(&[])
    }

    /// Whether its tables have mask rows.
    pub fn is_hiding(&self) -> bool {
        self.tables.iter().any(|t| t.bands.is_some())
    }

    /// Logarithm of the tallest table's height.
    pub fn max_log_height(&self) -> usize {
        let heights = self.tables.iter().map(|t| t.log_height);
        heights.max().unwrap_or(MIN_LOG_HEIGHT)
    }

    /// The tables that have weight columns: those with a matrix in the weight commitment.
    pub fn weight_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|t| t.widths.weight > 0)
    }

    /// Number of tensors of the graph.
    pub fn tensors(&self) -> usize {
        let blocks = self.tables.iter().map(|table| match &table.chip {
            Chip::Activation(air) => air.blocks.iter().map(|b| b.members.len()).sum(),
            _ => 0,
        });
        blocks.sum()
    }

    /// How many powers of the projection challenges are needed.
    pub fn power_counts(&self) -> PowerCounts {
        let mut counts = PowerCounts { sigma: 1, rho: 2 };
        for table in &self.tables {
            match &table.chip {
                Chip::Weights(air) => counts.rho = counts.rho.max(air.lanes + 1),
                Chip::Activation(_) | Chip::Overhang(_) | Chip::Sums(_) | Chip::Lookup(_) => {}
                Chip::Sha256(air) => counts = counts.max(air.power_counts()),
                Chip::Poseidon2(air) => counts = counts.max(air.power_counts()),
                Chip::Compare(air) => counts = counts.max(air.power_counts()),
                Chip::AttestWeights(air) => counts = counts.max(air.power_counts()),
                Chip::AttestSums(air) => counts = counts.max(air.power_counts()),
            }
        }
        counts
    }

    /// Base cells one proof commits to for each tensor: the rows of the tensor and, for a layer's
    /// output, of the layer's weights. Padding and lookup tables belong to no tensor.
    pub fn cells_by_tensor(&self, graph: &Graph, degree: usize) -> Vec<usize> {
        let mut cells = alloc::vec![0; graph.tensors.len()];
        let output = |layer: usize| graph.layers[layer].output.index();
        for table in &self.tables {
            let per_row = table.committed_cells(degree) >> table.log_height;
            match &table.chip {
                Chip::Activation(air) => {
                    for block in &air.blocks {
                        let all = (block.end() - block.start) * per_row;
                        let shares = air.shares(block, degree);
                        let whole = shares.iter().map(|(_, share)| share).sum::<usize>().max(1);
                        for (tensor, share) in shares {
                            cells[tensor] += all * share / whole;
                        }
                    }
                }
                Chip::Weights(air) => {
                    for block in &air.blocks {
                        cells[output(block.layer)] += (block.end() - block.start) * per_row;
                    }
                }
                Chip::Overhang(air) => {
                    for block in &air.blocks {
                        cells[output(block.layer)] += (block.end() - block.start) * per_row;
                    }
                }
                Chip::Lookup(_) | Chip::Sums(_) => {}
                Chip::Sha256(air) => cells[air.tensor.tensor] += table.chip.rows() * per_row,
                Chip::Poseidon2(air) => cells[air.tensor.tensor] += table.chip.rows() * per_row,
                Chip::Compare(air) => cells[air.tensor] += table.chip.rows() * per_row,
                // No table of a proof about tensors.
                Chip::AttestWeights(_) | Chip::AttestSums(_) => {}
            }
        }
        cells
    }

    /// Base cells one proof commits to; the quotient and the mask of the batch are not counted.
    pub fn committed_cells(&self, degree: usize) -> usize {
        self.tables.iter().map(|t| t.committed_cells(degree)).sum()
    }
}

/// A range table that is not in the key, for limbs of these widths.
fn range_table(widths: Vec<u8>, hiding: Option<&Hiding>) -> Table {
    let content = LookupContent::Range(distinct(widths.into_iter()));
    let lanes = cost::choose_table_lanes(content.len(), content.arity(), hiding);
    Table::outside_key(Chip::Lookup(LookupAir { lanes, content }), hiding)
}

/// The chips for what is said of one tensor.
fn statement_chips(tensor: HashedTensor, disclosed: &Disclosed) -> Result<Vec<Chip>, HashError> {
    let mut chips = Vec::new();
    if let Some(digest) = &disclosed.digest {
        chips.push(match digest.hash {
            Hash::Sha256 => Chip::Sha256(Sha256Air::new(tensor)?),
            Hash::Poseidon2 => Chip::Poseidon2(Poseidon2Air { tensor }),
        });
    }
    let bounds = disclosed.bounds.clone().map(Rule::Bounds);
    let leading = disclosed.leading.clone().map(Rule::Leading);
    for rule in bounds.into_iter().chain(leading) {
        chips.push(Chip::Compare(CompareAir {
            tensor: tensor.tensor,
            kind: tensor.kind,
            features: tensor.features,
            positions: tensor.positions,
            range: tensor.range,
            rule,
        }));
    }
    Ok(chips)
}

/// Ascending, without repetition.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

pub(crate) const fn log2_ceil(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}
