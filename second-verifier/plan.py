"""Which tensors share an activation table, and how wide its rows are (§8.7)."""

from types import SimpleNamespace as Record

from cost import (
    MAX_LANES, choose_table_lanes, columns, lookup_cost, lookup_width, mask_rows, table_cost,
)  # fmt: skip
from graph import remainder_and_excess
from grid import ceil_div, demand_of, rows_for
from maps import GATE
from readers import readers_of

# Kinds of tensors: 0 one position a channel; 1 looked up only, 3 with a remainder, 5 with an excess of one
# limb, each followed by the same with narrow phases; 7 with an excess of two limbs.
KINDS = 8
NARROW = 64
MAX_LIMB_BITS = 16
OPENED = 40


def partitions(used):
    """Every way of putting kinds together: for each kind its part, parts numbered by their first kind. Kinds
    of no tensor are in part 0."""
    ways = [((), 0)]
    for kind in range(KINDS):
        ways = [
            ((*way, part), max(parts, part + (kind in used)))
            for way, parts in ways
            for part in (range(parts + 1) if kind in used else (0,))
        ]
    return [way for way, _ in ways]


def plan(graph, ids, hiding):
    """The activation tables, each with its tensors, lanes and limbs."""
    kinds = {}
    for tensor in range(len(graph.tensors)):
        kinds.setdefault(kind_of(graph, tensor), []).append(tensor)
    rows = {kind: rows_by_lanes(graph, tensors) for kind, tensors in kinds.items()}
    known = {}

    def priced(part):
        if part not in known:
            tensors = sorted(t for kind in part for t in kinds[kind])
            summed = [sum(of) for of in zip(*(rows[kind] for kind in part))]
            known[part] = cheapest(graph, ids, tensors, summed, hiding)
        return known[part]

    def tables(way):
        parts = (tuple(k for k in sorted(kinds) if way[k] == i) for i in range(KINDS))
        return [priced(part) for part in parts if part]

    candidates = [tables(way) for way in partitions(kinds)]
    chosen = min(candidates, key=lambda tables: sum(cost for cost, _ in tables))
    return [table for _, table in chosen]


def kind_of(graph, tensor):
    demand = demand_of(graph, tensor)
    if demand.positions == 1:
        return 0
    remainder, excess = remainder_and_excess(graph, tensor)
    if excess > MAX_LIMB_BITS:
        return 7
    first = 5 if excess else 3 if remainder else 1
    return first + (demand.phase <= NARROW)


def rows_by_lanes(graph, tensors):
    """Rows of all the tensors together, for each number of lanes from 1 on."""
    demands = [(graph.tensors[t], demand_of(graph, t)) for t in tensors]
    return [sum(rows_for(t, d, lanes) for t, d in demands) for lanes in range(1, MAX_LANES + 1)]


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


def cheapest(graph, ids, tensors, summed, hiding):
    """The lanes and limbs of least cost, the cost first. `summed` are the tensors' rows by lanes."""
    weighted, slots = slots_for([readers_of(graph, ids, t) for t in tensors])
    masks = mask_rows(hiding, blank=True)
    widest = min(max(demand_of(graph, t).positions for t in tensors), MAX_LANES)
    rows = [of_tensors + 1 + masks for of_tensors in summed[:widest]]
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
