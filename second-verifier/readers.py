"""What reads a tensor, row by row, and the chains that add its rows up (§8.3, §8.4)."""

from types import SimpleNamespace as Record

from grid import Grid, demand_of, views_of
from groups import COPY
from maps import AXES, GATE, TAPS, WEIGHTS, axis_taps, residues, strides
from projection import UNIT, Interner, over, power, rho, sigma, times

PLACES, INPUT, OUTPUT, TERM = range(4)


def boundary_reader(kind):
    return Record(kind=kind, map=None, is_weighted=False)


def term_reader(graph, terms, layer, t):
    map = graph.layers[layer].terms[t].map
    return Record(
        kind=TERM, id=terms.layers[layer].terms[t], map=map, is_weighted=map.kernel != TAPS,
        features=graph.tensors[graph.layers[layer].output].features,
    )  # fmt: skip


def readers_of(graph, terms, group):
    """For each member its terms in order, then the claim on an output, then that on a copy's own sums; each
    with the index of the member."""
    readers = []
    for i, member in enumerate(group.members):
        readers += [(i, term_reader(graph, terms, *place)) for place in terms.readers[member.tensor]]
        if member.tensor in graph.outputs:
            readers.append((i, boundary_reader(OUTPUT)))
        if member.role == COPY:
            readers.append((i, boundary_reader(PLACES)))
    return readers


class Tenant:
    """A member of a group in the rows of its grid."""

    def __init__(self, grid, group, index):
        self.grid, self.index = grid, index
        self.tensor = group.members[index].tensor
        self.views = views_of(grid, group.members[index])


# Readings: a row's part in a chain, or nothing. A form is a tuple of (part, pattern).


def read(reader, tenant, channel, r):
    """The reading of a row, from those of its parts. All have the same weight, if any."""
    readings = [read_part(reader, view, channel, r) for view in tenant.views]
    parts = [(i, part) for i, part in enumerate(readings) if part is not None]
    if not parts:
        return None
    first = parts[0][1]
    if len(parts) == 1:
        factor, form = first.factor, ((parts[0][0], first.pattern),)
    else:
        factor, form = 1, tuple((i, relative_to(first.base, part)) for i, part in parts)
    return Record(base=first.base, factor=factor, form=form, weight=first.weight)


def relative_to(base, part):
    """The pattern of a part in a row that stands at another's base."""
    *pattern, polynomial = part.pattern
    return (*pattern, multiplied(polynomial, part.factor, over(part.base, base)))


def multiplied(polynomial, factor, monomial):
    """An empty polynomial is 1."""
    return tuple((f * factor, times(m, monomial)) for f, m in polynomial or ((1, UNIT),))


def read_part(reader, view, channel, r):
    if reader.kind == TERM:
        return read_term(reader, view, channel, r)
    return read_place(reader.kind, view, channel, r)


def read_place(kind, view, channel, r):
    """A chain that every element enters once."""
    grid, (feature, index) = view.grid, view.base(channel, r)
    used = view.used(r, index)
    if used is None:
        return None
    flat = strides(view.extent)
    units = [sigma(a, 1) if kind == PLACES else sigma(2, flat[a]) for a in range(AXES)]
    base = rho(feature if kind == OUTPUT else grid.features - 1 - feature)
    for unit, i in zip(units, index):
        base = times(base, power(unit, i))
    line, column = (
        UNIT if grid.merged[a] else power(units[a], view.pitch[a]) for a in (1, 2)
    )
    pattern = grid.segment, (0, used[0]), (0, used[1]), line, column, ()
    return Record(base=base, factor=1, pattern=pattern, weight=None)


def read_term(reader, view, channel, r):
    map = reader.map
    feature, index = view.base(channel, r)
    used = view.used(r, index)
    if used is None:
        return None
    # The channel as the map counts them.
    seen = feature
    for a in range(AXES):
        if map.merged[a]:
            seen = seen * view.extent[a] + index[a]
    local = seen - map.first_input
    group = local // map.inputs
    if not 0 <= group < map.groups:
        return None
    axes = [read_axis(map, view, a, index[a], used) for a in range(AXES)]
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
    pattern = view.grid.segment, axes[1].places, axes[2].places, line, column, polynomial
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


def read_axis(map, view, a, index, used):
    """How a map reads an axis of a row whose first lane has this index, and which uses so many lines and
    columns."""
    axis = map.axes[a]
    if map.merged[a]:
        # The map sees an axis of one index.
        taps = axis_taps(axis, 0)
        return Record(exponent=0, step=0, residue=0, places=(0, 1), taps=taps) if taps else None
    pitch, most = 1, 1
    if a > 0 and not view.grid.merged[a]:
        pitch, most = view.pitch[a], used[a - 1]
    if axis.stride > 1:
        exponent, residue = divmod(index, axis.stride)
        step = pitch // axis.stride
    else:
        exponent, residue = axis.expand * index, 0
        step = axis.expand * pitch
    # Places of the row within the window.
    places = tuple(min(max(-(-(end - index) // pitch), 0), most) for end in (axis.start, axis.to))
    taps = axis_taps(axis, residue)
    if places[0] >= places[1] or not taps:
        return None
    return Record(exponent=exponent, step=step, residue=residue, places=places, taps=taps)


# Chains


class Walk:
    """Walks the rows of a chain in order, from any channel on."""

    def __init__(self, reader, tenant, last=None):
        self.reader, self.tenant, self.previous = reader, tenant, None
        self.last = last or last_base(reader, tenant)

    def next(self, channel, r):
        """The ratio that carries the sum of the rows above on, and the reading; its form with the chain's
        base."""
        reading = read(self.reader, self.tenant, channel, r)
        if reading is None:
            return (None if self.previous is None else UNIT), None
        ratio = None if self.previous is None else over(self.previous, reading.base)
        self.previous = reading.base
        reading.form = tuple(
            (part, (*pattern, multiplied(base, 1, self.last)))
            for part, (*pattern, base) in reading.form
        )
        return ratio, reading


def last_base(reader, tenant):
    """The monomial of the last row that is read."""
    for channel in reversed(range(tenant.grid.channels)):
        for r in reversed(range(len(tenant.grid.rows))):
            reading = read(reader, tenant, channel, r)
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
    """The ratios of chains that share columns, and their forms, each with the member it reads; in order of
    first use."""

    def __init__(self):
        self.ratios, self.forms = Interner(), Interner()

    def add(self, reader, tenant):
        last = last_base(reader, tenant)
        for sample in samples(reader, tenant.grid):
            walk = Walk(reader, tenant, last)
            for channel in sample:
                for r in range(len(tenant.grid.rows)):
                    ratio, reading = walk.next(channel, r)
                    if ratio is not None:
                        self.ratios.add(ratio)
                    if reading is not None:
                        self.forms.add((tenant.index, reading.form))

    def steps(self, reader, tenant):
        """For each row of a chain: index of the ratio, (index of the form, factor), weight."""
        walk = Walk(reader, tenant)
        for channel in range(tenant.grid.channels):
            for r in range(len(tenant.grid.rows)):
                ratio, reading = walk.next(channel, r)
                form = weight = None
                if reading is not None:
                    index = self.forms[tenant.index, reading.form]
                    form, weight = (index, reading.factor), reading.weight
                yield (None if ratio is None else self.ratios[ratio]), form, weight


# Factors that rows receive


def takes_of(graph, terms, layer, t):
    """How many rows receive each factor of a term, by index; the list repeats."""
    reader = term_reader(graph, terms, layer, t)
    map = reader.map
    group, index = terms.groups.place[graph.layers[layer].terms[t].input]
    # The number of lanes does not matter: a row receives what the rows above have not.
    grid = Grid(demand_of(graph, terms, group), 2**32 - 1)
    tenant = Tenant(grid, group, index)
    # Without merged axes all channels are read alike.
    channels, period = [map.first_input], residues(map)
    if grid.is_merged:
        channels, period = range(grid.channels), map.groups * map.inputs * residues(map)
    counts, held = [0] * period, None
    for channel in channels:
        for r in range(len(grid.rows)):
            reading = read(reader, tenant, channel, r)
            if reading is not None and reading.weight is not None:
                if reading.weight != held:
                    counts[reading.weight] += 1
                held = reading.weight
    return counts


def gate_counts(graph, terms, tensor):
    """How many rows receive each channel of a tensor as a gate; empty if none do."""
    counts = []
    for layer, t in terms.gated[tensor]:
        counts = counts or [0] * graph.tensors[tensor].features
        takes = takes_of(graph, terms, layer, t)
        for group in range(graph.layers[layer].terms[t].map.groups):
            counts[group] += takes[group % len(takes)]
    return counts
