"""The activation tables (§9.1)."""

from types import SimpleNamespace as Record

from builder import ACCUMULATOR, ACTIVATION, CLAIM, INPUT, OUTPUT, PRODUCT, RANGE, TERM
from cost import mask_rows
from errors import well_formed
from field import ONE, P, ZERO, powers, total
from graph import ranged_bits, remainder_and_excess
from grid import Grid, demand_of
from maps import GATE
from plan import activation_width, lane_of, limb_widths, slots_for
from projection import coefficients, select, used_lanes
from readers import ChainLists, Tenant, boundary_reader, gate_counts, readers_of
from readers import INPUT as INPUT_READER, OUTPUT as OUTPUT_READER, PLACES, TERM as TERM_READER

MAX_SLOTS = 1024

# Fixed columns, behind the engine's; the last only where something is compared.
REAL, LOOKED, LO, FUNCTION, ACC_CLAIM, COMPARISON = 4, 5, 6, 7, 8, 11
# Of a weighted slot, behind its forms.
TAKES, TERM_NUMBER, INDEX, HOLD, ONE_COLUMN, WEIGHTED = range(6)


def lay_out(graph, terms, plan, functions, hiding):
    """The table of some groups, which have one window."""
    readers = [readers_of(graph, terms, group) for group in plan.groups]
    weighted, slots = slots_for(readers)
    well_formed(slots <= MAX_SLOTS, "a tensor has too many readers")
    table = Record(
        chip="activation", lanes=plan.lanes, limbs=plan.limbs, window=plan.window,
        blocks=[], own=ChainLists(),
        slots=[Record(weighted=i < weighted, lists=ChainLists()) for i in range(slots)],
        boundary=[], first_gate=terms.count, weight=0, sigma_powers=1, rho_powers=2,
        mask_rows=mask_rows(hiding, blank=True),
    )  # fmt: skip
    start = 0
    for group, of_group in zip(plan.groups, readers):
        block = block_of(graph, terms, group, plan.lanes, functions)
        block.start, start = start, start + block.grid.height
        block.readers = assign(of_group, weighted, slots)
        add_block(table, block)
    table.rows = start + 1
    place_columns(table)
    return table


def block_of(graph, terms, group, lanes, functions):
    """The rows of one group. `tensor` is its host."""
    tensor = group.members[0].tensor
    is_input, function = tensor < len(graph.inputs), functions.of_host[tensor]
    remainder, excess = remainder_and_excess(graph, tensor)
    grid = Grid(demand_of(graph, terms, group), lanes)
    return Record(
        tensor=tensor, is_input=is_input, function=function, ranged=function == 0, grid=grid,
        tenants=[Tenant(grid, group, i) for i in range(len(group.members))],
        own=boundary_reader(INPUT_READER if is_input else PLACES),
        gates=gate_counts(graph, terms, tensor), shift=remainder, excess_bits=excess,
        lo=graph.tensors[tensor].range[0] if ranged_bits(graph, tensor) else 0,
        comparison=functions.of_comparisons[tensor],
    )  # fmt: skip


def assign(readers, weighted, slots):
    """(slot, member, reader): weighted readers in the first slots; others behind the weighted slots, as long
    as there is room."""
    heavy = [r for r in readers if r[1].is_weighted]
    light = [r for r in readers if not r[1].is_weighted]
    free = [*range(weighted, slots), *range(len(heavy), weighted)]
    return [(slot, *reader) for slot, reader in [*enumerate(heavy), *zip(free, light)]]


def add_block(table, block):
    table.own.add(block.own, block.tenants[0])
    if block.is_input:
        table.boundary.append((block.tensor, None))
    for slot, member, reader in block.readers:
        tenant = block.tenants[member]
        table.slots[slot].lists.add(reader, tenant)
        if reader.kind == OUTPUT_READER:
            table.boundary.append((tenant.tensor, slot))
    table.blocks.append(block)


def place_columns(table):
    """Where fixed and projection columns lie, and how many of everything there are."""
    limbs = table.limbs.rem + table.limbs.excess
    table.lane_width, lookups = lane_of(table.window, table.limbs)
    table.own_ratios = COMPARISON + bool(table.window.comparisons)
    table.own_forms = table.own_ratios + len(table.own.ratios)
    at, total_at = table.own_forms + 2 * len(table.own.forms), 1
    for slot in table.slots:
        slot.claim, slot.ratios = at, at + 3
        slot.forms = slot.ratios + len(slot.lists.ratios)
        slot.received = slot.forms + len(slot.lists.forms)
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
    table.messages = table.lanes * lookups + total_at + table.has_gates
    table.constraints = 1 + table.has_ranged + len(table.slots) + 2 * weighted
    table.projection_degree = 2 * table.lanes * table.window.hosts * table.has_ranged


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
        for slot, member, reader in block.readers:
            fill_slot(table, table.slots[slot], block.tenants[member], reader, own)
        fill_claims(table, block, rows[block.start + block.grid.height])
    return rows


def fill_values(table, block, rows):
    widths = limb_widths(block.shift, block.excess_bits, table.limbs)
    quot, rest = (1, 0) if block.ranged else (2**block.shift, 1)
    per_channel = len(block.grid.rows)
    for r, (row, step) in enumerate(zip(rows, table.own.steps(block.own, block.tenants[0]))):
        row[REAL], row[LO] = 1, block.lo % P
        if not block.ranged:
            row[LOOKED], row[FUNCTION] = 1, block.function
        if block.comparison:
            row[COMPARISON] = block.comparison
        row.update(enumerate(widths, table.limb_bits))
        if block.gates:
            channel = r // per_channel
            sent = table.first_gate + block.tensor, channel, block.gates[channel]
            row.update(enumerate(sent, table.gate))
        ratio, form, _ = step
        if ratio is not None:
            row[table.own_ratios + ratio] = 1
        if form is not None:
            at = table.own_forms + 2 * form[0]
            row[at], row[at + 1] = quot, rest


def fill_slot(table, slot, tenant, reader, rows):
    steps = list(slot.lists.steps(reader, tenant))
    # The factor that the rows below need next.
    needed = [None] * len(steps)
    for r in reversed(range(1, len(steps))):
        weight = steps[r][2]
        needed[r - 1] = needed[r] if weight is None else weight
    held = None
    for row, (ratio, form, weight), next_needed in zip(rows, steps, needed):
        if ratio is not None:
            row[slot.ratios + ratio] = 1
        if form is not None:
            row[slot.forms + form[0]] = form[1] % P
        if not slot.weighted:
            continue
        at = slot.received
        if weight is None:
            row[at + ONE_COLUMN] = int(form is not None)
        elif weight != held:
            row[at + TAKES], row[at + INDEX] = 1, weight
            row[at + TERM_NUMBER] = product_number(table, reader)
        held = held if weight is None else weight
        row[at + HOLD] = int(held is not None and held == next_needed)


def product_number(table, reader):
    """The number under which a weighted reader receives its factors."""
    return table.first_gate + reader.map.gate if reader.map.kernel == GATE else reader.id


def fill_claims(table, block, below):
    """Totals of a group are read on the first row below it."""

    def claim(at, kind, number, count):
        below.update(enumerate((kind, number, count), at))

    if block.is_input:
        claim(ACC_CLAIM, INPUT, block.tensor, 0)
    else:
        claim(ACC_CLAIM, ACCUMULATOR, block.tensor, 1)
    for slot, member, reader in block.readers:
        at, tensor = table.slots[slot].claim, block.tenants[member].tensor
        if reader.kind == TERM_READER:
            claim(at, TERM, reader.id, 1)
        elif reader.kind == PLACES:
            claim(at, ACCUMULATOR, tensor, 1)
        else:
            claim(at, OUTPUT, tensor, 0)
    members = [tenant.tensor for tenant in block.tenants]
    for i, (tensor, _) in enumerate(table.boundary):
        if tensor in members:
            below[table.claimed + i] = 1


# Constraints and messages


def state(b):
    table, points = b.table, b.ch.points
    lanes = [split(table, b.main, lane) for lane in range(table.lanes)]
    state_own(b, lanes, points)
    if table.has_ranged:
        state_ranged(b, lanes)
    for slot in table.slots:
        state_slot(b, slot, lanes, points)
    for lane in lanes:
        state_lookups(b, lane)
    state_claims(b)


def split(table, main, lane):
    """The activations of a lane, and the values of its unit (§8.2)."""
    width, hosts = activation_width(table.limbs), table.window.hosts
    cells = main[lane * table.lane_width : (lane + 1) * table.lane_width]
    activations = [
        activation_of(table.limbs, cells[part * width : (part + 1) * width])
        for part in range(hosts)
    ]
    values = [activation.out for activation in activations] + cells[hosts * width :]
    return Record(activations=activations, values=values)


def activation_of(limbs, cells):
    """The cells of an activation, and the numbers they make up."""
    q, out, *rest = cells
    side = rest.pop(0) if limbs.excess else ZERO

    def recompose(parts):
        return total(part * 2 ** (limbs.bits * i) for i, part in enumerate(parts))

    rem, excess = recompose(rest[: limbs.rem]), recompose(rest[limbs.rem :])
    return Record(q=q, out=out, side=side, limbs=rest, quot=q + side * excess, rem=rem)


def state_own(b, lanes, points):
    """Constraint `project`."""
    table, own, fixed = b.table, b.table.own, b.fixed
    ratio = select(fixed[table.own_ratios :], [points.at(m) for m in own.ratios])
    value = ZERO
    for i, (_, form) in enumerate(own.forms):
        quot, rest = fixed[table.own_forms + 2 * i : table.own_forms + 2 * i + 2]
        for part, pattern in form:
            for lane, c in zip(used_lanes(pattern), coefficients(pattern, points)):
                of_lane = lanes[lane].activations[part]
                value = value + c * (of_lane.quot * quot + of_lane.rem * rest)
    b.zero(fixed[2] * b.projection_next[0] - ratio * b.projection[0] - value)


def state_ranged(b, lanes):
    ranged, lo = b.fixed[REAL] - b.fixed[LOOKED], b.fixed[LO]
    parts = zip(*(lane.activations for lane in lanes))
    activations = [activation for of_part in parts for activation in of_part]
    differences = [activation.quot - lo - activation.rem for activation in activations]
    differences += [activation.out - lo - activation.rem for activation in activations]
    sigma = powers(b.ch.sigma, b.table.projection_degree)
    b.zero(ranged * total(s * d for s, d in zip(sigma, differences)))


def state_slot(b, slot, lanes, points):
    """Constraints `consume`, `hold`, `one`."""
    fixed, step = b.fixed, b.fixed[2]
    t, t_next = b.projection[slot.total], b.projection_next[slot.total]
    ratio = select(fixed[slot.ratios :], [points.at(m) for m in slot.lists.ratios])
    forms = [read_form(b.table, form, lanes, points) for form in slot.lists.forms]
    read = select(fixed[slot.forms :], forms)
    if not slot.weighted:
        b.zero(step * t_next - ratio * t - read)
        return
    g, g_next = b.projection[slot.total - 1], b.projection_next[slot.total - 1]
    b.zero(step * t_next - ratio * t - g * read)
    b.zero(fixed[slot.received + HOLD] * (g_next - g))
    b.zero(fixed[slot.received + ONE_COLUMN] * (g - ONE))


def read_form(table, form, lanes, points):
    """What a form of a member adds up of a row."""
    member, parts = form
    read = ZERO
    for part, pattern in parts:
        element = table.window.elements[member][part]
        for lane, c in zip(used_lanes(pattern), coefficients(pattern, points)):
            read = read + c * sum_of(lanes[lane], element)
    return read


def sum_of(lane, values):
    return total(lane.values[i] for i in values)


def state_lookups(b, lane):
    fixed, window = b.fixed, b.table.window
    for a in lane.activations:
        b.message(ACTIVATION, -fixed[LOOKED], fixed[FUNCTION], a.side, a.q, a.out)
        for bits, limb in zip(fixed[b.table.limb_bits :], a.limbs):
            b.message(RANGE, -fixed[REAL], bits, limb)
    results = lane.values[window.hosts + window.copies :]
    for (plus, minus), result in zip(window.comparisons, results):
        difference = sum_of(lane, plus) - sum_of(lane, minus)
        b.message(ACTIVATION, -fixed[REAL], fixed[COMPARISON], ZERO, difference, result)


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
