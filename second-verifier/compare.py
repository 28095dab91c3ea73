"""The tables of bounds and of leading features (§18.7)."""

from builder import CLAIM, OUTPUT, RANGE
from field import P, total

REAL, LO, HI, SIGN = 4, 5, 6, 5


def limb_bits(interval):
    """Widths of the limbs of a difference, lowest first."""
    bits = max(interval[1] - interval[0], 1).bit_length()
    return [8] * ((bits - 1) // 8) + [(bits - 1) % 8 + 1]


def lane_width(table):
    if table.chip == "bounds":
        return 1 + 2 * len(limb_bits(table.range))
    return 2 + len(limb_bits(table.range))


def widths(table):
    """Fixed, main and projection columns, constraints, messages."""
    p, limbs = table.positions, len(limb_bits(table.range))
    main = p * lane_width(table)
    if table.chip == "bounds":
        return dict(
            fixed=7, main=main, projection=1, constraints=2 + 2 * p, messages=2 * p * limbs + 1
        )
    return dict(fixed=5 + p, main=main, projection=2, constraints=4 + p, messages=p * limbs + 1)


def projection_degree(table):
    return 1 + (table.features * table.positions if table.chip == "leading" else 0)


def fixed_rows(table):
    """For each live row its cells, by column."""
    if table.chip == "bounds":
        rows = [{REAL: 1, LO: lo % P, HI: hi % P} for lo, hi in table.rule]
    else:
        rows = []
        for f in range(table.features):
            signs = {SIGN + p: 1 if f in named else P - 1 for p, named in enumerate(table.rule)}
            rows.append({REAL: 1, **signs})
    return rows + [{}]


def state(b):
    t, fixed, sigma, rho = b.table, b.fixed, b.ch.sigma_powers, b.ch.rho
    _live, first, step, last = fixed[:4]
    real, bounds, size = fixed[REAL], t.chip == "bounds", lane_width(t)
    lanes = [b.main[p * size : (p + 1) * size] for p in range(t.positions)]
    fold, fold_next = b.projection[0], b.projection_next[0]

    values = total(s * (real * lane[0]) for s, lane in zip(sigma, lanes))
    b.zero(fold * first)
    if t.kind == OUTPUT:
        b.zero(rho * (step * fold_next - values) - step * fold)
    else:
        b.zero(step * fold_next - rho * step * fold - values)
    if not bounds:
        level, level_next = b.projection[1], b.projection_next[1]
        thresholds = total(s * lane[1] for s, lane in zip(sigma, lanes))
        b.zero(step * (level_next - level))
        b.zero(real * (level - thresholds))

    bits = limb_bits(t.range)
    for p, lane in enumerate(lanes):
        x, limbs = lane[0], lane[1 if bounds else 2 :]
        differences = [limbs[i : i + len(bits)] for i in range(0, len(limbs), len(bits))]
        d = [total(limb * 2 ** (8 * i) for i, limb in enumerate(ls)) for ls in differences]
        if bounds:
            b.zero(real * (x - d[0]) - fixed[LO])
            b.zero(fixed[HI] - real * (x + d[1]))
        else:
            b.zero(fixed[SIGN + p] * (x - lane[1]) - real * d[0])
        for limb, width in zip(limbs, bits * len(differences)):
            b.message(RANGE, -real, real * width, limb)
    finish = fold * rho ** (t.features - 1) if t.kind == OUTPUT else fold
    b.message(CLAIM, -last, last * t.kind, last * t.tensor, finish)
