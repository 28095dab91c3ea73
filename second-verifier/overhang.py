"""The overhang table: what products have beyond the image (§9.3)."""

from types import SimpleNamespace as Record

from builder import CLAIM, TERM
from cost import choose_overhang_lanes, lines_of, mask_rows
from field import powers, total
from maps import frame_of, is_tight, sums_of
from projection import Interner, over, select

ACROSS, DOWN, KEEP, NUMBER, COUNT, RATIO = range(4, 10)


def lay_out(graph, terms, hiding):
    """Nothing if nothing hangs over."""
    lanes = choose_overhang_lanes(graph, hiding)
    table = Record(
        chip="overhang", lanes=lanes, blocks=[], ratios=Interner(), weight=0, main=lanes,
        projection=1, constraints=1, messages=1, sigma_powers=1, rho_powers=2,
        projection_degree=0, mask_rows=mask_rows(hiding),
    )  # fmt: skip
    start = 0
    for i, layer in sums_of(graph):
        frame = frame_of(graph, layer)
        if is_tight(frame):
            continue
        block = Record(
            layer=i, number=terms.layers[i].overhang, start=start,
            features=graph.tensors[layer.output].features,
            stretches=list(stretches_of(frame, lanes)),
        )  # fmt: skip
        # Steps between stretches are the same for every feature.
        for feature in range(max(block.features - 2, 0), block.features):
            for j in range(len(block.stretches)):
                table.ratios.add(ratio_of(block, feature, j))
        table.blocks.append(block)
        start += block.features * len(block.stretches)
    table.rows = start + 1
    table.fixed = RATIO + len(table.ratios)
    return table if table.blocks else None


def stretches_of(frame, lanes):
    """Lines in pieces of at most so many lanes: where each starts, whether it runs down."""
    for start, down, length in lines_of(frame):
        for offset in range(0, length, lanes):
            z, y, x = start
            yield ((z, y + offset, x) if down else (z, y, x + offset)), down


def monomial_of(block, feature, j):
    return (block.features - 1 - feature, *block.stretches[j][0])


def ratio_of(block, feature, j):
    """The constant a row's sum is passed on with: a monomial, and whether it is negated."""
    own = monomial_of(block, feature, j)
    if j + 1 < len(block.stretches):
        return over(own, monomial_of(block, feature, j + 1)), False
    if feature + 1 < block.features:
        return over(own, monomial_of(block, feature + 1, 0)), False
    return own, True


def fixed_rows(table):
    """For each live row its cells, by column."""
    rows = [{} for _ in range(table.rows)]
    for block in table.blocks:
        at = block.start
        for feature in range(block.features):
            for j, (_, down) in enumerate(block.stretches):
                ratio = table.ratios[ratio_of(block, feature, j)]
                cells = {ACROSS: int(not down), DOWN: int(down), KEEP: int(at > block.start)}
                rows[at].update({**cells, RATIO + ratio: 1})
                at += 1
        rows[at].update({NUMBER: block.number, COUNT: 1})
    return rows


def state(b):
    across, down, keep, number, count = b.fixed[ACROSS:RATIO]
    points, (t, t_next) = b.ch.points, (b.projection[0], b.projection_next[0])

    def form(axis):
        unit = powers(points.pairs[axis + 1][0], b.table.lanes)
        return total(c * x for c, x in zip(unit, b.main))

    constants = [-points.at(m) if negated else points.at(m) for m, negated in b.table.ratios]
    ratio = select(b.fixed[RATIO:], constants)
    value = keep * t + across * form(2) + down * form(1)
    b.zero(b.fixed[2] * t_next - ratio * value)
    b.message(CLAIM, count, count * TERM, number, t)
