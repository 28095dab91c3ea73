"""The weights table (§9.2)."""

from types import SimpleNamespace as Record

from builder import PRODUCT
from cost import choose_weight_lanes, mask_rows
from field import P, total
from grid import ceil_div
from maps import WEIGHTS, residues, sums_of, taps_of, taps_on
from projection import Interner, over, rho, select, times
from readers import takes_of

KEEP, NUMBER, INDEX, COUNT, RATIO = range(4, 9)


def lay_out(graph, terms, hiding):
    lanes = choose_weight_lanes(graph, hiding)
    table = Record(
        chip="weights", lanes=lanes, blocks=[], scalars=Interner(),
        weight=lanes, main=0, projection=1, constraints=1, messages=1,
        sigma_powers=1, rho_powers=lanes + 1, projection_degree=0,
        mask_rows=mask_rows(hiding, weights=True),
    )  # fmt: skip
    for i, layer in sums_of(graph):
        for t, term in enumerate(layer.terms):
            if term.map.kernel == WEIGHTS:
                add_term(table, graph, terms, i, t)
        add_biases(table, graph, terms, i)
    table.rows = next_row(table) + 1
    table.fixed = RATIO + len(table.scalars)
    return table


def next_row(table):
    if not table.blocks:
        return 0
    block = table.blocks[-1]
    return block.start + block.channels * len(block.rows)


def add_term(table, graph, terms, i, t):
    map = graph.layers[i].terms[t].map
    rows = []
    for residue in range(residues(map)):
        add_run(table, rows, residue, taps_on(map, residue), map.outputs, None)
    table.blocks.append(Record(
        layer=i, term=t, number=terms.layers[i].terms[t], start=next_row(table), rows=rows,
        channels=map.groups * map.inputs, group=map.inputs, taps=taps_of(map),
        outputs=map.outputs, first_output=map.first_output, residues=residues(map),
        counts=takes_of(graph, terms, i, t),
    ))  # fmt: skip


def add_biases(table, graph, terms, i):
    output = graph.tensors[graph.layers[i].output]
    rows = []
    positions = ("positions", *output.extent)
    add_run(table, rows, 0, [(0, (0, 0, 0))], output.features, positions)
    table.blocks.append(Record(
        layer=i, term=None, number=terms.layers[i].bias, start=next_row(table), rows=rows,
        channels=1, group=1, taps=1, outputs=output.features, first_output=0, residues=1,
        counts=[1],
    ))  # fmt: skip


def add_run(table, rows, residue, taps, outputs, last):
    """The rows of a run: row groups of outputs outside, taps inside. `last` is the constant of the last
    row, if it is not the row's monomial."""
    chunks = ceil_div(outputs, table.lanes)
    places = [
        (chunk, tap, times((0, *exponents), rho((chunks - 1 - chunk) * table.lanes)))
        for chunk in range(chunks)
        for tap, exponents in taps
    ]
    for i, (chunk, tap, monomial) in enumerate(places):
        end = i + 1 == len(places)
        ratio = (last or monomial) if end else over(monomial, places[i + 1][2])
        rows.append(Record(
            residue=residue, tap=tap, chunk=chunk, keep=int(i > 0), end=end,
            ratio=table.scalars.add(ratio),
        ))  # fmt: skip


def rows_of(table):
    """Every row but the last: its number, block, channel, and what it is in the channel."""
    for block in table.blocks:
        at = block.start
        for channel in range(block.channels):
            for row in block.rows:
                yield at, block, channel, row
                at += 1


def fixed_rows(table):
    """For each live row its cells, by column."""
    rows = [{} for _ in range(table.rows)]
    for at, block, channel, row in rows_of(table):
        rows[at][KEEP] = row.keep
        rows[at][RATIO + row.ratio] = 1
        if row.end:
            index = channel * block.residues + row.residue
            count = block.counts[index % len(block.counts)]
            rows[at + 1].update({NUMBER: block.number, INDEX: index, COUNT: count})
    return rows


def weight_rows(graph, table, weights):
    """The weight columns on live rows, of public weights: for each layer (values of each term,
    biases)."""
    rows = [[0] * table.lanes for _ in range(table.rows)]
    for at, block, channel, row in rows_of(table):
        of_terms, biases = weights[block.layer]
        half = 2 ** graph.layers[block.layer].shift // 2
        empty = -block.outputs % table.lanes
        for lane in range(table.lanes):
            o = row.chunk * table.lanes + lane - empty
            if o < 0:
                continue
            if block.term is None:
                rows[at][lane] = (biases[o] + half) % P
            else:
                first = (channel * block.taps + row.tap) * block.outputs
                rows[at][lane] = of_terms[block.term][first + o] % P
    return rows


def state(b):
    lanes, ch = b.table.lanes, b.ch
    number, index, count = b.fixed[NUMBER : COUNT + 1]
    h, h_next = b.projection[0], b.projection_next[0]
    form = total(ch.rho_powers[lanes - 1 - i] * w for i, w in enumerate(b.weight))
    ratio = select(b.fixed[RATIO:], [scalar(ch.points, s) for s in b.table.scalars])
    b.zero(b.fixed[2] * h_next - ratio * (b.fixed[KEEP] * h + form))
    b.message(PRODUCT, count, number, index, h)


def scalar(points, item):
    return points.all_positions(item[1:]) if item[0] == "positions" else points.at(item)

