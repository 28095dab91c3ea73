//! What the elements of a unit are, and what is compared in it.
//!
//! The *values* of a unit are what its row has a cell for: an activation for each part of the host, then the
//! copies, then the result of each comparison. An element of a maximum has no cell: it is a sum of values,
//!
//! ```text
//!   m_0 = x_0      r_i = relu(x_i − m_(i−1))      m_i = m_(i−1) + r_i = max(x_0, …, x_i)
//! ```

use alloc::vec::Vec;

use crate::graph::groups::{Group, Part, Role};

/// A looked up difference: `result = relu(Σ plus − Σ minus)`, all of them values of one unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Comparison {
    /// The element compared.
    pub plus: Vec<usize>,
    /// The largest of those before.
    pub minus: Vec<usize>,
    /// How much larger it is.
    pub result: usize,
}

/// The structure of a unit: the same for all tensors of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// For each member of a group, and each of its parts, the values it is the sum of.
    pub elements: Vec<Vec<Vec<usize>>>,
    /// Elements of the host in a unit.
    pub hosts: usize,
    /// Values that are copies.
    pub copies: usize,
    /// What is compared, in order.
    pub comparisons: Vec<Comparison>,
}

impl Window {
    /// The structure of a group's units.
    pub fn new(group: &Group) -> Self {
        let hosts = group.members[0].parts();
        let is_copy = |role: &Role| *role == Role::Copy;
        let copies = group.members.iter().filter(|m| is_copy(&m.role));
        let mut window = Self {
            elements: Vec::with_capacity(group.members.len()),
            hosts,
            copies: copies.map(|m| m.parts()).sum(),
            comparisons: Vec::new(),
        };
        let mut next = 0;
        for member in &group.members {
            // Hosts and copies have values of their own, maxima follow.
            let elements = match &member.role {
                Role::Host | Role::Copy => {
                    let first = next;
                    next += member.parts();
                    (first..next).map(|value| alloc::vec![value]).collect()
                }
                Role::Max(_) => Vec::new(),
            };
            window.elements.push(elements);
        }
        for (i, member) in group.members.iter().enumerate() {
            if let Role::Max(parts) = &member.role {
                for sources in parts {
                    let element = window.maximum(sources);
                    window.elements[i].push(element);
                }
            }
        }
        window
    }

    /// Compares elements one after the other; the values the largest is the sum of.
    fn maximum(&mut self, sources: &[Part]) -> Vec<usize> {
        let mut largest: Option<Vec<usize>> = None;
        for source in sources {
            let values = self.elements[source.member][source.part].clone();
            largest = Some(match largest {
                None => values,
                Some(mut largest) => {
                    let result = self.hosts + self.copies + self.comparisons.len();
                    self.comparisons.push(Comparison {
                        plus: values,
                        minus: largest.clone(),
                        result,
                    });
                    largest.push(result);
                    largest
                }
            });
        }
        largest.unwrap_or_default()
    }

    /// Values that are no activations: copies and results.
    pub fn others(&self) -> usize {
        self.copies + self.comparisons.len()
    }
}
