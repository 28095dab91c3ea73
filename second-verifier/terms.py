"""Numbers of terms, who reads a tensor, and where it lies (§7, §8.1)."""

from types import SimpleNamespace as Record

from groups import Groups
from maps import GATE, sums_of


class Terms:
    """`layers`: for each layer the numbers of its terms, its biases, its overhang; `count`: how many there
    are. `readers`, `gated`: for each tensor the terms of sums, as (layer, term), that read it, and of which
    it is the gate."""

    def __init__(self, graph):
        self.groups = Groups(graph)
        self.layers, self.count = [], 0
        for layer in graph.layers:
            first, n = self.count, len(layer.terms)
            numbers = list(range(first, first + n))
            self.layers.append(Record(terms=numbers, bias=first + n, overhang=first + n + 1))
            self.count += n + 2
        self.readers = [[] for _ in graph.tensors]
        self.gated = [[] for _ in graph.tensors]
        # A maximum reads what lies in its own rows.
        for i, layer in sums_of(graph):
            for t, term in enumerate(layer.terms):
                self.readers[term.input].append((i, t))
                if term.map.kernel == GATE:
                    self.gated[term.map.gate].append((i, t))
