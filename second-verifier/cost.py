"""The cost model (§8.6): every choice takes the smallest argument among those of least cost."""

from field import DEGREE
from grid import ceil_div
from maps import WEIGHTS, frame_of, sums_of, taps_of

MIN_LOG_HEIGHT = 6
MAX_LANES = 256
LEAF_COLUMNS = 9
COMMIT, OPEN, COLUMN = 40, 10, 10_000
AUX_PER_WEIGHT = 16


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
    cells = COMMIT * committed + OPEN * opened
    return 2 ** log_height(rows) * cells + COLUMN * (committed + opened)


def lookup_cost(entries, arity, lanes, hiding):
    rows = ceil_div(entries, lanes) + mask_rows(hiding)
    return table_cost(rows, columns(lanes, 0, lookup_width(lanes), hiding), lanes * arity)


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


def choose_weight_lanes(graph, hiding):
    shapes = [
        (t.map.groups * t.map.inputs * taps_of(t.map), t.map.outputs)
        for layer in graph.layers
        for t in layer.terms
        if t.map.kernel == WEIGHTS
    ]
    shapes += [(1, graph.tensors[layer.output].features) for _, layer in sums_of(graph)]
    weights = sum(k * n for k, n in shapes)
    fewest = LEAF_COLUMNS if hiding and hiding.weight_openings else 1
    aux = columns(0, 1, 1, hiding)

    def cost(lanes):
        live = sum(k * ceil_div(n, lanes) for k, n in shapes) + 1
        rows = live + mask_rows(hiding, weights=True)
        over_budget = 100 * aux * 2 ** log_height(rows) > AUX_PER_WEIGHT * weights
        return over_budget, table_cost(rows, aux, lanes)

    return min(range(fewest, MAX_LANES + 1), key=cost)


def lines_of(frame):
    """The lines of a frame outside the output: where each starts, whether it runs down the height,
    how long it is."""
    depth, height, width = frame.extent
    (z0, y0, x0), (z1, y1, x1) = frame.lo, frame.hi
    for z in range(z0, z1):
        inside = 0 <= z < depth
        for y in range(y0, y1):
            if not (inside and 0 <= y < height):
                yield (z, y, x0), False, x1 - x0
        if inside:
            for x in (*range(x0, 0), *range(width, x1)):
                yield (z, 0, x), True, height


def choose_overhang_lanes(graph, hiding):
    lengths = {}
    for _, layer in sums_of(graph):
        for _, _, length in lines_of(frame_of(graph, layer)):
            features = graph.tensors[layer.output].features
            lengths[length] = lengths.get(length, 0) + features

    def cost(lanes):
        live = sum(n * ceil_div(length, lanes) for length, n in lengths.items()) + 1
        return table_cost(live + mask_rows(hiding), columns(lanes, 1, 1, hiding), 20)

    return min(range(1, MAX_LANES + 1), key=cost)
