"""Which tables of functions a graph needs (§8.1)."""

from graph import ranged_bits
from groups import compares
from maps import IDENTITY

RELU = (1,)
# Functions with f(c·x) = c·f(x), c > 0: Identity, Relu, LeakyRelu.
HOMOGENEOUS = 0, 1, 5

# A table is (function, in_frac_bits, out_frac_bits, domain, image).


class Functions:
    """`list`: every table in use, once, in order of first use. `of_host`: the number of a host's table, from 1;
    0 for none. `of_comparisons`: of the table that compares in its group; 0 if nothing is compared."""

    def __init__(self, graph, groups):
        self.list, self.of_host, self.of_comparisons = [], {}, {}
        for group in groups.all:
            host = group.members[0].tensor
            function = function_of(graph, host)
            self.of_host[host] = 0 if function is None else self._number(function)
        for group in groups.all:
            host = group.members[0].tensor
            compared = compares(group)
            self.of_comparisons[host] = self._comparing(range_of(graph, group)) if compared else 0

    def _comparing(self, interval):
        """The first table that compares all values of an interval, or one of its own."""
        most = interval[1] - interval[0]
        for number, (function, in_bits, out_bits, domain, image) in enumerate(self.list, 1):
            compares = function == RELU and in_bits == out_bits and image[0] == 0
            if compares and domain[0] <= -most and most <= domain[1] and most <= image[1]:
                return number
        return self._number((RELU, 0, 0, (-most, most), (0, most)))

    def _number(self, function):
        if function not in self.list:
            self.list.append(function)
        return 1 + self.list.index(function)


def function_of(graph, tensor):
    """None of a ranged input."""
    if ranged_bits(graph, tensor):
        return None
    if tensor < len(graph.inputs):
        interval = graph.tensors[tensor].range
        return (IDENTITY, 0, 0, interval, interval)
    l = graph.layers[tensor - len(graph.inputs)]
    scales = l.in_frac_bits, l.out_frac_bits
    if l.function[0] in HOMOGENEOUS:
        # Only the change of scale matters.
        scales = l.in_frac_bits - l.out_frac_bits, 0
    return (l.function, *scales, l.domain, l.image)


def range_of(graph, group):
    """Every value of any member."""
    ranges = [graph.tensors[m.tensor].range for m in group.members]
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
