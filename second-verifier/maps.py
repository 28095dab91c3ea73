"""Layers, their linear maps between tensors, and their frames (§7)."""

from math import gcd, prod
from types import SimpleNamespace as Record

AXES = 3
# Kernels.
WEIGHTS, TAPS, GATE = range(3)
# What a layer makes of its terms.
SUM, MAX = range(2)
# A function without parameters.
IDENTITY = (0,)


def sums_of(graph):
    """The layers that add up, with their index."""
    return [(i, layer) for i, layer in enumerate(graph.layers) if layer.combine == SUM]


def strides(extent):
    """Elements from one index of an axis to the next."""
    return extent[1] * extent[2], extent[2], 1


def view(map, tensor):
    """Channels and extents of a tensor as the map sees it."""
    merged = prod(n for n, m in zip(tensor.extent, map.merged) if m)
    return tensor.features * merged, [1 if m else n for n, m in zip(tensor.extent, map.merged)]


def shifted(axis, j, tap):
    """`stride·q` for input `j` at a tap."""
    return axis.expand * j - axis.dilation * tap + axis.pad


def taps_of(map):
    return prod(axis.taps for axis in map.axes)


def weight_count(map):
    """Learned weights."""
    return map.groups * map.inputs * map.outputs * taps_of(map) if map.kernel == WEIGHTS else 0


def repeats(map):
    """How many input positions an output position may read through one tap."""
    return prod(axis.to - axis.start for axis in map.axes if axis.expand == 0)


def period_of(axis):
    """After how many inputs an axis is read alike again."""
    return axis.stride // gcd(axis.stride, max(axis.expand, 1))


def overlaps(axis):
    """Whether several of several phases' taps fall on one phase."""
    period = axis.stride // gcd(axis.stride, axis.dilation)
    return axis.stride > 1 and period > 1 and axis.taps > period


def residues(map):
    """Phases of a channel that receive a factor of their own."""
    return prod(axis.stride for axis in map.axes) if map.kernel == WEIGHTS else 1


def axis_taps(axis, residue):
    """The taps that fall on a residue, each with the exponent it adds."""
    found = []
    for tap in range(axis.taps):
        at = residue - axis.dilation * tap + axis.pad
        if at % axis.stride == 0:
            found.append((tap, at // axis.stride))
    return found


def taps_on(map, residue):
    """The taps of the kernel on one phase, each with its exponents."""
    sizes = [axis.stride for axis in map.axes]
    phase = [residue // (sizes[1] * sizes[2]) % sizes[0], residue // sizes[2] % sizes[1]]
    phase.append(residue % sizes[2])
    z, y, x = (axis_taps(axis, r) for axis, r in zip(map.axes, phase))
    h, w = map.axes[1].taps, map.axes[2].taps
    return [
        ((tz * h + ty) * w + tx, (ez, ey, ex)) for tz, ez in z for ty, ey in y for tx, ex in x
    ]


# What a term can add


def times(factor, interval):
    """The interval of factor·x, 0 among them: taps may lie outside the input."""
    ends = [factor * x for x in interval]
    return min(0, *ends), max(0, *ends)


def reach_of(graph, term):
    """What a term without learned weights adds to an accumulator at the least and at the most."""
    map, interval = term.map, graph.tensors[term.input].range
    if map.kernel == GATE:
        products = [times(g, interval) for g in graph.tensors[map.gate].range]
        lo, hi = min(lo for lo, _ in products), max(hi for _, hi in products)
    else:
        products = [times(factor, interval) for factor in map.taps]
        lo, hi = (sum(ends) for ends in zip(*products))
    return lo * repeats(map), hi * repeats(map)


# Frames


def frame_of(graph, layer):
    """The least box that holds the output and all that the products of the terms reach."""
    extent = graph.tensors[layer.output].extent
    lo, hi = [0] * AXES, list(extent)
    for term in layer.terms:
        for a, axis in enumerate(term.map.axes):
            first, last = shifted(axis, axis.start, axis.taps - 1), shifted(axis, axis.to - 1, 0)
            lo[a] = min(lo[a], -(-first // axis.stride))
            hi[a] = max(hi[a], last // axis.stride + 1)
    return Record(lo=lo, hi=hi, extent=extent)


def is_tight(frame):
    return frame.lo == [0] * AXES and frame.hi == list(frame.extent)

