"""Rebuilding the commitments: F from the graph alone, W from the weights (§8, §9, §13)."""

import math

from field import GENERATOR, OMEGA, P, reverse_bits
from floats import evaluate
from layout import function_of, limb_widths, remainder_and_excess
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


def activation_rows(graph, table, functions):
    inputs, layers = len(graph.inputs), graph.layers
    reader = {l.input: i for i, l in enumerate(layers)}
    names = "real looked lo unit keep function pow_shift acc_kind acc_tensor acc_count sum_kind"
    names += " sum_tensor sum_count layer index takes pow_first pow_step"
    limbs = table.limbs.rem + table.limbs.excess
    rows, above = [], None

    def add(bits=(0,) * limbs, below=None, **cells):
        if below is not None:
            cells["acc_kind"] = 2 if below < inputs else 1
            cells["acc_tensor"] = below
            cells["acc_count"] = int(below >= inputs)
            if below in reader:
                sums = (1, layers[reader[below]].output, P - 1)
            else:
                sums = (3, below, 0)
            cells["sum_kind"], cells["sum_tensor"], cells["sum_count"] = sums
        shown = [int(tensor == below) for tensor, _ in table.boundary]
        rows.append([cells.get(name, 0) for name in names.split()] + list(bits) + shown)

    for t in table.tensors:
        remainder, excess = remainder_and_excess(graph, t)
        bits = limb_widths(remainder, excess, table.limbs)
        function = function_of(graph, t)
        if function is None:
            own = dict(real=1, lo=graph.tensors[t].range[0] % P)
        else:
            number = 1 + functions.index(function)
            own = dict(real=1, looked=1, function=number, pow_shift=2**remainder)
        features = graph.tensors[t].features
        if t in reader:
            # The unit row: the feature behind the last one, whose weights are the biases.
            add(below=above, unit=1, layer=reader[t], index=features, takes=1)
        for f in range(features):
            if t in reader:
                add(bits, keep=1, layer=reader[t], index=f, takes=1, **own)
            else:
                first, inner = int(f == 0), int(f + 1 < features)
                below = above if first else None
                add(bits, below, keep=1 - first, pow_first=first, pow_step=inner, **own)
        above = t
    add(below=above)
    return rows


def weights_rows(table):
    for layer, (k, n) in enumerate(table.shapes):
        blocks = -(-n // table.lanes)
        for index in range(k + 1):
            for j in range(blocks):
                end = int(j + 1 == blocks)
                yield [1 - end, end, layer, index]


def entries_of(table):
    if table.chip == "range":
        return [(w, v) for w in table.content for v in range(2**w)]
    entries = []
    for i, (function, in_bits, out_bits, (lo, hi), image) in enumerate(table.content, 1):

        def f(q):
            x = q * 2.0**-in_bits
            rounded = math.floor(evaluate(function, x) * 2.0**out_bits + 0.5)
            return min(max(rounded, image[0]), image[1])

        entries += [(i, 0, q, f(q)) for q in range(lo, hi + 1)]
        entries += [(i, -1, lo, f(lo)), (i, 1, hi, f(hi))]
    return entries


def lookup_rows(table):
    entries = entries_of(table)
    entries += [entries[-1]] * (-len(entries) % table.lanes)
    for i in range(0, len(entries), table.lanes):
        yield [v % P for entry in entries[i : i + table.lanes] for v in entry]


def fixed_root(graph, tables, b):
    """The commitment F that the graph prescribes."""
    functions = next(t.content for t in tables if t.chip == "functions")
    matrices = []
    for table in tables:
        if table.chip == "activation":
            rows = activation_rows(graph, table, functions)
        elif table.chip == "weights":
            rows = list(weights_rows(table))
        else:
            rows = list(lookup_rows(table))
        assert len(rows) == table.rows
        last = len(rows) - 1
        rows = [[1, int(r == 0), int(r < last), int(r == last), *row] for r, row in enumerate(rows)]
        matrices.append((table.log_height, rows))
    return commit_columns(matrices, b)


# W


def weight_root(graph, tables, weights, b):
    """The commitment W of public weights: for each layer (values W[k][j] flat, biases)."""
    table = next(t for t in tables if t.chip == "weights")
    rows = []
    for layer, (k, n), (values, biases) in zip(graph.layers, table.shapes, weights):
        half = 2**layer.shift // 2
        for i in range(k + 1):
            group = values[i * n : i * n + n] if i < k else [bias + half for bias in biases]
            cells = [0] * (-n % table.lanes) + [w % P for w in group]
            rows += [cells[j : j + table.lanes] for j in range(0, len(cells), table.lanes)]
    assert len(rows) == table.rows
    return commit_columns([(table.log_height, rows)], b)
