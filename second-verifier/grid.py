"""How the elements of a group of tensors lie in rows and lanes (§8.2)."""

from itertools import product
from math import gcd, lcm, prod
from types import SimpleNamespace as Record

from groups import parts_of, sub_of
from maps import AXES, period_of


def ceil_div(a, b):
    return -(-a // b)


def demand_of(graph, terms, group):
    """Axes that are part of the channel, the period of the phases of each axis, and the units of a channel
    and of its longest phase."""
    extent = group.extent
    merged, period = [False] * AXES, [1] * AXES
    for member in group.members:
        for layer, t in terms.readers[member.tensor]:
            map = graph.layers[layer].terms[t].map
            for a, axis in enumerate(map.axes):
                merged[a] |= map.merged[a] and member.extent[a] > 1
                phases = period_of(axis)
                phases //= gcd(phases, member.unit[a])
                period[a] = min(lcm(period[a], phases), extent[a])
    period = [1 if m else n for m, n in zip(merged, period)]
    inner = [1 if m else n for m, n in zip(merged, extent)]
    features = graph.tensors[group.members[0].tensor].features
    return Record(
        features=features, extent=extent, merged=merged, period=period, inner=inner, units=prod(inner),
        phase=prod(ceil_div(n, m) for n, m in zip(inner, period)),
        channels=features * prod(extent) // prod(inner),
    )  # fmt: skip


def shape_of(demand, lanes):
    """Lanes of a line and lines of a row, for at most so many lanes."""
    height, width = (ceil_div(demand.inner[a], demand.period[a]) for a in (1, 2))
    segment = ceil_div(width, ceil_div(width, lanes))
    if segment < width:
        return segment, 1
    most = min(lanes // width, height)
    return segment, ceil_div(height, ceil_div(height, most))


def phases_of(demand, axis):
    """Phases that have places."""
    return range(min(demand.period[axis], demand.inner[axis]))


def places_of(demand, axis, phase):
    """Indices of an axis that are of a phase."""
    return ceil_div(max(demand.inner[axis] - phase, 0), demand.period[axis])


def rows_for(demand, lanes):
    """Rows of a group in a layout of at most so many lanes."""
    segment, stack = shape_of(demand, lanes)
    rows = demand.channels
    for axis, unit in enumerate((1, stack, segment)):
        phases = phases_of(demand, axis)
        rows *= sum(ceil_div(places_of(demand, axis, phase), unit) for phase in phases)
    return rows


class Grid:
    """The rows of a channel: each has the index of its first lane's unit, and how many lines and columns it
    uses. Rows of a group: channel by channel."""

    def __init__(self, demand, lanes):
        self.features, self.extent = demand.features, demand.extent
        self.merged, self.period = demand.merged, demand.period
        self.is_merged, self.channels = any(self.merged), demand.channels
        self.segment, self.stack = shape_of(demand, lanes)
        phases = product(*(phases_of(demand, axis) for axis in range(AXES)))
        self.rows = [row for phase in phases for row in self.rows_of_phase(demand, phase)]
        self.height = self.channels * len(self.rows)

    def rows_of_phase(self, demand, phase):
        depth, height, width = (places_of(demand, a, phase[a]) for a in range(AXES))
        for z in range(depth):
            for y in range(0, height, self.stack):
                for x in range(0, width, self.segment):
                    yield Record(
                        index=[p * i + f for p, i, f in zip(self.period, (z, y, x), phase)],
                        lines=min(self.stack, height - y), columns=min(self.segment, width - x),
                    )  # fmt: skip

    def base(self, channel, r):
        """The feature and the unit on every axis of the first lane of row `r` of a channel."""
        index = list(self.rows[r].index)
        for axis in reversed(range(AXES)):
            if self.merged[axis]:
                channel, index[axis] = divmod(channel, self.extent[axis])
        return channel, index


class View:
    """One part of one member of a group in the rows of its grid."""

    def __init__(self, grid, member, part):
        self.grid, self.extent = grid, member.extent
        self.unit, self.sub = member.unit, sub_of(member, part)
        # Indices from one lane to the next.
        self.pitch = [n * period for n, period in zip(member.unit, grid.period)]

    def base(self, channel, r):
        """The feature, and the index on every axis, of the first lane of row `r`; it may lie outside."""
        feature, units = self.grid.base(channel, r)
        return feature, [n * i + sub for n, i, sub in zip(self.unit, units, self.sub)]

    def used(self, r, index):
        """Lines and columns of the row in use, if it holds any element."""
        row = self.grid.rows[r]

        def inside(a, most):
            left = ceil_div(max(self.extent[a] - index[a], 0), self.pitch[a])
            return min(left, 1 if self.grid.merged[a] else most)

        lines, columns = inside(1, row.lines), inside(2, row.columns)
        return (lines, columns) if index[0] < self.extent[0] and lines and columns else None


def views_of(grid, member):
    return [View(grid, member, part) for part in range(parts_of(member))]
