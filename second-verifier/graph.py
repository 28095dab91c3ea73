"""The quantised graph: what is valid (§7)."""

from math import prod

from errors import well_formed
from field import P

MAX_EXTENT = 2**22
MAX_WEIGHTS = 2**30
MAX_ELEMENTS = 2**28
MAX_LAYERS = 4096
MAX_BOUNDARY = 64
MAX_ENTRIES = 2**16
MAX_FRAC_BITS = 64
MAX_VALUE = 2**24


def check_graph(graph):
    tensors, layers, inputs = graph.tensors, graph.layers, graph.inputs
    # 1. Counts.
    for some, most in ((layers, MAX_LAYERS), (inputs, MAX_BOUNDARY), (graph.outputs, MAX_BOUNDARY)):
        well_formed(1 <= len(some) <= most, "the graph has too few or too many parts")
    well_formed(1 <= len(tensors) <= 2 * MAX_LAYERS, "the graph has too many tensors")
    well_formed(len(graph.post) == len(graph.outputs), "post-operations do not match the outputs")
    well_formed(all(len(ops) <= 1 for ops in graph.post), "several operations after an output")
    well_formed(len(tensors) == len(inputs) + len(layers), "tensors do not match the layers")
    # 2. Tensors.
    for i, tensor in enumerate(tensors):
        well_formed(_tensor_is_sound(tensor), f"tensor {i} is out of bounds")
    # 3. Wiring.
    well_formed(inputs == list(range(len(inputs))), "inputs are not the first tensors")
    reads = [0] * len(tensors)
    for i, layer in enumerate(layers):
        wired = layer.output == len(inputs) + i and layer.input < layer.output
        well_formed(wired, f"layer {i} is not in order")
        same = tensors[layer.input].positions == tensors[layer.output].positions
        well_formed(same, f"layer {i} changes the number of positions")
        reads[layer.input] += 1
    for output in graph.outputs:
        well_formed(len(inputs) <= output < len(tensors), "an output is not written by a layer")
        reads[output] += 1
    well_formed(all(n == 1 for n in reads), "a tensor is not read exactly once")
    weights = sum(tensors[l.input].features * tensors[l.output].features for l in layers)
    well_formed(weights <= MAX_WEIGHTS, "the graph has too many weights")
    elements = sum(t.features * t.positions for t in tensors)
    well_formed(elements <= MAX_ELEMENTS, "the graph has too many elements")
    # 4. and 5. Layers.
    for i, layer in enumerate(layers):
        well_formed(_layer_is_sound(layer, tensors[layer.output]), f"layer {i} is out of bounds")
        span = (length(layer.domain) + 2 * (2**layer.excess_bits - 1)) * 2**layer.shift
        well_formed(span <= P, f"layer {i}: an accumulator modulo p has more than one output")


def length(interval):
    return interval[1] - interval[0] + 1


def ranged_bits(graph, tensor):
    """The bits `k` of a graph input with `2^k` values, `k ≥ 1`; 0 for other tensors (§8)."""
    values = length(graph.tensors[tensor].range)
    is_ranged = tensor < len(graph.inputs) and values & (values - 1) == 0
    return values.bit_length() - 1 if is_ranged else 0


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
    return (
        1 <= t.features <= MAX_EXTENT
        and 1 <= t.positions <= MAX_EXTENT
        and prod(t.shape) == t.features * t.positions
        and _interval_is_sound(t.range)
        and length(t.range) <= MAX_ENTRIES
        and encoding
    )


def _layer_is_sound(layer, output):
    return (
        layer.shift <= 30
        and layer.excess_bits <= 30
        and _interval_is_sound(layer.domain)
        and _interval_is_sound(layer.image)
        and length(layer.domain) <= MAX_ENTRIES
        and abs(layer.in_frac_bits) <= MAX_FRAC_BITS
        and abs(layer.out_frac_bits) <= MAX_FRAC_BITS
        and layer.image == output.range
        and output.encoding.uniform
        and output.encoding.frac_bits == layer.out_frac_bits
    )
