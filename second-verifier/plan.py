"""Which groups of tensors share an activation table, and how wide its rows are (§8.7)."""

from types import SimpleNamespace as Record

from cost import (
    MAX_LANES, choose_table_lanes, columns, lookup_cost, lookup_width, mask_rows, table_cost,
)  # fmt: skip
from errors import well_formed
from graph import remainder_and_excess
from grid import ceil_div, demand_of, rows_for
from readers import readers_of
from window import window_of

# Kinds of groups: 0 one unit a channel; 1 looked up only, 3 with a remainder, 5 with an excess of one limb,
# each followed by the same with narrow phases; 7 with an excess of two limbs.
KINDS = 8
NARROW = 64
MAX_LIMB_BITS = 16
MAX_WINDOWS = 16
OPENED = 40


def partitions(used):
    """Every way of putting kinds together: for each kind its part, parts numbered by their first kind. Kinds
    of no group are in part 0."""
    ways = [((), 0)]
    for kind in range(KINDS):
        ways = [
            ((*way, part), max(parts, part + (kind in used)))
            for way, parts in ways
            for part in (range(parts + 1) if kind in used else (0,))
        ]
    return [way for way, _ in ways]


def plan(graph, terms, hiding):
    """The activation tables, each with its groups, their window, lanes and limbs."""
    by_window = {}
    for group in terms.groups.all:
        by_window.setdefault(window_of(group), []).append(facts_of(graph, terms, group))
        well_formed(len(by_window) <= MAX_WINDOWS, "the groups have too many different windows")
    of_windows = (plan_window(window, facts, hiding) for window, facts in by_window.items())
    return [table for tables in of_windows for table in tables]


def facts_of(graph, terms, group):
    """What the price of a group's table depends on."""
    host, demand = group.members[0].tensor, demand_of(graph, terms, group)
    weighted, slots = slots_for([readers_of(graph, terms, group)])
    return Record(
        group=group, host=host, demand=demand, weighted=weighted, slots=slots,
        gates=bool(terms.gated[host]), bits=remainder_and_excess(graph, host),
    )  # fmt: skip


def plan_window(window, facts, hiding):
    """The cheapest way of putting groups of one window together."""
    kinds, known = {}, {}
    for of_group in facts:
        kinds.setdefault(kind_of(of_group), []).append(of_group)
    lanes = range(1, MAX_LANES // window.hosts + 1)
    rows = {kind: rows_by_lanes(members, lanes) for kind, members in kinds.items()}

    def priced(part):
        if part not in known:
            members = sorted((f for kind in part for f in kinds[kind]), key=lambda f: f.host)
            summed = [sum(of) for of in zip(*(rows[kind] for kind in part))]
            known[part] = cheapest(window, members, summed, hiding)
        return known[part]

    def tables(way):
        parts = (tuple(k for k in sorted(kinds) if way[k] == i) for i in range(KINDS))
        return [priced(part) for part in parts if part]

    candidates = [tables(way) for way in partitions(kinds)]
    chosen = min(candidates, key=lambda tables: sum(cost for cost, _ in tables))
    return [table for _, table in chosen]


def kind_of(facts):
    if facts.demand.units == 1:
        return 0
    remainder, excess = facts.bits
    if excess > MAX_LIMB_BITS:
        return 7
    first = 5 if excess else 3 if remainder else 1
    return first + (facts.demand.phase <= NARROW)


def rows_by_lanes(facts, lanes):
    """Rows of all the groups together, for each number of lanes."""
    return [sum(rows_for(f.demand, n) for f in facts) for n in lanes]


def slots_for(readers):
    """Weighted slots, and all, for the readers of some groups."""
    weighted = max(sum(r.is_weighted for _, r in of_group) for of_group in readers)
    return weighted, max(map(len, readers))


def limb_width(bits, i, limb_bits):
    return min(max(bits - i * limb_bits, 0), limb_bits)


def limb_widths(remainder_bits, excess_bits, limbs):
    """Widths of a row's limbs: remainder first, then excess."""
    rem = [limb_width(remainder_bits, i, limbs.bits) for i in range(limbs.rem)]
    return rem + [limb_width(excess_bits, i, limbs.bits) for i in range(limbs.excess)]


def cheapest(window, facts, summed, hiding):
    """The lanes and limbs of least cost, the cost first. `summed` are the groups' rows by lanes."""
    weighted, slots = max(f.weighted for f in facts), max(f.slots for f in facts)
    masks = mask_rows(hiding, blank=True)
    widest = max(f.demand.units for f in facts)
    rows = [of_groups + 1 + masks for of_groups in summed[:widest]]
    gates = any(f.gates for f in facts)
    projection = 1 + slots + weighted
    bits = {f.bits for f in facts}
    shift, excess = (max(of) for of in zip(*bits))

    def candidate(limb_bits):
        rem, exc = ceil_div(shift, limb_bits), ceil_div(excess, limb_bits)
        return Record(bits=limb_bits, rem=rem, excess=exc)

    def cost(lanes, limbs):
        cells, lookups = lane_of(window, limbs)
        lookup = lookup_width(lanes * lookups + projection + gates)
        committed = columns(lanes * cells, projection, lookup, hiding)
        return table_cost(rows[lanes - 1], committed, OPENED)

    def range_cost(limbs):
        widths = {w for of_group in bits for w in limb_widths(*of_group, limbs)}
        entries = max(1, sum(2**w for w in widths))
        lanes = choose_table_lanes(entries, 2, hiding)
        return lookup_cost(entries, 2, lanes, hiding)

    best, groups = None, [f.group for f in facts]
    for limbs in map(candidate, range(1, MAX_LIMB_BITS + 1)):
        of_ranges = range_cost(limbs)
        for lanes in range(1, len(rows) + 1):
            total = of_ranges + cost(lanes, limbs)
            if best is None or total < best[0]:
                best = total, Record(groups=groups, window=window, lanes=lanes, limbs=limbs)
    return best


def activation_width(limbs):
    """Cells of an activation: `q`, `out`, perhaps `side`, limbs."""
    return 2 + (limbs.excess > 0) + limbs.rem + limbs.excess


def lane_of(window, limbs):
    """Cells and messages of a lane."""
    compared = len(window.comparisons)
    cells = window.hosts * activation_width(limbs) + window.copies + compared
    return cells, window.hosts * (1 + limbs.rem + limbs.excess) + compared
