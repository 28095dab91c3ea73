"""Rebuilding the commitments: F from the graph alone, W from the weights (§8, §9, §13)."""

import math

import activation
import overhang
import sums
import weights
from errors import well_formed
from field import GENERATOR, OMEGA, P, reverse_bits
from floats import candidates
from merkle import commit


def interleaved_ntt(values, k):
    """Values at 1, ω, ω², … of the polynomial with these 2^k coefficients."""
    n = len(values)
    a = [values[reverse_bits(i, k)] for i in range(n)]
    for level in range(1, k + 1):
        half, w = 2 ** (level - 1), OMEGA[level]
        twiddles = [1]
        for _ in range(half - 1):
            twiddles.append(twiddles[-1] * w % P)
        for start in range(0, n, 2 * half):
            low = a[start : start + half]
            high = [x * t % P for x, t in zip(a[start + half : start + 2 * half], twiddles)]
            a[start : start + half] = [(x + y) % P for x, y in zip(low, high)]
            a[start + half : start + 2 * half] = [(x - y) % P for x, y in zip(low, high)]
    return a


def extend(column, k, b):
    """The low-degree extension of a column, in bit-reversed order."""
    if not any(column):
        return [0] * (len(column) << b)
    values = interleaved_ntt(column, k)
    # The inverse transform is the transform, read backwards and divided by n.
    values = values[:1] + values[:0:-1]
    scale, coefficients = pow(2**k, -1, P), []
    for v in values:
        coefficients.append(v * scale % P)
        scale = scale * GENERATOR % P
    coefficients += [0] * ((2**b - 1) << k)
    evaluations = interleaved_ntt(coefficients, k + b)
    return [evaluations[reverse_bits(i, k + b)] for i in range(2 ** (k + b))]


def commit_columns(tables, b):
    """`tables`: a list of (log height, live rows)."""
    matrices = []
    for k, rows in tables:
        empty = [0] * (2**k - len(rows))
        columns = [extend(list(column) + empty, k, b) for column in zip(*rows)]
        matrices.append((k + b, list(zip(*columns))))
    return commit(matrices)


# F


def entries_of(table):
    if table.chip == "range":
        return [(w, v) for w in table.content for v in range(2**w)]
    entries = []
    for i, (function, in_bits, out_bits, (lo, hi), image) in enumerate(table.content, 1):

        def f(q):
            values = candidates(function, q * 2.0**-in_bits)
            # Clamped first: `Exp` may be infinite.
            values = (min(max(v * 2.0**out_bits + 0.5, image[0]), image[1]) for v in values)
            found = set(map(math.floor, values))
            well_formed(len(found) == 1, "an entry of a table is too near to two integers")
            return found.pop()

        entries += [(i, 0, q, f(q)) for q in range(lo, hi + 1)]
        entries += [(i, -1, lo, f(lo)), (i, 1, hi, f(hi))]
    return entries


def lookup_rows(table):
    entries = entries_of(table)
    entries += [entries[-1]] * (-len(entries) % table.lanes)
    for i in range(0, len(entries), table.lanes):
        yield [v % P for entry in entries[i : i + table.lanes] for v in entry]


ROWS = {"activation": activation, "weights": weights, "overhang": overhang, "sums": sums}


def live_rows(table):
    """The fixed columns on live rows."""
    if table.chip in ROWS:
        rows = [
            [cells.get(column, 0) for column in range(4, table.fixed)]
            for cells in ROWS[table.chip].fixed_rows(table)
        ]
    else:
        rows = list(lookup_rows(table))
    assert len(rows) == table.rows
    last = len(rows) - 1
    return [[1, int(r == 0), int(r < last), int(r == last), *row] for r, row in enumerate(rows)]


def fixed_root(tables, b):
    """The commitment F that the graph prescribes."""
    return commit_columns([(table.log_height, live_rows(table)) for table in tables], b)


# W


def weight_root(graph, tables, values, b):
    """The commitment W of public weights: for each layer (values of each term, biases)."""
    table = next(t for t in tables if t.chip == "weights")
    rows = weights.weight_rows(graph, table, values)
    return commit_columns([(table.log_height, rows)], b)
