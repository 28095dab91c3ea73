//! # What a layout costs, and what it refuses
//!
//! If the cost part failed, doubling a layer would cost a proof more than the layer's activations
//! and a sliver per weight. If the refusals failed, a verifier could be made to do unbounded work,
//! or to count messages modulo p.

use crate::common::{MODULUS, chain, identity};
use air::chips::{Air, Chip};
use air::graph::{
    Axis, AxisMap, Dim, Graph, GraphError, Kernel, Map, Range, Requant, TensorId, Term,
};
use air::hiding::Hiding;
use air::layout::{Layout, LayoutError, MAX_POSITIONS};
use air::statement::{Disclosed, Statement};

/// Extension degree of the default configuration.
const DEGREE: usize = 5;

fn requant() -> Requant {
    identity(9, 10, Range::signed(8))
}

/// A graph of the given widths. Weights are not needed to lay it out.
fn graph(widths: &[u32], positions: u32) -> Graph {
    let requants = vec![requant(); widths.len() - 1];
    chain(positions, Range::signed(8), widths, &requants, vec![]).graph
}

fn layout(widths: &[u32], positions: u32) -> Layout {
    Layout::new(&graph(widths, positions), None, MODULUS).expect("a layout")
}

/// Cells a proof commits to in tables with this name.
fn cells(layout: &Layout, name: &str) -> usize {
    let tables = layout.tables.iter().filter(|t| t.chip.name() == name);
    tables.map(|t| t.committed_cells(DEGREE)).sum()
}

/// Weights of all layers.
fn weights(widths: &[u32]) -> usize {
    widths.windows(2).map(|w| (w[0] * w[1]) as usize).sum()
}

/// Units of all tensors.
fn units(widths: &[u32]) -> usize {
    widths.iter().map(|&w| w as usize).sum()
}

/// Auxiliary cells a weight may cost.
const PER_WEIGHT: f64 = 0.16;

/// Cells the weight tables may cost, padding included.
fn allowance(widths: &[u32]) -> f64 {
    PER_WEIGHT * weights(widths) as f64
}

#[test]
fn matches_the_promise_per_weight() {
    // A row of weights costs 2·5 auxiliary cells, however many weights it holds. The promise is
    // about what a proof commits to, so padding to a power of two counts. It is made for layers
    // wide enough to have a choice: an output layer of ten leaves room for ten lanes.
    for widths in [
        &[784, 512, 512, 10][..],
        &[784, 1024, 512, 10],
        &[784, 512, 1024, 10],
        &[784, 1024, 1024, 10],
        &[784, 2048, 2048, 10],
        &[3072, 1536, 768, 10],
    ] {
        let cells = cells(&layout(widths, 1), "weights") as f64;
        let per_weight = cells / weights(widths) as f64;
        assert!(per_weight <= PER_WEIGHT, "{widths:?}: {per_weight}");
    }
}

#[test]
fn matches_the_promise_per_doubling() {
    // Doubling a hidden layer: a proof grows with the activations that are added, and with at most
    // 0.16 cells for each weight that is added. Heights are powers of two, so a table may have
    // been short of its allowance before and use all of it after; that slack is written out, and
    // so is the factor of two by which the activation table may round up.
    let per_unit = |widths: &[u32]| {
        let layout = layout(widths, 1);
        let mut tables = layout.tables.iter();
        let table = tables.find(|t| matches!(t.chip, Chip::Activation(_)));
        let table = table.expect("every layout has an activation table");
        table.committed_cells(DEGREE) >> table.log_height
    };
    for (narrow, wide) in [
        (&[784, 512, 512, 10][..], &[784, 1024, 512, 10][..]),
        (&[784, 512, 512, 10], &[784, 512, 1024, 10]),
        (&[784, 1024, 1024, 10], &[784, 2048, 1024, 10]),
        (&[784, 1024, 1024, 10], &[784, 1024, 2048, 10]),
        (&[784, 2048, 2048, 10], &[784, 4096, 2048, 10]),
    ] {
        let (before, after) = (layout(narrow, 1), layout(wide, 1));
        let grown = |name: &str| cells(&after, name) as f64 - cells(&before, name) as f64;
        let slack = allowance(narrow) - cells(&before, "weights") as f64;
        let new_weights = (weights(wide) - weights(narrow)) as f64;
        assert!(slack >= 0.0);
        assert!(
            grown("weights") <= PER_WEIGHT * new_weights + slack,
            "{narrow:?} → {wide:?}: {} for {new_weights} weights",
            grown("weights")
        );
        // The closing row is one more than there are units.
        let rounded = (2 * (units(wide) + 1) * per_unit(wide)) as f64;
        assert!((cells(&after, "activation") as f64) < rounded, "{wide:?}");
        // Activation tables stay; range tables follow the choice of limbs, and stay small.
        assert_eq!(grown("functions"), 0.0, "{wide:?}");
        assert!(cells(&after, "range") <= 1 << 16, "{wide:?}");
    }
    // Three doublings of both hidden layers: rounding is spread over so much that the slope
    // shows.
    let (first, last) = (&[784, 512, 512, 10], &[784, 4096, 4096, 10]);
    let grown = cells(&layout(last, 1), "weights") - cells(&layout(first, 1), "weights");
    let slope = grown as f64 / (weights(last) - weights(first)) as f64;
    assert!(slope <= PER_WEIGHT, "{slope}");
}

#[test]
fn matches_the_cells_of_known_shapes() {
    // A change here is a change of every key: it must be meant.
    let found: Vec<_> = [
        (&[12, 9, 4][..], 1),
        (&[12, 9, 4], 3),
        (&[784, 128, 10], 1),
        (&[784, 512, 512, 10], 1),
        (&[784, 1024, 512, 10], 1),
        (&[784, 512, 512, 10], 16),
    ]
    .into_iter()
    .map(|(widths, positions)| {
        let layout = layout(widths, positions);
        let names = ["activation", "weights", "sums", "range", "functions"];
        let cells = names.map(|name| cells(&layout, name));
        assert_eq!(cells.iter().sum::<usize>(), layout.committed_cells(DEGREE));
        cells
    })
    .collect();
    assert_eq!(
        found,
        [
            [3008, 640, 1280, 384, 3072],
            [6016, 640, 1280, 384, 3072],
            [41984, 10240, 1280, 6144, 3072],
            [83968, 81920, 1280, 6144, 3072],
            [167936, 163840, 1280, 6144, 3072],
            [460800, 81920, 1280, 12288, 3072],
        ]
    );
}

#[test]
fn rejects_bounds_and_ranks_on_too_many_positions() {
    // A tensor may have more, only not one whose values are compared side by side in a row.
    let hiding = Hiding {
        queries: 11,
        degree: DEGREE,
        weight_openings: 0,
    };
    let with = |positions: usize, input: Disclosed, output: Disclosed| {
        let graph = graph(&[3, 2], positions as u32);
        let key = Layout::new(&graph, Some(hiding), MODULUS).expect("a layout");
        let statement = Statement {
            inputs: vec![input],
            outputs: vec![output],
        };
        let layout = key.with_statement(&graph, &statement, &hiding, MODULUS);
        layout.map(|layout| layout.tables.len() - key.tables.len())
    };
    let bounded = || Disclosed {
        bounds: Some(vec![Range::signed(6); 3]),
        ..Disclosed::PRIVATE
    };
    let ranked = |positions| Disclosed {
        leading: Some(vec![vec![1]; positions]),
        ..Disclosed::PRIVATE
    };
    let (most, positions) = (MAX_POSITIONS, MAX_POSITIONS + 1);
    assert_eq!(with(most, bounded(), ranked(most)), Ok(3));
    assert_eq!(
        with(positions, Disclosed::PRIVATE, Disclosed::PRIVATE),
        Ok(0)
    );
    let error = |tensor| Err(LayoutError::TooWide { tensor, positions });
    assert_eq!(with(positions, bounded(), Disclosed::PRIVATE), error(0));
    assert_eq!(
        with(positions, Disclosed::PRIVATE, ranked(positions)),
        error(1)
    );
}

#[test]
fn rejects_tables_that_are_too_tall() {
    let tall = |widths: &[u32]| Layout::new(&graph(widths, 1), None, MODULUS);
    assert!(tall(&[1 << 20, 16]).is_ok());
    assert!(matches!(
        tall(&[1 << 22, 1]),
        Err(LayoutError::TooTall {
            chip: "activation",
            log_height: 23
        })
    ));
    assert!(matches!(
        tall(&[1 << 20, 1 << 20]),
        Err(LayoutError::TooTall {
            chip: "weights",
            ..
        })
    ));
}

#[test]
fn rejects_more_messages_than_the_field_has_elements() {
    // The largest tables together stay below p, so the bound is moved instead: at the number of
    // messages the layout is refused, one above it is not.
    let graph = graph(&[12, 9, 4], 3);
    let layout = layout(&[12, 9, 4], 3);
    let messages: u64 = layout
        .tables
        .iter()
        .map(|t| (t.widths.messages as u64) << t.log_height)
        .sum();
    let with = |modulus| Layout::new(&graph, None, modulus).map(|_| ());
    assert_eq!(with(messages + 1), Ok(()));
    let error = LayoutError::TooManyMessages {
        messages,
        modulus: messages,
    };
    assert_eq!(with(messages), Err(error));
    // And with the real modulus, by an activation table of 2^22 rows of 256 lanes.
    // Two tensors and the closing row fill it, so that no other shape is cheaper.
    let (features, positions) = ((1 << 21) - 1, 256);
    let mut wide = chain(positions, Range::signed(8), &[1, 1], &[requant()], vec![]).graph;
    wide.tensors = vec![crate::common::tensor(features, positions, Range::signed(8)); 2];
    wide.layers[0].terms = vec![Term {
        input: TensorId(0),
        map: Map::scale(&wide.tensors[0], 1),
    }];
    let error = Layout::new(&wide, None, MODULUS).expect_err("too many");
    assert!(
        matches!(
            error,
            LayoutError::TooManyMessages {
                modulus: MODULUS,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn rejects_the_largest_graphs_quickly() {
    // A hostile key may name thousands of layers of any size; answering must cost little.
    let start = std::time::Instant::now();
    let huge = graph(&vec![1 << 22; 4097], 1);
    assert!(matches!(
        huge.validate(MODULUS),
        Err(GraphError::TooLarge { .. })
    ));
    // The largest that are let through to the layout.
    let deep = graph(&vec![500; 4097], 1);
    assert_eq!(deep.validate(MODULUS), Ok(()));
    assert!(Layout::new(&deep, None, MODULUS).is_ok());
    let mut many = graph(&vec![16; 4097], 1);
    for (i, layer) in many.layers.iter_mut().enumerate() {
        // As many different tables as there are layers.
        let hi = 100 + i as i32;
        layer.requant = identity(9, 10, Range { lo: -128, hi });
        many.tensors[i + 1].range = Range { lo: -128, hi };
    }
    assert_eq!(many.validate(MODULUS), Ok(()));
    let layout = Layout::new(&many, None, MODULUS).map(|_| ());
    assert!(
        matches!(layout, Err(LayoutError::TooManyEntries { .. })),
        "{layout:?}"
    );
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn accepts_a_layout_without_range_table() {
    // No shift and no saturation: nothing needs range checks, and no empty table is left behind.
    let requant = identity(0, 0, Range::signed(8));
    // The input is looked up as well: it has 15 values.
    let input = Range { lo: -7, hi: 7 };
    let graph = chain(1, input, &[2, 1], &[requant], vec![]).graph;
    let layout = Layout::new(&graph, None, MODULUS).expect("a layout");
    assert!(layout.tables.iter().all(|t| t.chip.rows() > 0));
    assert!(layout.tables.iter().all(|t| t.chip.name() != "range"));
}

/// Terms without learned weights that may add more than an integer holds: then no weights keep the bound,
/// and an attestation must not say that they do.
#[test]
fn rejects_attestations_of_layers_that_fixed_terms_overflow() {
    let mut graph = graph(&[1, 1], 1);
    let positions = 1u32 << 15;
    let input = &mut graph.tensors[0];
    input.extent[2] = positions;
    input.shape = vec![positions];
    input.dims = vec![
        Dim {
            axis: Axis::Feature,
            size: 1,
        },
        Dim {
            axis: Axis::Width,
            size: positions,
        },
    ];
    input.range = Range {
        lo: (1 << 24) - 65_535,
        hi: 1 << 24,
    };
    let map = &mut graph.layers[0].terms[0].map;
    map.kernel = Kernel::Taps(vec![1 << 24, -(1 << 24)]);
    map.axes[2] = AxisMap {
        taps: 2,
        expand: 0,
        ..AxisMap::identity(positions)
    };
    assert_eq!(graph.validate(MODULUS), Ok(()));
    let layout = Layout::new(&graph, None, MODULUS).expect("it has tables");
    let attested = layout.attestation(&graph, None, MODULUS);
    assert_eq!(attested, Err(LayoutError::NoBound { layer: 0 }));
}
