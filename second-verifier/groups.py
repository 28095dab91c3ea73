"""Groups: tensors that lie in the same rows, because maxima are taken of them there (§7)."""

from itertools import product
from math import lcm, prod
from types import SimpleNamespace as Record

from errors import well_formed
from maps import AXES, GATE, IDENTITY, MAX, SUM, TAPS, WEIGHTS, axis_taps, reach_of

MAX_PARTS = 16
MAX_SOURCES = 32
MAX_MEMBERS = 64
MAX_COMPARED = 256
# What a member's elements are.
HOST, COPY, MAXIMUM = range(3)


class Groups:
    """`all`: the groups in order of their hosts. A group has `members`, the host first, the others ascending,
    and `extent`, its units on each axis. `place`: for each tensor its group, and which member it is.

    A member has `unit[a]` indices in a unit of axis `a`: index `i` is part `i mod unit[a]` of unit
    `⌊i/unit[a]⌋`."""

    def __init__(self, graph):
        bound = Bound(graph)
        for i, layer in enumerate(graph.layers):
            if layer.combine == MAX:
                well_formed(is_of_windows(graph, layer), f"layer {i} is no maximum of whole windows")
                bound.join(graph, layer)
        self._gather(graph, bound)
        for group in self.all:
            if len(group.members) > 1:
                self._find_units(graph, group)
        self._check_readers(graph)

    def of(self, tensor):
        """The group of a tensor, and the member it is."""
        group, member = self.place[tensor]
        return group, group.members[member]

    def _gather(self, graph, bound):
        """Members with their pitches for units."""
        tensors = range(len(graph.tensors))
        hosts = [t for t in tensors if bound.host[t] == t]
        by_host = {host: Record(members=[], extent=graph.tensors[host].extent) for host in hosts}
        self.all, self.place = list(by_host.values()), [None] * len(tensors)
        # A copy may come before its host.
        for tensor in hosts + [t for t in tensors if bound.host[t] != t]:
            group = by_host[bound.host[tensor]]
            self.place[tensor] = group, len(group.members)
            role = HOST if bound.host[tensor] == tensor else COPY
            if tensor >= len(graph.inputs) and graph.layers[tensor - len(graph.inputs)].combine == MAX:
                role = MAXIMUM
            group.members.append(Record(
                tensor=tensor, role=role, unit=bound.pitch[tensor],
                extent=graph.tensors[tensor].extent,
            ))  # fmt: skip

    def _find_units(self, graph, group):
        members = group.members
        well_formed(len(members) <= MAX_MEMBERS, "a group has too many tensors")
        unit = [lcm(*(m.unit[a] for m in members)) for a in range(AXES)]
        well_formed(prod(unit) <= MAX_PARTS, "a unit has too many parts")
        for m in members:
            m.unit = [n // pitch for n, pitch in zip(unit, m.unit)]
        group.extent = units_of(members[0])
        for m in members:
            fits = all(n <= most for n, most in zip(units_of(m), group.extent))
            well_formed(fits, "a tensor of a group has more units than its host")
        compared = 0
        for m in members:
            if m.role == MAXIMUM:
                layer = graph.layers[m.tensor - len(graph.inputs)]
                m.sources = [self._sources(layer, m, part) for part in range(parts_of(m))]
                compared += sum(map(len, m.sources))
                well_formed(compared <= MAX_COMPARED, "a unit has too many elements to compare")

    def _sources(self, layer, member, part):
        """What a part of a maximum is taken of: (member, part) of the same unit."""
        sources, sub = [], sub_of(member, part)
        for term in layer.terms:
            group, index = self.place[term.input]
            unit, axes = group.members[index].unit, term.map.axes
            for tap in product(*(range(axis.taps) for axis in axes)):
                at = [x.stride * s + x.dilation * t - x.pad for x, s, t in zip(axes, sub, tap)]
                within = all(0 <= i < n for i, n in zip(at, unit))
                well_formed(within, f"a window of tensor {member.tensor} lies in two units")
                few = len(sources) < MAX_SOURCES
                well_formed(few, f"a window of tensor {member.tensor} has too many elements")
                sources.append((index, (at[0] * unit[1] + at[1]) * unit[2] + at[2]))
        return sources

    def _check_readers(self, graph):
        """What reads a member of several parts must read one channel, with one weight, in all parts of a
        row; a gate lies alone."""
        for i, layer in enumerate(graph.layers):
            for term in layer.terms:
                _, member = self.of(term.input)
                alike = reads_alike(term.map, member.unit)
                well_formed(alike, f"layer {i} reads the parts of a unit otherwise than each other")
                if term.map.kernel == GATE:
                    group, _ = self.of(term.map.gate)
                    well_formed(len(group.members) == 1, f"the gate of layer {i} lies in a group")


class Bound:
    """Which tensors belong together, as far as is known: the host of each, and for how many indices of the
    host it has one (its pitch)."""

    def __init__(self, graph):
        count = len(graph.tensors)
        self.host, self.pitch = list(range(count)), [[1] * AXES] * count
        self.is_bound = [False] * count

    def join(self, graph, layer):
        """Puts a maximum, and the copies it reads, into the group of its first term."""
        first = layer.terms[0]
        host = self.host[first.input]
        pitch = times(self.pitch[first.input], strides_of(first))
        self._bind(layer.output, host, pitch)
        for term in layer.terms[1:]:
            tensor, strides = term.input, strides_of(term)
            if self.host[tensor] != host:
                divides = all(p % s == 0 for p, s in zip(pitch, strides))
                free = divides and not self.is_bound[tensor] and is_copy(graph, tensor)
                well_formed(free, f"a maximum reads tensor {tensor}, which cannot lie in its rows")
                self._bind(tensor, host, [p // s for p, s in zip(pitch, strides)])
            same = times(self.pitch[tensor], strides) == pitch
            well_formed(same, "the terms of a maximum have other steps")

    def _bind(self, tensor, host, pitch):
        self.host[tensor], self.pitch[tensor] = host, pitch
        self.is_bound[tensor] = self.is_bound[host] = True


def strides_of(term):
    return [axis.stride for axis in term.map.axes]


def times(pitch, strides):
    pitch = [p * s for p, s in zip(pitch, strides)]
    well_formed(max(pitch) <= MAX_PARTS, "a unit has too many parts")
    return pitch


def units_of(member):
    return [-(-n // unit) for n, unit in zip(member.extent, member.unit)]


def parts_of(member):
    """Its elements in a unit."""
    return prod(member.unit)


def sub_of(member, part):
    """The index within a unit of a part; depth first."""
    _, h, w = member.unit
    return [part // (h * w), part // w % h, part % w]


def compares(group):
    """Whether anything is compared: a window of a single element is not."""
    maxima = (m for m in group.members if m.role == MAXIMUM)
    return any(len(sources) > 1 for m in maxima for sources in m.sources)


def reads_alike(map, unit):
    """Whether the parts of a unit that a term reads are of one channel, and have one weight."""
    if any(n > 1 and merged for n, merged in zip(unit, map.merged)):
        return False
    strided = [(axis, n) for axis, n in zip(map.axes, unit) if n > 1 and axis.stride > 1]
    return map.kernel != WEIGHTS or all(reads_one_phase(axis, n) for axis, n in strided)


def reads_one_phase(axis, n):
    """Whether a map reads one phase of its stride, at the same parts of every unit of `n` indices."""
    read = {sub % axis.stride for sub in range(n) if axis_taps(axis, sub % axis.stride)}
    return n % axis.stride == 0 and len(read) <= 1


# Layers


def is_of_windows(graph, layer):
    """Whether a maximum is one of whole windows of each channel, of tensors on its own scale."""
    output = graph.tensors[layer.output]
    terms = ((term.map, graph.tensors[term.input]) for term in layer.terms)
    return stands_as_it_is(layer) and all(
        is_plain(map, input, output)
        and all(is_whole(*of_axis) for of_axis in zip(map.axes, input.extent, output.extent))
        and input.encoding == output.encoding
        and layer.domain[0] <= input.range[0] <= input.range[1] <= layer.domain[1]
        for map, input in terms
    )


def stands_as_it_is(layer):
    """Whether nothing is done to what a layer makes of its terms, but that its domain bounds it."""
    return (
        (layer.shift, layer.excess_bits) == (0, 0)
        and layer.function == IDENTITY
        and layer.in_frac_bits == layer.out_frac_bits
        and layer.domain == layer.image
    )


def is_plain(map, input, output):
    """Whether a map reads every channel for itself."""
    return (
        map.kernel == TAPS
        and all(factor == 1 for factor in map.taps)
        and all(n == 1 for n, merged in zip(input.extent, map.merged) if merged)
        and (map.inputs, map.outputs, map.first_input, map.first_output) == (1, 1, 0, 0)
        and map.groups == input.features == output.features
    )


def is_whole(axis, inputs, outputs):
    """Whether all windows lie in the tensor."""
    last = axis.stride * (outputs - 1) + axis.dilation * (axis.taps - 1) - axis.pad
    return (
        (axis.expand, axis.start, axis.to) == (1, 0, inputs) and axis.pad <= 0 and last < inputs
    )


def is_copy(graph, tensor):
    """Whether a layer's sums are its outputs, whatever its inputs."""
    if tensor < len(graph.inputs):
        return False
    layer = graph.layers[tensor - len(graph.inputs)]
    if layer.combine != SUM or not stands_as_it_is(layer):
        return False
    if any(term.map.kernel == WEIGHTS for term in layer.terms):
        return False
    reaches = [reach_of(graph, term) for term in layer.terms]
    lo, hi = (sum(ends) for ends in zip(*reaches))
    return layer.domain[0] <= lo and hi <= layer.domain[1]
