//! # Which activation tables a graph needs

use alloc::vec::Vec;

use crate::chips::activation::Functions;
use crate::graph::groups::Group;
use crate::graph::{Activation, Function, Graph, Groups, Range};

/// Every activation table in use, once, in order of first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionList {
    /// The tables; the first has the identifier 1.
    pub list: Vec<Activation>,
    of_tensor: Vec<usize>,
    /// By host.
    of_comparisons: Vec<usize>,
}

impl FunctionList {
    /// The tables of a graph.
    pub fn new(graph: &Graph, groups: &Groups) -> Self {
        let mut functions = Self {
            list: Vec::new(),
            of_tensor: alloc::vec![0; graph.tensors.len()],
            of_comparisons: alloc::vec![0; graph.tensors.len()],
        };
        for group in groups.all() {
            let host = group.host();
            functions.of_tensor[host] = functions.index(function_of(graph, host));
        }
        for group in groups.all().iter().filter(|g| g.compares()) {
            functions.of_comparisons[group.host()] = functions.comparing(group.range(graph));
        }
        functions
    }

    /// A table that compares values of a range: one that is there, or one of its own.
    fn comparing(&mut self, range: Range) -> usize {
        let wanted = comparison(range);
        let compares = |f: &Activation| {
            f.function == Function::Relu
                && f.in_frac_bits == f.out_frac_bits
                && f.domain.lo <= wanted.domain.lo
                && wanted.domain.hi <= f.domain.hi
                && f.image.lo == 0
                && wanted.image.hi <= f.image.hi
        };
        match self.list.iter().position(compares) {
            Some(known) => known + 1,
            None => self.index(Some(wanted)),
        }
    }

    fn index(&mut self, wanted: Option<Activation>) -> usize {
        let Some(wanted) = wanted else {
            return 0;
        };
        let known = self.list.iter().position(|f| *f == wanted);
        let index = known.unwrap_or_else(|| {
            self.list.push(wanted);
            self.list.len() - 1
        });
        index + 1
    }
}

impl Functions for FunctionList {
    fn of_tensor(&self, tensor: usize) -> usize {
        self.of_tensor[tensor]
    }

    fn of_comparisons(&self, group: &Group) -> usize {
        self.of_comparisons[group.host()]
    }
}

/// How much larger one value of a range is than another, or 0: `relu` of every difference.
fn comparison(range: Range) -> Activation {
    let most = range.hi - range.lo;
    Activation {
        function: Function::Relu,
        in_frac_bits: 0,
        out_frac_bits: 0,
        domain: Range {
            lo: -most,
            hi: most,
        },
        image: Range { lo: 0, hi: most },
    }
}

/// The activation table of a host: its layer's, or for an input the identity on its range; none for
/// an input that limbs keep in its range ([`Graph::ranged_bits`]).
///
/// Of functions with `f(c·x) = c·f(x)` only the change of scale matters: `Relu` at 9 fractional bits and at 11
/// are the same table, and tensors share it.
fn function_of(graph: &Graph, tensor: usize) -> Option<Activation> {
    let Some(layer) = tensor.checked_sub(graph.inputs.len()) else {
        let identity = Activation::identity(graph.tensors[tensor].range, 0);
        return graph.ranged_bits(tensor).is_none().then_some(identity);
    };
    let mut function = graph.layers[layer].requant.activation;
    if function.function.is_homogeneous() {
        function.in_frac_bits -= function.out_frac_bits;
        function.out_frac_bits = 0;
    }
    Some(function)
}
