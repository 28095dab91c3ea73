"""The quantised graph: what is valid (§7)."""

from math import prod

from errors import well_formed
from field import P
from floats import function_is_sound
from groups import Groups
from maps import (
    GATE, TAPS, WEIGHTS, frame_of, overlaps, shifted, sums_of, taps_of, view, weight_count,
)  # fmt: skip

MAX_EXTENT = 2**22
MAX_WEIGHTS = 2**30
MAX_ELEMENTS = 2**28
MAX_LAYERS = 4096
MAX_BOUNDARY = 64
MAX_TERMS = 4 * MAX_LAYERS
MAX_RANGE = 2**16
MAX_TABLE_ENTRIES = 2**20
MAX_FRAC_BITS = 64
MAX_VALUE = 2**24
MAX_TAPS = MAX_STEP = 4096
MAX_PAD = 2**22
MAX_REACH = 2**23
MAX_PHASES = 2**12
MAX_RUNS = 2**22
MAX_READ = 2**32
MAX_PHASED_TAPS = 2**26
MAX_LINES = 2**22


def check_graph(graph):
    tensors, layers, inputs = graph.tensors, graph.layers, graph.inputs
    # 1. Counts.
    for some, most in ((layers, MAX_LAYERS), (inputs, MAX_BOUNDARY), (graph.outputs, MAX_BOUNDARY)):
        well_formed(1 <= len(some) <= most, "the graph has too few or too many parts")
    well_formed(1 <= len(tensors) <= 2 * MAX_LAYERS, "the graph has too many tensors")
    well_formed(len(tensors) == len(inputs) + len(layers), "tensors do not match the layers")
    # 2. Tensors.
    for i, tensor in enumerate(tensors):
        well_formed(_tensor_is_sound(tensor), f"tensor {i} is out of bounds")
    # 3. Sizes and wiring.
    terms = [term for layer in layers for term in layer.terms]
    well_formed(len(terms) <= MAX_TERMS, "the graph has too many terms")
    weights = sum(weight_count(t.map) + t.map.groups * t.map.outputs for t in terms)
    well_formed(weights <= MAX_WEIGHTS, "the graph has too many weights")
    elements = sum(t.features * prod(t.extent) for t in tensors)
    well_formed(elements <= MAX_ELEMENTS, "the graph has too many elements")
    _check_wiring(graph)
    _check_rows(graph)
    # 4. and 5. Layers.
    for i, layer in enumerate(layers):
        well_formed(_layer_is_sound(layer, tensors[layer.output]), f"layer {i} is out of bounds")
        span = (length(layer.domain) + 2 * (2**layer.excess_bits - 1)) * 2**layer.shift
        well_formed(span <= P, f"layer {i}: an accumulator modulo p has more than one output")
    # Maxima.
    Groups(graph)


def _check_wiring(graph):
    tensors, inputs = graph.tensors, graph.inputs
    well_formed(inputs == list(range(len(inputs))), "inputs are not the first tensors")
    read = set()
    for i, layer in enumerate(graph.layers):
        in_order = layer.output == len(inputs) + i and layer.terms
        well_formed(in_order, f"layer {i} is not in order, or empty")
        for term in layer.terms:
            operands = [term.input] + [term.map.gate] * (term.map.kernel == GATE)
            before = all(x < layer.output for x in operands)
            well_formed(before, f"layer {i} reads a tensor before it is written")
            read.update(operands)
            fits = _map_is_sound(term.map, tensors[term.input], tensors[layer.output])
            if term.map.kernel == GATE:
                gate = tensors[term.map.gate]
                fits = fits and prod(gate.extent) == 1 and gate.features >= term.map.groups
            well_formed(fits, f"a map of layer {i} does not fit its tensors")
    for output in graph.outputs:
        well_formed(len(inputs) <= output < len(tensors), "an output is not written by a layer")
    well_formed(len(set(graph.outputs)) == len(graph.outputs), "an output is named twice")
    unread = set(range(len(tensors))) - read - set(graph.outputs)
    well_formed(not unread, "a tensor is never read")


def _check_rows(graph):
    """Bounds that keep us from listing what no table has room for."""
    lines = elements = phased_taps = runs = reads = 0
    for _, layer in sums_of(graph):
        output, frame = graph.tensors[layer.output], frame_of(graph, layer)
        z, y, x = (hi - lo for lo, hi in zip(frame.lo, frame.hi))
        depth, height, width = output.extent
        across, down = z * y - depth * height, depth * (x - width)
        lines += output.features * (across + down)
        elements += output.features * (across * x + down * height)
    for layer in graph.layers:
        for term in layer.terms:
            phases, taps = prod(axis.stride for axis in term.map.axes), taps_of(term.map)
            operand = graph.tensors[term.input]
            phased_taps += taps * phases
            runs += term.map.groups * term.map.inputs * phases
            reads += taps * operand.features * prod(operand.extent)
    well_formed(phased_taps <= MAX_PHASED_TAPS, "too many taps on all phases")
    well_formed(runs <= MAX_RUNS, "too many runs of weights")
    well_formed(reads <= MAX_READ, "too many elements are read through taps")
    well_formed(lines <= MAX_LINES, "too many lines outside of images")
    well_formed(elements <= MAX_ELEMENTS, "too many elements outside of images")


def length(interval):
    return interval[1] - interval[0] + 1


def ranged_bits(graph, tensor):
    """The bits `k` of a graph input with `2^k` values, `k ≥ 1`; 0 for other tensors (§8.1)."""
    values = length(graph.tensors[tensor].range)
    is_ranged = tensor < len(graph.inputs) and values & (values - 1) == 0
    return values.bit_length() - 1 if is_ranged else 0


def remainder_and_excess(graph, tensor):
    """How many bits of a tensor's rows are in limbs (§8.1)."""
    if tensor < len(graph.inputs):
        return ranged_bits(graph, tensor), 0
    layer = graph.layers[tensor - len(graph.inputs)]
    return layer.shift, layer.excess_bits


def _interval_is_sound(interval):
    return 1 <= length(interval) and max(abs(interval[0]), abs(interval[1])) <= MAX_VALUE


def _tensor_is_sound(t):
    e = t.encoding
    if e.uniform:
        encoding = abs(e.frac_bits) <= MAX_FRAC_BITS
    else:
        encoding = (
            len(e.frac_bits) == len(e.zero_point) == t.features
            and all(abs(f) <= MAX_FRAC_BITS for f in e.frac_bits)
            and all(abs(z) <= 2**30 for z in e.zero_point)
        )
    sizes = [t.features, *t.extent]
    on_axes = [prod(size for axis, size in t.dims if axis == i) for i in range(len(sizes))]
    return (
        all(1 <= n <= MAX_EXTENT for n in sizes)
        and prod(sizes) <= MAX_ELEMENTS
        and prod(t.shape) == prod(sizes)
        and on_axes == sizes
        and _interval_is_sound(t.range)
        and length(t.range) <= MAX_RANGE
        and encoding
    )


def _axis_is_sound(axis, size):
    return (
        1 <= axis.taps <= MAX_TAPS
        and 1 <= axis.stride <= MAX_STEP
        and 1 <= axis.dilation <= MAX_STEP
        and axis.expand <= MAX_STEP
        and (axis.stride == 1 or axis.expand == 1)
        and abs(axis.pad) <= MAX_PAD
        and axis.start < axis.to <= size
        and abs(shifted(axis, axis.start, axis.taps - 1)) <= MAX_REACH
        and abs(shifted(axis, axis.to - 1, 0)) <= MAX_REACH
    )


def _kernel_is_sound(map):
    count = taps_of(map)
    if map.kernel == WEIGHTS:
        return count <= MAX_TAPS
    if (map.inputs, map.outputs) != (1, 1):
        return False
    if map.kernel == TAPS:
        small = all(abs(f) <= MAX_VALUE for f in map.taps)
        apart = not any(overlaps(axis) for axis in map.axes)
        return len(map.taps) == count <= MAX_TAPS and small and apart
    return count == 1


def _map_is_sound(map, x, y):
    channels, extent = view(map, x)
    read, written = map.groups * map.inputs, map.groups * map.outputs
    phases = prod(axis.stride for axis in map.axes)
    return (
        phases <= MAX_PHASES
        and all(_axis_is_sound(axis, size) for axis, size in zip(map.axes, extent))
        and _kernel_is_sound(map)
        and 0 < read <= channels - map.first_input
        and 0 < written <= y.features - map.first_output
    )


def _layer_is_sound(layer, output):
    return (
        layer.shift <= 30
        and layer.excess_bits <= 30
        and _interval_is_sound(layer.domain)
        and _interval_is_sound(layer.image)
        and length(layer.domain) <= MAX_TABLE_ENTRIES
        and function_is_sound(layer.function)
        and abs(layer.in_frac_bits) <= MAX_FRAC_BITS
        and abs(layer.out_frac_bits) <= MAX_FRAC_BITS
        and layer.image == output.range
        and output.encoding.uniform
        and output.encoding.frac_bits == layer.out_frac_bits
    )
