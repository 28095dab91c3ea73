"""The activation tables (§9.1)."""

from types import SimpleNamespace as Record

from builder import ACCUMULATOR, ACTIVATION, CLAIM, INPUT, OUTPUT, PRODUCT, RANGE, TERM
from cost import mask_rows
from errors import well_formed
from field import ONE, P, ZERO, powers, total
from graph import ranged_bits, remainder_and_excess
from grid import Grid, demand_of
from maps import GATE
from plan import limb_widths, slots_for
from projection import coefficients, select, used_lanes
from readers import ChainLists, boundary_reader, gate_counts, readers_of
from readers import INPUT as INPUT_READER, OUTPUT as OUTPUT_READER, PLACES, TERM as TERM_READER

MAX_SLOTS = 1024

# Fixed columns, behind the engine's.
REAL, LOOKED, LO, FUNCTION, ACC_CLAIM, OWN = 4, 5, 6, 7, 8, 11
# Of a weighted slot, behind its patterns.
TAKES, TERM_NUMBER, INDEX, HOLD, ONE_COLUMN, WEIGHTED = range(6)


def lay_out(graph, ids, count, plan, function_of, hiding):
    """The table of some tensors. `count`: how many numbers terms have; `function_of`: the number of a
    tensor's activation table, 0 for none."""
    readers = [readers_of(graph, ids, t) for t in plan.tensors]
    weighted, slots = slots_for(readers)
    well_formed(slots <= MAX_SLOTS, "a tensor has too many readers")
    table = Record(
        chip="activation", lanes=plan.lanes, limbs=plan.limbs, blocks=[], own=ChainLists(),
        slots=[Record(weighted=i < weighted, lists=ChainLists()) for i in range(slots)],
        boundary=[], first_gate=count, weight=0, sigma_powers=1, rho_powers=2,
        mask_rows=mask_rows(hiding, blank=True),
    )  # fmt: skip
    start = 0
    for tensor, of_tensor in zip(plan.tensors, readers):
        block = block_of(graph, ids, tensor, plan.lanes, function_of(tensor))
        block.start, start = start, start + block.grid.height
        block.readers = assign(of_tensor, weighted, slots)
        add_block(table, block)
    table.rows = start + 1
    place_columns(table)
    return table


def block_of(graph, ids, tensor, lanes, function):
    """The rows of one tensor."""
    is_input = tensor < len(graph.inputs)
    remainder, excess = remainder_and_excess(graph, tensor)
    return Record(
        tensor=tensor, is_input=is_input, function=function, ranged=function == 0,
        grid=Grid(graph.tensors[tensor], demand_of(graph, tensor), lanes),
        own=boundary_reader(INPUT_READER if is_input else PLACES),
        gates=gate_counts(graph, ids, tensor), shift=remainder, excess_bits=excess,
        lo=graph.tensors[tensor].range[0] if ranged_bits(graph, tensor) else 0,
    )  # fmt: skip


def assign(readers, weighted, slots):
    """Weighted readers in the first slots; others behind the weighted slots, as long as there is room."""
    heavy = [r for r in readers if r.is_weighted]
    light = [r for r in readers if not r.is_weighted]
    free = [*range(weighted, slots), *range(len(heavy), weighted)]
    return [*enumerate(heavy), *zip(free, light)]


def add_block(table, block):
    table.own.add(block.own, block.grid)
    for slot, reader in block.readers:
        table.slots[slot].lists.add(reader, block.grid)
        if reader.kind == OUTPUT_READER:
            table.boundary.append((block.tensor, slot))
    if block.is_input:
        table.boundary.append((block.tensor, None))
    table.blocks.append(block)


def place_columns(table):
    """Where fixed and projection columns lie, and how many of everything there are."""
    limbs = table.limbs.rem + table.limbs.excess
    table.lane_width = 2 + (table.limbs.excess > 0) + limbs
    at, total_at = OWN + len(table.own.ratios) + 2 * len(table.own.patterns), 1
    for slot in table.slots:
        slot.claim, slot.ratios = at, at + 3
        slot.patterns = slot.ratios + len(slot.lists.ratios)
        slot.received = slot.patterns + len(slot.lists.patterns)
        at = slot.received + WEIGHTED * slot.weighted
        slot.total = total_at + slot.weighted
        total_at = slot.total + 1
    table.has_gates = any(block.gates for block in table.blocks)
    table.has_ranged = any(block.ranged for block in table.blocks)
    table.limb_bits, table.gate = at, at + limbs
    table.claimed = table.gate + 3 * table.has_gates
    weighted = sum(slot.weighted for slot in table.slots)
    table.fixed = table.claimed + len(table.boundary)
    table.main = table.lanes * table.lane_width
    table.projection = total_at
    table.messages = table.lanes * (1 + limbs) + total_at + table.has_gates
    table.constraints = 1 + table.has_ranged + len(table.slots) + 2 * weighted
    table.projection_degree = 2 * table.lanes * table.has_ranged


def limb_widths_of(table):
    """Every width that rows of the table look limbs up with."""
    return {w for b in table.blocks for w in limb_widths(b.shift, b.excess_bits, table.limbs)}


# Fixed columns


def fixed_rows(table):
    """For each live row its cells, by column."""
    rows = [{} for _ in range(table.rows)]
    for block in table.blocks:
        own = rows[block.start : block.start + block.grid.height]
        fill_values(table, block, own)
        for slot, reader in block.readers:
            fill_slot(table, table.slots[slot], block, reader, own)
        fill_claims(table, block, rows[block.start + block.grid.height])
    return rows


def fill_values(table, block, rows):
    widths = limb_widths(block.shift, block.excess_bits, table.limbs)
    quot, rest = (1, 0) if block.ranged else (2**block.shift, 1)
    per_channel = len(block.grid.rows)
    own_patterns = OWN + len(table.own.ratios)
    for r, (row, step) in enumerate(zip(rows, table.own.steps(block.own, block.grid))):
        row[REAL], row[LO] = 1, block.lo % P
        if not block.ranged:
            row[LOOKED], row[FUNCTION] = 1, block.function
        row.update(enumerate(widths, table.limb_bits))
        if block.gates:
            channel = r // per_channel
            sent = table.first_gate + block.tensor, channel, block.gates[channel]
            row.update(enumerate(sent, table.gate))
        ratio, (pattern, _), _ = step
        if ratio is not None:
            row[OWN + ratio] = 1
        row[own_patterns + 2 * pattern], row[own_patterns + 2 * pattern + 1] = quot, rest


def fill_slot(table, slot, block, reader, rows):
    steps = list(slot.lists.steps(reader, block.grid))
    # The factor that the rows below need next.
    needed = [None] * len(steps)
    for r in reversed(range(1, len(steps))):
        weight = steps[r][2]
        needed[r - 1] = needed[r] if weight is None else weight
    held = None
    for row, (ratio, pattern, weight), next_needed in zip(rows, steps, needed):
        if ratio is not None:
            row[slot.ratios + ratio] = 1
        if pattern is not None:
            row[slot.patterns + pattern[0]] = pattern[1] % P
        if not slot.weighted:
            continue
        at = slot.received
        if weight is None:
            row[at + ONE_COLUMN] = int(pattern is not None)
        elif weight != held:
            row[at + TAKES], row[at + INDEX] = 1, weight
            row[at + TERM_NUMBER] = product_number(table, reader)
        held = held if weight is None else weight
        row[at + HOLD] = int(held is not None and held == next_needed)


def product_number(table, reader):
    """The number under which a weighted reader receives its factors."""
    return table.first_gate + reader.map.gate if reader.map.kernel == GATE else reader.id


def fill_claims(table, block, below):
    """Totals of a tensor are read on the first row below it."""

    def claim(at, kind, number, count):
        below.update(enumerate((kind, number, count), at))

    if block.is_input:
        claim(ACC_CLAIM, INPUT, block.tensor, 0)
    else:
        claim(ACC_CLAIM, ACCUMULATOR, block.tensor, 1)
    for slot, reader in block.readers:
        if reader.kind == TERM_READER:
            claim(table.slots[slot].claim, TERM, reader.id, 1)
        else:
            claim(table.slots[slot].claim, OUTPUT, block.tensor, 0)
    for i, (tensor, _) in enumerate(table.boundary):
        if tensor == block.tensor:
            below[table.claimed + i] = 1


# Constraints and messages


def state(b):
    table, points = b.table, b.ch.points
    cells = [split(table, b.main, lane) for lane in range(table.lanes)]
    sigma = powers(b.ch.sigma, 2 * table.lanes) if table.has_ranged else []
    state_own(b, cells, points)
    if table.has_ranged:
        state_ranged(b, cells, sigma)
    for slot in table.slots:
        state_slot(b, slot, cells, points)
    for cell in cells:
        state_lookups(b, cell)
    state_claims(b)


def split(table, main, lane):
    """The cells of a lane, and the numbers they make up."""
    q, out, *rest = main[lane * table.lane_width : (lane + 1) * table.lane_width]
    side = rest.pop(0) if table.limbs.excess else ZERO

    def recompose(limbs):
        return total(limb * 2 ** (table.limbs.bits * i) for i, limb in enumerate(limbs))

    rem, excess = recompose(rest[: table.limbs.rem]), recompose(rest[table.limbs.rem :])
    return Record(q=q, out=out, side=side, limbs=rest, quot=q + side * excess, rem=rem)


def state_own(b, cells, points):
    """Constraint `project`."""
    own, fixed = b.table.own, b.fixed
    ratio = select(fixed[OWN:], [points.at(m) for m in own.ratios])
    at, value = OWN + len(own.ratios), ZERO
    for i, pattern in enumerate(own.patterns):
        quot, rest = fixed[at + 2 * i : at + 2 * i + 2]
        for lane, c in zip(used_lanes(pattern), coefficients(pattern, points)):
            value = value + c * (cells[lane].quot * quot + cells[lane].rem * rest)
    b.zero(fixed[2] * b.projection_next[0] - ratio * b.projection[0] - value)


def state_ranged(b, cells, sigma):
    ranged, lo = b.fixed[REAL] - b.fixed[LOOKED], b.fixed[LO]
    differences = [cell.quot - lo - cell.rem for cell in cells]
    differences += [cell.out - lo - cell.rem for cell in cells]
    b.zero(ranged * total(s * d for s, d in zip(sigma, differences)))


def state_slot(b, slot, cells, points):
    """Constraints `consume`, `hold`, `one`."""
    fixed, step = b.fixed, b.fixed[2]
    t, t_next = b.projection[slot.total], b.projection_next[slot.total]
    ratio = select(fixed[slot.ratios :], [points.at(m) for m in slot.lists.ratios])
    read = ZERO
    for selector, pattern in zip(fixed[slot.patterns :], slot.lists.patterns):
        lanes = zip(used_lanes(pattern), coefficients(pattern, points))
        read = read + selector * total(c * cells[lane].out for lane, c in lanes)
    if not slot.weighted:
        b.zero(step * t_next - ratio * t - read)
        return
    g, g_next = b.projection[slot.total - 1], b.projection_next[slot.total - 1]
    b.zero(step * t_next - ratio * t - g * read)
    b.zero(fixed[slot.received + HOLD] * (g_next - g))
    b.zero(fixed[slot.received + ONE_COLUMN] * (g - ONE))


def state_lookups(b, cell):
    fixed = b.fixed
    b.message(ACTIVATION, -fixed[LOOKED], fixed[FUNCTION], cell.side, cell.q, cell.out)
    for bits, limb in zip(fixed[b.table.limb_bits :], cell.limbs):
        b.message(RANGE, -fixed[REAL], bits, limb)


def state_claims(b):
    table, fixed = b.table, b.fixed

    def claim(at, slot, value):
        count = fixed[at + 2]
        for i, (tensor, claimed_by) in enumerate(table.boundary):
            if claimed_by == slot:
                count = count + fixed[table.claimed + i] * b.ch.receivers[tensor]
        b.message(CLAIM, count, fixed[at], fixed[at + 1], value)

    claim(ACC_CLAIM, None, b.projection[0])
    for i, slot in enumerate(table.slots):
        claim(slot.claim, i, b.projection[slot.total])
        if slot.weighted:
            takes, number, index = fixed[slot.received : slot.received + 3]
            b.message(PRODUCT, -takes, number, index, b.projection[slot.total - 1])
    if table.has_gates:
        number, index, count = fixed[table.gate : table.gate + 3]
        b.message(PRODUCT, count, number, index, b.main[1])
