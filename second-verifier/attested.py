"""The tables of an attestation: the weights in two parts, their sums, the bound (§19)."""

from types import SimpleNamespace as Record

from audit import weights_rows
from builder import CLAIM, RANGE, SUMS
from codec import DATA_AND_WEIGHTS
from errors import well_formed
from field import P, ZERO, total
from layout import ceil_div, check_together, lengthen_leaves, mask_rows, range_table, settle

LIMBS, PARTS, CARRY_LIMBS = 4, 4, 2
LARGEST_BYTE = 255
# Numbers of a row of sums: h, s, r, then S_u0, S_u1, S_v0, S_v1; and which widths their limbs have.
WIDTHS_OF = (0, 0, 0, 1, 2, 1, 2)
# Constraints that are not of one lane, of one output.
SHARED, OF_OUTPUT = 4, 6


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
    tensor = graph.tensors[layer.input]
    below, above = -tensor.range[0], tensor.range[1]
    lo, hi = limits(layer)
    can = below >= 0 and above >= 0 and hi >= lo
    well_formed(can, f"no limits of layer {index} can be attested")
    largest = [LARGEST_BYTE * tensor.features] * 2
    if max(below, above):
        most = (hi - lo) // max(below, above)
        largest = [min(largest[0], most), min(largest[1], most // 256)]
    return Record(
        outputs=graph.tensors[layer.output].features, below=below, above=above, gap=hi - lo,
        top=hi + 2**layer.shift // 2,
        widths=[limb_widths(hi - lo), limb_widths(largest[0]), limb_widths(largest[1])],
    )  # fmt: skip


# Layout


def lay_out_attestation(key):
    """The tables of an attestation of a key, and their level's share of σ and ρ."""
    hiding = key.hiding if key.privacy == DATA_AND_WEIGHTS else None
    bounds = [bound_of(key.graph, i) for i in range(len(key.graph.layers))]
    of_key = next(t for t in key.tables if t.chip == "weights")
    lanes = of_key.lanes
    bands = mask_rows(hiding, blank=True)
    weights = Record(
        chip="attested weights", lanes=lanes, shapes=of_key.shapes, rows=of_key.rows,
        mask_rows=bands, fixed=9, weight=lanes, main=PARTS * lanes, projection=2,
        constraints=SHARED + lanes, messages=PARTS * lanes + 1,
        sigma_powers=PARTS + 1, rho_powers=lanes + 1,
        projection_degree=sum(ceil_div(n, lanes) * lanes + PARTS for _, n in of_key.shapes),
    )  # fmt: skip
    main = len(WIDTHS_OF) * LIMBS + 2 * CARRY_LIMBS
    sums = Record(
        chip="attested sums", bounds=bounds, rows=sum(b.outputs for b in bounds),
        mask_rows=bands, fixed=12 + 3 * LIMBS, weight=0, main=main, projection=1,
        constraints=OF_OUTPUT, messages=main + 1, sigma_powers=PARTS + 1, rho_powers=2,
        projection_degree=0,
    )  # fmt: skip
    widths = {w for b in bounds for number in b.widths for w in number}
    tables = [weights, sums, range_table(widths | {0, 8}, hiding)]
    for table in tables:
        settle(table, hiding, outside_key=True, like=of_key if table is weights else None)
    lengthen_leaves(tables, hiding)
    check_together(tables)
    return tables


# Fixed columns, but the engine's: for each live row its cells, by column


def weights_fixed(table):
    for inside, end, layer, index in weights_rows(table):
        unit = 2 * int(index == table.shapes[layer][0])
        yield {4 + unit: inside, 5 + unit: end, 8: layer}


def sums_fixed(table):
    for layer, b in enumerate(table.bounds):
        numbers = [b.below, b.above, b.gap, b.gap % 256, b.top % P]
        numbers += [width for number in b.widths for width in number]
        for j in range(b.outputs):
            end = int(j + 1 == b.outputs)
            yield dict(enumerate([1 - end, end, layer, *numbers], 4))


# What the tables state


def join(limbs):
    """The number that has these limbs, or these parts."""
    return total(limb * 2 ** (8 * i) for i, limb in enumerate(limbs))


def weights(b):
    live, first, step, _last, group, group_end, unit, unit_end, layer = b.fixed
    (h, t), (h_next, t_next) = b.projection[:2], b.projection_next[:2]
    lanes, sigma, rho = b.table.lanes, b.ch.sigma_powers, b.ch.rho_powers
    parts = [b.main[PARTS * i : PARTS * (i + 1)] for i in range(lanes)]
    of_parts, of_biases = ZERO, ZERO
    for i in range(lanes):
        power = rho[lanes - 1 - i]
        of_parts = of_parts + power * total(s * part for s, part in zip(sigma, parts[i]))
        of_biases = of_biases + power * b.weight[i] * sigma[PARTS]
    b.zero(step * h_next - rho[lanes] * (group * (h + of_parts) + unit * (h + of_biases)))
    b.zero(first * h)
    b.zero(step * t_next - (live - unit_end) * t - group_end * (h + of_parts))
    b.zero(first * t)
    real = group + group_end
    for weight, (u0, u1, v0, v1) in zip(b.weight, parts):
        b.zero(real * (weight - join([u0, u1]) + join([v0, v1])))
        for byte in (u0, u1, v0, v1):
            b.message(RANGE, -real, real * 8, byte)
    b.message(CLAIM, unit_end, unit_end * SUMS, layer, t + h + of_biases)


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
