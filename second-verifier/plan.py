"""Which tensors share an activation table, and how wide its rows are (§8.7)."""

from types import SimpleNamespace as Record

from cost import (
    MAX_LANES, choose_table_lanes, columns, lookup_cost, lookup_width, mask_rows, table_cost,
)  # fmt: skip
from graph import remainder_and_excess
from grid import ceil_div, demand_of, rows_for
from maps import GATE
from readers import readers_of

# Kinds of tensors: 0 one position a channel, 1 looked up only, 2 with a remainder, 3 with an excess.
KINDS = 4
MAX_LIMB_BITS = 16
OPENED = 40


def partitions(kinds):
    """Every way of putting kinds together: for each kind its part, parts numbered by their first kind."""
    ways = [()]
    for _ in range(kinds):
        ways = [(*way, part) for way in ways for part in range(max(way, default=-1) + 2)]
    return ways


def plan(graph, ids, hiding):
    """The activation tables, each with its tensors, lanes and limbs."""
    kinds = [kind_of(graph, tensor) for tensor in range(len(graph.tensors))]
    known = {}

    def priced(tensors):
        if tensors not in known:
            known[tensors] = cheapest(graph, ids, tensors, hiding)
        return known[tensors]

    def tables(way):
        parts = (tuple(t for t, kind in enumerate(kinds) if way[kind] == i) for i in range(KINDS))
        return [priced(part) for part in parts if part]

    candidates = [tables(way) for way in partitions(KINDS)]
    chosen = min(candidates, key=lambda tables: sum(cost for cost, _ in tables))
    return [table for _, table in chosen]


def kind_of(graph, tensor):
    if demand_of(graph, tensor).positions == 1:
        return 0
    remainder, excess = remainder_and_excess(graph, tensor)
    return 3 if excess else 2 if remainder else 1


def slots_for(readers):
    """Weighted slots, and all, for the readers of some tensors."""
    weighted = max(sum(r.is_weighted for r in of_tensor) for of_tensor in readers)
    return weighted, max(map(len, readers))


def limb_width(bits, i, limb_bits):
    return min(max(bits - i * limb_bits, 0), limb_bits)


def limb_widths(remainder_bits, excess_bits, limbs):
    """Widths of a row's limbs: remainder first, then excess."""
    rem = [limb_width(remainder_bits, i, limbs.bits) for i in range(limbs.rem)]
    return rem + [limb_width(excess_bits, i, limbs.bits) for i in range(limbs.excess)]


def cheapest(graph, ids, tensors, hiding):
    """The lanes and limbs of least cost, the cost first."""
    weighted, slots = slots_for([readers_of(graph, ids, t) for t in tensors])
    demands = [(graph.tensors[t], demand_of(graph, t)) for t in tensors]
    masks = mask_rows(hiding, blank=True)
    widest = min(max(demand.positions for _, demand in demands), MAX_LANES)
    rows = [
        sum(rows_for(tensor, demand, lanes) for tensor, demand in demands) + 1 + masks
        for lanes in range(1, widest + 1)
    ]
    terms = [t for layer in graph.layers for t in layer.terms]
    gates = any(t.map.kernel == GATE and t.map.gate in tensors for t in terms)
    projection = 1 + slots + weighted
    bits = [remainder_and_excess(graph, t) for t in tensors]
    shift, excess = (max(of) for of in zip(*bits))

    def candidate(limb_bits):
        rem, exc = ceil_div(shift, limb_bits), ceil_div(excess, limb_bits)
        return Record(bits=limb_bits, rem=rem, excess=exc)

    def cost(lanes, limbs):
        per_lane = limbs.rem + limbs.excess
        cells = lanes * (2 + (limbs.excess > 0) + per_lane)
        lookup = lookup_width(lanes * (1 + per_lane) + projection + gates)
        return table_cost(rows[lanes - 1], columns(cells, projection, lookup, hiding), OPENED)

    def range_cost(limbs):
        widths = {w for of_tensor in bits for w in limb_widths(*of_tensor, limbs)}
        entries = max(1, sum(2**w for w in widths))
        lanes = choose_table_lanes(entries, 2, hiding)
        return lookup_cost(entries, 2, lanes, hiding)

    best = None
    for limbs in map(candidate, range(1, MAX_LIMB_BITS + 1)):
        of_ranges = range_cost(limbs)
        for lanes in range(1, widest + 1):
            total = of_ranges + cost(lanes, limbs)
            if best is None or total < best[0]:
                best = total, Record(tensors=tensors, lanes=lanes, limbs=limbs)
    return best
