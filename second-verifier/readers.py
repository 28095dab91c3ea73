"""What reads a tensor, row by row, and the chains that add its rows up (§8.3, §8.4)."""

from types import SimpleNamespace as Record

from grid import Grid, demand_of
from maps import AXES, GATE, TAPS, WEIGHTS, axis_taps, residues, strides
from projection import UNIT, Interner, over, power, rho, sigma, times

PLACES, INPUT, OUTPUT, TERM = range(4)


def boundary_reader(kind):
    return Record(kind=kind, map=None, is_weighted=False)


def term_reader(graph, ids, layer, t):
    term = graph.layers[layer].terms[t]
    return Record(
        kind=TERM, id=ids[layer].terms[t], map=term.map, is_weighted=term.map.kernel != TAPS,
        features=graph.tensors[graph.layers[layer].output].features,
    )  # fmt: skip


def readers_of(graph, ids, tensor):
    """Terms in order, then the claim on an output."""
    readers = [
        term_reader(graph, ids, i, t)
        for i, layer in enumerate(graph.layers)
        for t, term in enumerate(layer.terms)
        if term.input == tensor
    ]
    return readers + [boundary_reader(OUTPUT)] * (tensor in graph.outputs)


# Readings: a row's part in a chain, or nothing


def read(reader, grid, channel, r):
    if reader.kind == TERM:
        return read_term(reader, grid, channel, r)
    return read_place(reader.kind, grid, channel, r)


def read_place(kind, grid, channel, r):
    """A chain that every element enters once."""
    feature, index = grid.base(channel, r)
    flat = strides(grid.extent)
    units = [sigma(a, 1) if kind == PLACES else sigma(2, flat[a]) for a in range(AXES)]
    base = rho(feature if kind == OUTPUT else grid.features - 1 - feature)
    for unit, i in zip(units, index):
        base = times(base, power(unit, i))
    line, column = (
        UNIT if grid.merged[a] else power(units[a], grid.period[a]) for a in (1, 2)
    )
    row = grid.rows[r]
    pattern = grid.segment, (0, row.lines), (0, row.columns), line, column, ()
    return Record(base=base, factor=1, pattern=pattern, weight=None)


def read_term(reader, grid, channel, r):
    map = reader.map
    feature, index = grid.base(channel, r)
    # The channel as the map counts them.
    seen = feature
    for a in range(AXES):
        if map.merged[a]:
            seen = seen * grid.extent[a] + index[a]
    local = seen - map.first_input
    group = local // map.inputs
    if not 0 <= group < map.groups:
        return None
    axes = [read_axis(map, grid, a, index[a], r) for a in range(AXES)]
    if None in axes:
        return None
    base = rho(reader.features - map.first_output - (group + 1) * map.outputs)
    residue = 0
    for a, axis in enumerate(axes):
        base = times(base, sigma(a, axis.exponent))
        residue = residue * map.axes[a].stride + axis.residue
    factor, polynomial, weight = 1, (), None
    if map.kernel == WEIGHTS:
        weight = local * residues(map) + residue
    elif map.kernel == GATE:
        weight = local
        base = times(base, tap_monomial([axis.taps[0] for axis in axes]))
    else:
        polynomial = tap_polynomial(map, axes)
        if len(polynomial) == 1:
            ((factor, monomial),) = polynomial
            base, polynomial = times(base, monomial), ()
    line, column = sigma(1, axes[1].step), sigma(2, axes[2].step)
    pattern = grid.segment, axes[1].places, axes[2].places, line, column, polynomial
    return Record(base=base, factor=factor, pattern=pattern, weight=weight)


def tap_monomial(taps):
    return (0, *(exponent for _, exponent in taps))


def tap_polynomial(map, axes):
    """The kernel's taps on a residue."""
    h, w = map.axes[1].taps, map.axes[2].taps
    return tuple(
        (map.taps[(z[0] * h + y[0]) * w + x[0]], tap_monomial((z, y, x)))
        for z in axes[0].taps
        for y in axes[1].taps
        for x in axes[2].taps
    )


def read_axis(map, grid, a, index, r):
    """How a map reads an axis at row `r`, whose first lane has this index."""
    axis = map.axes[a]
    if map.merged[a]:
        # The map sees an axis of one index.
        taps = axis_taps(axis, 0)
        return Record(exponent=0, step=0, residue=0, places=(0, 1), taps=taps) if taps else None
    period, used = 1, 1
    if a > 0 and not grid.merged[a]:
        row = grid.rows[r]
        period, used = grid.period[a], row.lines if a == 1 else row.columns
    if axis.stride > 1:
        exponent, residue = divmod(index, axis.stride)
        step = period // axis.stride
    else:
        exponent, residue = axis.expand * index, 0
        step = axis.expand * period
    # Places of the row within the window.
    places = tuple(min(max(-(-(end - index) // period), 0), used) for end in (axis.start, axis.to))
    taps = axis_taps(axis, residue)
    if places[0] >= places[1] or not taps:
        return None
    return Record(exponent=exponent, step=step, residue=residue, places=places, taps=taps)


# Chains


class Walk:
    """Walks the rows of a chain in order, from any channel on."""

    def __init__(self, reader, grid, last=None):
        self.reader, self.grid, self.previous = reader, grid, None
        self.last = last or last_base(reader, grid)

    def next(self, channel, r):
        """The ratio that carries the sum of the rows above on, and the reading; its pattern with the
        chain's base."""
        reading = read(self.reader, self.grid, channel, r)
        if reading is None:
            return (None if self.previous is None else UNIT), None
        ratio = None if self.previous is None else over(self.previous, reading.base)
        self.previous = reading.base
        *pattern, base = reading.pattern
        base = tuple((factor, times(m, self.last)) for factor, m in base or ((1, UNIT),))
        reading.pattern = (*pattern, base)
        return ratio, reading


def last_base(reader, grid):
    """The monomial of the last row that is read."""
    for channel in reversed(range(grid.channels)):
        for r in reversed(range(len(grid.rows))):
            reading = read(reader, grid, channel, r)
            if reading is not None:
                return reading.base
    return UNIT


def samples(reader, grid):
    """Stretches of channels in which every step occurs that rows of this chain make."""
    n = grid.channels
    if n <= 16 or grid.is_merged:
        return [range(n)]
    found = {0, 1, n - 1}
    if reader.kind == TERM:
        first, size = reader.map.first_input, reader.map.inputs
        end = first + size * reader.map.groups
        found |= {first, first + 1, first + size, end - 1, end}
    return [range(max(c - 1, 0), c + 1) for c in sorted(found) if c < n]


class ChainLists:
    """The ratios and patterns of chains that share columns, in order of first use."""

    def __init__(self):
        self.ratios, self.patterns = Interner(), Interner()

    def add(self, reader, grid):
        last = last_base(reader, grid)
        for sample in samples(reader, grid):
            walk = Walk(reader, grid, last)
            for channel in sample:
                for r in range(len(grid.rows)):
                    ratio, reading = walk.next(channel, r)
                    if ratio is not None:
                        self.ratios.add(ratio)
                    if reading is not None:
                        self.patterns.add(reading.pattern)

    def steps(self, reader, grid):
        """For each row of a chain: index of the ratio, (index of the pattern, factor), weight."""
        walk = Walk(reader, grid)
        for channel in range(grid.channels):
            for r in range(len(grid.rows)):
                ratio, reading = walk.next(channel, r)
                pattern = weight = None
                if reading is not None:
                    pattern, weight = (self.patterns[reading.pattern], reading.factor), reading.weight
                yield (None if ratio is None else self.ratios[ratio]), pattern, weight


# Factors that rows receive


def takes_of(graph, ids, layer, t):
    """How many rows receive each factor of a term, by index; the list repeats."""
    reader = term_reader(graph, ids, layer, t)
    map, tensor = reader.map, graph.layers[layer].terms[t].input
    # The number of lanes does not matter: a row receives what the rows above have not.
    grid = Grid(graph.tensors[tensor], demand_of(graph, tensor), 2**32 - 1)
    # Without merged axes all channels are read alike.
    channels, period = [map.first_input], residues(map)
    if grid.is_merged:
        channels, period = range(grid.channels), map.groups * map.inputs * residues(map)
    counts, held = [0] * period, None
    for channel in channels:
        for r in range(len(grid.rows)):
            reading = read(reader, grid, channel, r)
            if reading is not None and reading.weight is not None:
                if reading.weight != held:
                    counts[reading.weight] += 1
                held = reading.weight
    return counts


def gate_counts(graph, ids, tensor):
    """How many rows receive each channel of a tensor as a gate; empty if none do."""
    counts = []
    for i, layer in enumerate(graph.layers):
        for t, term in enumerate(layer.terms):
            if term.map.kernel == GATE and term.map.gate == tensor:
                counts = counts or [0] * graph.tensors[tensor].features
                takes = takes_of(graph, ids, i, t)
                for group in range(term.map.groups):
                    counts[group] += takes[group % len(takes)]
    return counts
