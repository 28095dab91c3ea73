"""How the elements of a tensor lie in rows and lanes (§8.2)."""

from itertools import product
from math import lcm, prod
from types import SimpleNamespace as Record

from maps import AXES, period_of


def ceil_div(a, b):
    return -(-a // b)


def demand_of(graph, tensor):
    """Axes that are part of the channel, the period of the phases of each axis, and the positions of a
    channel and of its longest phase."""
    extent = graph.tensors[tensor].extent
    merged, period = [False] * AXES, [1] * AXES
    for layer in graph.layers:
        for term in layer.terms:
            if term.input == tensor:
                for a, axis in enumerate(term.map.axes):
                    if extent[a] > 1:
                        merged[a] |= term.map.merged[a]
                        period[a] = min(lcm(period[a], period_of(axis)), extent[a])
    period = [1 if m else n for m, n in zip(merged, period)]
    inner = [1 if m else n for m, n in zip(merged, extent)]
    phase = prod(map(ceil_div, inner, period))
    return Record(
        merged=merged, period=period, inner=inner, positions=prod(inner), phase=phase
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


def rows_for(tensor, demand, lanes):
    """Rows of a tensor in a layout of at most so many lanes."""
    segment, stack = shape_of(demand, lanes)
    rows = tensor.features * prod(tensor.extent) // demand.positions
    for axis, unit in enumerate((1, stack, segment)):
        phases = phases_of(demand, axis)
        rows *= sum(ceil_div(places_of(demand, axis, phase), unit) for phase in phases)
    return rows


class Grid:
    """The rows of a channel: each has the index of its first lane, and how many lines and columns it
    uses. Rows of a tensor: channel by channel."""

    def __init__(self, tensor, demand, lanes):
        self.features, self.extent = tensor.features, tensor.extent
        self.merged, self.period = demand.merged, demand.period
        self.is_merged = any(self.merged)
        self.channels = tensor.features * prod(tensor.extent) // demand.positions
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
        """The feature and the index on every axis of the first lane of row `r` of a channel."""
        index = list(self.rows[r].index)
        for axis in reversed(range(AXES)):
            if self.merged[axis]:
                channel, index[axis] = divmod(channel, self.extent[axis])
        return channel, index
