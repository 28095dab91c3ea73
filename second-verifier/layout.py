"""From the graph to tables (§8). Nothing here is read from a proof."""

from copy import copy
from types import SimpleNamespace as Record

import compare
import poseidon2
import sha256
from codec import DATA_AND_WEIGHTS, NONE
from errors import well_formed
from field import DEGREE, P
from graph import length, ranged_bits

MIN_LOG_HEIGHT, MAX_LOG_HEIGHT = 6, 22
MAX_LOG_ENTRIES = 20
MAX_LOG_OUTSIDE_CELLS = 26
MAX_POSITIONS = 64
MAX_PROOFS = 2**16
LEAF_COLUMNS = 9
IDENTITY, RELU, SIGMOID, TANH = range(4)

# The cost model.
COMMIT, OPEN, COLUMN = 40, 10, 10_000
AUX_PER_WEIGHT = 16


def ceil_div(a, b):
    return -(-a // b)


def log_height(rows):
    return max((rows - 1).bit_length(), MIN_LOG_HEIGHT)


def lookup_width(messages):
    """LogUp columns for so many messages a row: one for a pair, and the accumulator."""
    return messages // 2 + 1 if messages else 0


def columns(main, projection, lookup, hiding):
    """Base columns of the cost model: as if no other table had the same height."""
    if hiding is not None:
        main = max(main, LEAF_COLUMNS) if main else 0
        extensions = ceil_div(LEAF_COLUMNS, DEGREE)
        projection, lookup = max(projection, extensions), max(lookup, extensions)
    return main + DEGREE * (projection + lookup)


def table_cost(rows, committed, opened):
    return 2 ** log_height(rows) * (COMMIT * committed + OPEN * opened) + COLUMN * (
        committed + opened
    )


def lookup_cost(entries, arity, lanes, hiding):
    rows = ceil_div(entries, lanes) + mask_rows(hiding)
    return table_cost(rows, columns(lanes, 0, lookup_width(lanes), hiding), lanes * arity)


def hiding_of(privacy, proofs, parameters):
    """What the tables of a key must hide (§8); None if nothing."""
    if privacy == NONE:
        return None
    well_formed(
        privacy != DATA_AND_WEIGHTS or 1 <= proofs <= MAX_PROOFS,
        f"a key for {proofs} proofs of private weights",
    )
    # Two openings of the weights are kept for rekey proofs (§17): a key's first and its last.
    openings = proofs + 2 if privacy == DATA_AND_WEIGHTS else 0
    return Record(queries=parameters.queries, weight_openings=openings)


def mask_rows(hiding, weights=False, blank=False):
    """Rows below the live ones: the uniform and the blank band together."""
    if hiding is None:
        return 0
    current = hiding.queries + DEGREE
    uniform = 2 * current + 2
    if weights and hiding.weight_openings:
        uniform = max(uniform, hiding.weight_openings * current + 1)
    return uniform + (hiding.queries + 2 * DEGREE + 1 if blank else 0)


# Python's `min` returns the first of equals: the smallest argument of least cost.


def choose_table_lanes(entries, arity, hiding):
    return min(range(1, 33), key=lambda lanes: lookup_cost(entries, arity, lanes, hiding))


def weight_rows(shapes, lanes):
    return sum((k + 1) * ceil_div(n, lanes) for k, n in shapes)


def choose_weight_lanes(shapes, hiding):
    weights = sum(k * n for k, n in shapes)
    fewest = LEAF_COLUMNS if hiding and hiding.weight_openings else 1
    aux = columns(0, 1, 1, hiding)

    def cost(lanes):
        rows = weight_rows(shapes, lanes) + mask_rows(hiding, weights=True)
        over_budget = 100 * aux * 2 ** log_height(rows) > AUX_PER_WEIGHT * weights
        return over_budget, table_cost(rows, aux, lanes)

    return min(range(fewest, 257), key=cost)


def limb_width(bits, i, limb_bits):
    return min(max(bits - i * limb_bits, 0), limb_bits)


def limb_widths(remainder_bits, excess_bits, limbs):
    """Widths of a row's limbs: remainder first, then excess."""
    rem = [limb_width(remainder_bits, i, limbs.bits) for i in range(limbs.rem)]
    return rem + [limb_width(excess_bits, i, limbs.bits) for i in range(limbs.excess)]


def activation_rows(graph, positions):
    """One for each feature, one for each layer (its input's unit row), one below all tensors."""
    layers = sum(graph.tensors[l.output].positions == positions for l in graph.layers)
    return sum(t.features for t in graph.tensors if t.positions == positions) + layers + 1


def choose_limbs(graph, positions, hiding):
    layers = [l for l in graph.layers if graph.tensors[l.output].positions == positions]
    # Of an input that is not ranged nothing is split.
    inputs = [i for i in graph.inputs if graph.tensors[i].positions == positions]
    remainders = [l.shift for l in layers] + [k for i in inputs if (k := ranged_bits(graph, i))]
    excesses = [l.excess_bits for l in layers]
    rows = activation_rows(graph, positions) + mask_rows(hiding, blank=True)

    def candidate(bits):
        rem, excess = (ceil_div(max(of, default=0), bits) for of in (remainders, excesses))
        return Record(bits=bits, rem=rem, excess=excess)

    def cost(limbs):
        widths = {limb_width(n, i, limbs.bits) for n in remainders for i in range(limbs.rem)}
        widths |= {limb_width(n, i, limbs.bits) for n in excesses for i in range(limbs.excess)}
        entries = max(1, sum(2**w for w in widths))
        count = limbs.rem + limbs.excess
        cells = positions * (2 + (limbs.excess > 0) + count)
        messages = positions * (1 + count) + 3
        committed = columns(cells, 3, lookup_width(messages), hiding)
        lanes = choose_table_lanes(entries, 2, hiding)
        return table_cost(rows, committed, 20) + lookup_cost(entries, 2, lanes, hiding)

    return min((candidate(bits) for bits in range(1, 17)), key=cost)


def function_of(graph, tensor):
    """(function, in_frac_bits, out_frac_bits, domain, image); none of a ranged input."""
    if ranged_bits(graph, tensor):
        return None
    if tensor < len(graph.inputs):
        interval = graph.tensors[tensor].range
        return (IDENTITY, 0, 0, interval, interval)
    l = graph.layers[tensor - len(graph.inputs)]
    scales = (l.in_frac_bits, l.out_frac_bits)
    if l.function in (IDENTITY, RELU) and scales[0] == scales[1]:
        scales = (0, 0)
    return (l.function, *scales, l.domain, l.image)


def remainder_and_excess(graph, tensor):
    """How many bits of a tensor's rows are in limbs."""
    if tensor < len(graph.inputs):
        return ranged_bits(graph, tensor), 0
    layer = graph.layers[tensor - len(graph.inputs)]
    return layer.shift, layer.excess_bits


def lay_out(graph, hiding):
    """The tables in order. Columns are counted, extension columns as one."""
    for i, t in enumerate(graph.tensors):
        well_formed(t.positions <= MAX_POSITIONS, f"tensor {i} has too many positions")
    functions = []
    for i in range(len(graph.tensors)):
        function = function_of(graph, i)
        if function is not None and function not in functions:
            functions.append(function)

    tables, widths = [], set()
    for positions in sorted({t.positions for t in graph.tensors}):
        limbs = choose_limbs(graph, positions, hiding)
        count = limbs.rem + limbs.excess
        tensors = [i for i, t in enumerate(graph.tensors) if t.positions == positions]
        for i in tensors:
            widths.update(limb_widths(*remainder_and_excess(graph, i), limbs))
        # Inputs and outputs, which a statement may show: (tensor, whether it is an input).
        boundary = [(i, i in graph.inputs) for i in tensors if i in graph.inputs + graph.outputs]
        tables.append(Record(
            chip="activation", lanes=positions, limbs=limbs, tensors=tensors, boundary=boundary,
            rows=activation_rows(graph, positions), mask_rows=mask_rows(hiding, blank=True),
            fixed=22 + count + len(boundary), weight=0,
            main=positions * (2 + (limbs.excess > 0) + count), projection=3,
            constraints=4, messages=positions * (1 + count) + 3,
            sigma_powers=positions, rho_powers=2,
        ))  # fmt: skip

    features = [t.features for t in graph.tensors]
    shapes = [(features[l.input], features[l.output]) for l in graph.layers]
    lanes = choose_weight_lanes(shapes, hiding)
    tables.append(Record(
        chip="weights", lanes=lanes, shapes=shapes,
        rows=weight_rows(shapes, lanes), mask_rows=mask_rows(hiding, weights=True),
        fixed=8, weight=lanes, main=0, projection=1, constraints=2, messages=1,
        sigma_powers=1, rho_powers=lanes + 1,
    ))  # fmt: skip

    entries = sum(length(f[3]) + 2 for f in functions)
    for table in (range_table(widths, hiding), lookup("functions", 4, functions, entries, hiding)):
        if table.entries:
            tables.append(table)
    for table in tables:
        settle(table, hiding)
    lengthen_leaves(tables, hiding)
    check_together(tables)
    return tables


def range_table(widths, hiding):
    return lookup("range", 2, sorted(widths), sum(2**w for w in widths), hiding)


def lookup(chip, arity, content, entries, hiding):
    lanes = choose_table_lanes(entries, arity, hiding)
    return Record(
        chip=chip, lanes=lanes, arity=arity, content=content, entries=entries,
        rows=ceil_div(entries, lanes), mask_rows=mask_rows(hiding),
        fixed=4 + lanes * arity, weight=0, main=lanes, projection=0,
        constraints=0, messages=lanes, sigma_powers=1, rho_powers=2,
        projection_degree=0,
    )  # fmt: skip


def settle(table, hiding, outside_key=False, like=None):
    """Height and committed widths of a table: as tall as the table `like`, if there is one."""
    few = getattr(table, "entries", 0) <= 2**MAX_LOG_ENTRIES
    well_formed(few, f"the {table.chip} table has too many entries")
    well_formed(table.rows > 0, f"the {table.chip} table has no rows")
    needed = log_height(table.rows + table.mask_rows)
    table.log_height = like.log_height if like else needed
    well_formed(needed <= table.log_height, f"the {table.chip} table needs more rows than it has")
    well_formed(table.log_height <= MAX_LOG_HEIGHT, f"the {table.chip} table is too tall")
    table.lookup = lookup_width(table.messages)
    table.outside_key = outside_key
    commit_widths(table, hiding)


def check_together(tables):
    # Fixed columns that the verifier computes itself.
    cells = sum(t.rows * t.fixed for t in tables if t.outside_key)
    few = cells <= 2**MAX_LOG_OUTSIDE_CELLS
    well_formed(few, "the tables of the statement or attestation have too many fixed cells")
    messages = sum(t.messages * 2**t.log_height for t in tables)
    well_formed(messages < P, "the tables have too many messages")


def commit_widths(table, hiding):
    """Columns as they are committed, quotient chunks, and the distance of the chunks."""
    table.hiding = hiding is not None
    table.committed_fixed = 0 if table.outside_key else table.fixed
    table.committed_main, table.committed_lookup = table.main, table.lookup
    table.committed_projection = max(table.projection, 1) if hiding else table.projection
    table.chunks, table.stride = 2, 2**table.log_height
    if hiding:
        table.chunks = 3
        table.stride -= hiding.queries + DEGREE + 1


def lengthen_leaves(tables, hiding):
    """Under a hiding key, widens a table of each height until the leaves they share are long enough."""
    if hiding is None:
        return
    tallest = max(table.log_height for table in tables)
    for height in {table.log_height for table in tables}:
        same = [table for table in tables if table.log_height == height]
        for trace, degree in (("main", 1), ("projection", DEGREE), ("lookup", DEGREE)):
            name = "committed_" + trace
            wide = [table for table in same if getattr(table, name) > 0]
            missing = LEAF_COLUMNS - sum(degree * getattr(table, name) for table in wide)
            if trace == "projection" and height == tallest:
                missing -= DEGREE  # the mask of the batch
            if wide and missing > 0:
                first = wide[0]
                setattr(first, name, getattr(first, name) + ceil_div(missing, degree))


# Tables of a statement (§18.2).


def with_statement(tables, graph, statement, hiding):
    """A key's tables and, behind them, those of what is said of hidden tensors."""
    added, widths = [], set()
    for kind, tensor, said in statement:
        for table in tables_of(graph.tensors[tensor], said):
            table.tensor, table.kind = tensor, kind
            added.append(table)
            if table.chip in ("bounds", "leading"):
                widths.update(compare.limb_bits(table.range))
    for table in added:
        table.mask_rows = mask_rows(hiding, blank=table.messages > 1)
    if widths:
        added.append(range_table(widths, hiding))
    for table in added:
        settle(table, hiding, outside_key=True)
    # Leaves are those of all tables of a proof, so the key's may be widened otherwise.
    together = [copy(table) for table in tables] + added
    for table in together:
        commit_widths(table, hiding)
    lengthen_leaves(together, hiding)
    check_together(together)
    return together


def tables_of(tensor, said):
    shape = dict(
        features=tensor.features, positions=tensor.positions, range=tensor.range, weight=0,
        sigma_powers=tensor.positions, rho_powers=2, rule=None, salted=False,
    )  # fmt: skip
    if said.digest is not None:
        chip, hasher = (("sha256", sha256), ("poseidon2", poseidon2))[said.digest.hash]
        table = Record(**shape, chip=chip)
        table.salted = said.digest.salted
        table.fixed, table.main, table.constraints = hasher.FIXED, hasher.MAIN, hasher.CONSTRAINTS
        table.projection, table.messages = 2, 1
        table.sigma_powers = max(tensor.positions, hasher.SIGMA_POWERS)
        table.rho_powers = hasher.RHO_POWERS
        table.rows, table.projection_degree = hasher.rows_of(table), hasher.projection_degree(table)
        yield table
    for chip, rule in (("bounds", said.bounds), ("leading", said.leading)):
        if rule is not None:
            table = Record(**shape, chip=chip, rows=tensor.features + 1)
            table.rule = rule
            vars(table).update(compare.widths(table))
            table.projection_degree = compare.projection_degree(table)
            yield table
