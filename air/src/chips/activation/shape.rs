//! What the width of a row depends on.

/// The shape of a row: how many limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limbs {
    /// Width of a full limb.
    pub bits: u8,
    /// Limbs of a remainder.
    pub rem: usize,
    /// Limbs of an excess; 0 if no tensor of the table can saturate.
    pub excess: usize,
}

impl Limbs {
    /// Main columns of an activation with such limbs.
    pub const fn element_width(&self) -> usize {
        2 + (self.excess > 0) as usize + self.rem + self.excess
    }

    /// Width of limb `i` of a number of `bits` bits.
    pub fn width(&self, bits: u8, i: usize) -> u8 {
        bits.saturating_sub(i as u8 * self.bits).min(self.bits)
    }
}

/// What the width of a row depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Lanes: units side by side.
    pub lanes: usize,
    /// Activations of a unit.
    pub hosts: usize,
    /// Copies of a unit.
    pub copies: usize,
    /// Comparisons of a unit.
    pub comparisons: usize,
    /// Limbs of a lane.
    pub limbs: Limbs,
    /// Slots that receive factors.
    pub weighted: usize,
    /// All slots.
    pub slots: usize,
    /// Whether a lane is sent as a gate.
    pub gates: bool,
}

impl RowShape {
    /// Main columns of one lane.
    pub const fn lane_width(&self) -> usize {
        self.hosts * self.limbs.element_width() + self.copies + self.comparisons
    }

    /// Main columns.
    pub const fn main(&self) -> usize {
        self.lanes * self.lane_width()
    }

    /// Projection columns.
    pub const fn projection(&self) -> usize {
        1 + self.slots + self.weighted
    }

    /// Messages.
    pub const fn messages(&self) -> usize {
        let of_element = 1 + self.limbs.rem + self.limbs.excess;
        let lookups = self.lanes * (self.hosts * of_element + self.comparisons);
        lookups + 1 + self.slots + self.weighted + self.gates as usize
    }

    /// Base cells of a row that a proof commits to, without masks.
    pub const fn cells(&self, degree: usize) -> usize {
        let lookup = crate::logup::lookup_width(self.messages());
        self.main() + degree * (self.projection() + lookup)
    }
}
