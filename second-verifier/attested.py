"""The tables of an attestation: the weights in two parts, their sums, the bound (§19)."""

from copy import copy
from types import SimpleNamespace as Record

from builder import CLAIM, RANGE, SUMS
from codec import DATA_AND_WEIGHTS
from cost import mask_rows
from errors import well_formed
from field import P, ZERO, total
from grid import ceil_div
from layout import check_together, lengthen_leaves, range_table, settle
from maps import WEIGHTS, reach_of, repeats, sums_of, taps_of
from projection import Interner, select
from weights import rows_of

LIMBS, PARTS, CARRY_LIMBS = 4, 4, 2
LARGEST_BYTE = 255
# Numbers of a row of sums: h, s, r, then S_u0, S_u1, S_v0, S_v1; and which widths their limbs have.
WIDTHS_OF = (0, 0, 0, 1, 2, 1, 2)
# Constraints that are not of one lane, of one output.
SHARED, OF_OUTPUT = 1, 6
# Most weights of an output, and the largest A + B.
MAX_INPUTS, MAX_SPAN = 2**22, 2**16
# Fixed columns of the weights.
WEIGHT_ROWS, BIASES, KEEP, LAYER, COUNT, RATIO = range(4, 10)


# What must hold of each layer


def limits(layer):
    """The accumulators a layer may have: it represents them, and none wraps around."""
    half, excess = 2**layer.shift // 2, 2**layer.excess_bits - 1
    lo = (layer.domain[0] - excess) * 2**layer.shift - half
    hi = (layer.domain[1] + excess + 1) * 2**layer.shift - 1 - half
    most = P - 1 - max(abs(lo), abs(hi))
    return max(lo, -most), min(hi, most)


def limb_widths(largest):
    """Widths of the limbs of a number up to `largest`, lowest first."""
    return [max(0, min(8, largest.bit_length() - 8 * i)) for i in range(LIMBS)]


def bound_of(graph, index):
    layer = graph.layers[index]
    below, above, inputs = 0, 0, 0
    lo, hi = limits(layer)
    for term in layer.terms:
        if term.map.kernel == WEIGHTS:
            (least, most), often = graph.tensors[term.input].range, repeats(term.map)
            well_formed(least <= 0 <= most, f"an input of layer {index} is never 0")
            below, above = max(below, -least * often), max(above, most * often)
            inputs += term.map.inputs * taps_of(term.map)
        else:
            least, most = reach_of(graph, term)
            lo, hi = lo - least, hi - most
    can = below + above <= MAX_SPAN and inputs <= MAX_INPUTS and hi >= lo
    well_formed(can, f"no limits of layer {index} can be attested")
    largest = [LARGEST_BYTE * inputs] * 2
    if max(below, above):
        most = (hi - lo) // max(below, above)
        largest = [min(largest[0], most), min(largest[1], most // 256)]
    return Record(
        layer=index, outputs=graph.tensors[layer.output].features, below=below, above=above, gap=hi - lo,
        top=hi + 2**layer.shift // 2,
        widths=[limb_widths(hi - lo), limb_widths(largest[0]), limb_widths(largest[1])],
    )  # fmt: skip


# Layout


def lay_out_attestation(key):
    """The tables of an attestation of a key."""
    hiding = copy(key.hiding) if key.privacy == DATA_AND_WEIGHTS else None
    if hiding:
        # The mask of the weights is the key's.
        hiding.weight_openings = 0
    bounds = [bound_of(key.graph, i) for i, _ in sums_of(key.graph)]
    of_key = next(t for t in key.tables if t.chip == "weights")
    outputs = [key.graph.tensors[layer.output].features for layer in key.graph.layers]
    of_weights = weights_table(of_key, outputs, hiding)
    main = len(WIDTHS_OF) * LIMBS + 2 * CARRY_LIMBS
    of_sums = Record(
        chip="attested sums", bounds=bounds, rows=sum(b.outputs for b in bounds),
        mask_rows=mask_rows(hiding, blank=True), fixed=12 + 3 * LIMBS, weight=0, main=main,
        projection=1, constraints=OF_OUTPUT, messages=main + 1, sigma_powers=PARTS + 1,
        rho_powers=2, projection_degree=0,
    )  # fmt: skip
    widths = {w for b in bounds for number in b.widths for w in number}
    tables = [of_weights, of_sums, range_table(widths | {0, 8}, hiding)]
    for table in tables:
        settle(table, hiding, outside_key=True, like=of_key if table is of_weights else None)
    lengthen_leaves(tables, hiding)
    check_together(tables)
    return tables


def weights_table(of_key, outputs, hiding):
    """The rows of the key's weights table; a layer's sum is passed on from row to row."""
    lanes = of_key.lanes
    table = Record(
        chip="attested weights", lanes=lanes, rows=of_key.rows, ratios=Interner(),
        mask_rows=mask_rows(hiding, blank=True), weight=lanes, main=PARTS * lanes, projection=1,
        constraints=SHARED + lanes, messages=PARTS * lanes + 1,
        sigma_powers=PARTS + 1, rho_powers=lanes + 1,
        projection_degree=sum(n + lanes + PARTS for n in outputs),
    )  # fmt: skip
    rows = []
    for _, block, channel, row in rows_of(of_key):
        # The power of the row's last lane: the place of its output among the layer's.
        chunks = ceil_div(block.outputs, lanes)
        group_end = block.first_output + (channel // block.group + 1) * block.outputs
        own = (chunks - 1 - row.chunk) * lanes + outputs[block.layer] - group_end
        rows.append((block, own))
    table.steps = []
    for (block, own), (below, next_own) in zip(rows, rows[1:] + [(None, 0)]):
        follows = below is not None and below.layer == block.layer
        ratio = table.ratios.add(own - next_own if follows else own)
        table.steps.append((block, ratio))
    table.fixed = RATIO + len(table.ratios)
    return table


# Fixed columns, but the engine's: for each live row its cells, by column


def weights_fixed(table):
    rows, above = [{} for _ in range(table.rows)], None
    for r, (block, ratio) in enumerate(table.steps):
        flag = BIASES if block.term is None else WEIGHT_ROWS
        rows[r].update({flag: 1, KEEP: int(block.layer == above), RATIO + ratio: 1})
        if r + 1 == len(table.steps) or table.steps[r + 1][0].layer != block.layer:
            rows[r + 1].update({LAYER: block.layer, COUNT: 1})
        above = block.layer
    return rows


def sums_fixed(table):
    for b in table.bounds:
        numbers = [b.below, b.above, b.gap, b.gap % 256, b.top % P]
        numbers += [width for number in b.widths for width in number]
        for j in range(b.outputs):
            end = int(j + 1 == b.outputs)
            yield dict(enumerate([1 - end, end, b.layer, *numbers], 4))


# What the tables state


def join(limbs):
    """The number that has these limbs, or these parts."""
    return total(limb * 2 ** (8 * i) for i, limb in enumerate(limbs))


def weights(b):
    (t, t_next), f = (b.projection[0], b.projection_next[0]), b.fixed
    lanes, sigma, rho = b.table.lanes, b.ch.sigma_powers, b.ch.rho_powers
    parts = [b.main[PARTS * i : PARTS * (i + 1)] for i in range(lanes)]
    of_parts, of_biases = ZERO, ZERO
    for i in range(lanes):
        power = rho[lanes - 1 - i]
        of_parts = of_parts + power * total(s * part for s, part in zip(sigma, parts[i]))
        of_biases = of_biases + power * b.weight[i] * sigma[PARTS]
    ratio = select(f[RATIO:], [b.ch.points.at((n, 0, 0, 0)) for n in b.table.ratios])
    value = f[KEEP] * t + f[WEIGHT_ROWS] * of_parts + f[BIASES] * of_biases
    b.zero(f[2] * t_next - ratio * value)
    real = f[WEIGHT_ROWS]
    for weight, (u0, u1, v0, v1) in zip(b.weight, parts):
        b.zero(real * (weight - join([u0, u1]) + join([v0, v1])))
        for byte in (u0, u1, v0, v1):
            b.message(RANGE, -real, real * 8, byte)
    b.message(CLAIM, f[COUNT], f[COUNT] * SUMS, f[LAYER], t)


def sums(b):
    live, first, step, _last, cont, end, layer, below, above, gap, gap_low, top = b.fixed[:12]
    widths = [b.fixed[12 + LIMBS * i : 12 + LIMBS * (i + 1)] for i in range(3)]
    y, y_next = b.projection[0], b.projection_next[0]
    limbs = [b.main[LIMBS * i : LIMBS * (i + 1)] for i in range(len(WIDTHS_OF))]
    carries = b.main[len(WIDTHS_OF) * LIMBS : b.table.main]
    k, l = carries[:CARRY_LIMBS], carries[CARRY_LIMBS:]
    h, s, r, *of_parts = (join(number) for number in limbs)
    h0, s0, r0, u0, _, v0, _ = (number[0] for number in limbs)
    u, v = join(of_parts[:2]), join(of_parts[2:])

    x = total(p * number for p, number in zip(b.ch.sigma_powers, [*of_parts, top - h]))
    b.zero(step * y_next - cont * b.ch.rho * (y + x))
    b.zero(first * y)
    b.zero(live * (h - s) - above * u - below * v)
    b.zero(live * (h0 - s0 + join(k) * 256) - above * u0 - below * v0)
    b.zero(gap - live * (h + r) - below * u - above * v)
    b.zero(gap_low - live * (h0 + r0 - join(l) * 256) - below * u0 - above * v0)
    for number, which in zip(limbs, WIDTHS_OF):
        for width, limb in zip(widths[which], number):
            b.message(RANGE, -live, width, limb)
    for limb in carries:
        b.message(RANGE, -live, live * 8, limb)
    b.message(CLAIM, -end, end * SUMS, layer, y + x)
