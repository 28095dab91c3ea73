"""The opening proof (§13)."""

from errors import check
from field import GENERATOR, OMEGA, ONE, P, ZERO, Ext, reverse_bits, total
from merkle import check_multi_proof
from transcript import BASE, EXT

KINDS = ("fixed", "weight", "main", "projection", "lookup", "quotient")


def what_is_opened(tables, opened, mask, zeta):
    """For each kind of columns, for each matrix: (log height, [(point, values), …])."""
    commitments = {}
    for kind in KINDS:
        matrices = []
        for table, o in zip(tables, opened):
            points = [(zeta, getattr(o, kind))]
            if kind in ("projection", "lookup"):
                points.append((zeta * OMEGA[table.log_height], getattr(o, kind + "_next")))
            if points[0][1]:
                matrices.append((table.log_height, points))
        if kind == "projection" and mask:
            tallest = max(table.log_height for table in tables)
            matrices.append((tallest, [(zeta, mask)]))
        # An attestation opens no fixed columns.
        if matrices:
            commitments[kind] = matrices
    return commitments


def rounds_of(log_heights, profile):
    """Log-arities of the folding rounds."""
    h, end = max(log_heights), profile.log_blowup + profile.log_final_len
    arities = []
    while h > end:
        below = [h - other for other in log_heights if other < h]
        arities.append(min([profile.max_log_arity, h - end, *below]))
        h -= arities[-1]
    return arities


def check_opening(challenger, profile, kinds, roots, commitments, proof):
    """`commitments`: for each root, for each matrix: (log height, [(point, values), …])."""
    b = profile.log_blowup
    heights = {log_height + b for matrices in commitments for log_height, _ in matrices}
    log_heights = sorted(heights, reverse=True)
    top = log_heights[0]
    arities = rounds_of(log_heights, profile)

    # Shapes. Rows and siblings are checked where they are used.
    s = profile.queries
    counts = (len(proof.rounds), len(proof.round_pow), len(proof.round_openings))
    check(counts == (len(arities),) * 3, "wrong number of folding rounds")
    check(len(proof.input_openings) == len(commitments), "wrong number of input openings")
    check(all(len(o.rows) == s for o in proof.input_openings), "wrong number of queries")
    check(all(len(o.siblings) == s for o in proof.round_openings), "wrong number of queries")
    final_len = 2**profile.log_final_len
    check(len(proof.final_poly) == final_len, "the final polynomial has a wrong length")

    # Transcript.
    described(challenger, profile, commitments)
    for matrices in commitments:
        for _, points in matrices:
            for _, values in points:
                for value in values:
                    challenger.observe_ext(value)
    challenger.check_pow(profile.batch_pow, proof.batch_pow, "the batching challenge")
    alpha = challenger.draw()
    described_rounds(challenger, profile, arities, top)
    gammas = []
    for root, witness in zip(proof.rounds, proof.round_pow):
        challenger.observe_root(root)
        challenger.check_pow(profile.fold_pow, witness, "a folding challenge")
        gammas.append(challenger.draw())
    for coefficient in proof.final_poly:
        challenger.observe_ext(coefficient)
    challenger.check_pow(profile.query_pow, proof.query_pow, "the queries")
    indices = [challenger.draw_bits(top) for _ in range(s)]

    # Input openings.
    for kind, root, matrices, opening in zip(kinds, roots, commitments, proof.input_openings):
        shapes = [(log_n + b, len(points[0][1])) for log_n, points in matrices]
        tallest = max(h for h, _ in shapes)
        at = [index >> (top - tallest) for index in indices]
        check_multi_proof(root, shapes, at, opening.rows, opening.path, f"{kind} columns")

    # Folding.
    reduced = reduced_openings(commitments, proof.input_openings, indices, top, alpha, b)
    current = [r[top] for r in reduced]
    places, h = list(indices), top
    for root, gamma, t, opening in zip(proof.rounds, gammas, arities, proof.round_openings):
        size = 2**t
        h -= t
        coset = [pow(OMEGA[t], reverse_bits(m, t), P) for m in range(size)]
        rows = []
        for i, siblings in enumerate(opening.siblings):
            check(len(siblings) == size - 1, "wrong number of siblings")
            j = places[i]
            row = siblings[: j % size] + [current[i]] + siblings[j % size :]
            rows.append(row)
            places[i] = j >> t
            start = pow(OMEGA[h + t], reverse_bits(j >> t, h), P)
            current[i] = interpolate(row, [start * c % P for c in coset], gamma)
            if h in log_heights:
                current[i] = current[i] + gamma**size * reduced[i][h]
        flat = [[[a for e in row for a in e.c]] for row in rows]
        check_multi_proof(root, [(h, 5 * size)], places, flat, opening.path, "a folding round")

    # The final polynomial, coefficient of X^0 first.
    assert h == b + profile.log_final_len
    for j, e in zip(places, current):
        x, value = pow(OMEGA[h], reverse_bits(j, h), P), ZERO
        for coefficient in reversed(proof.final_poly):
            value = value * x + coefficient
        check(e == value, "a query does not fold to the final polynomial")


def described(challenger, profile, commitments):
    matrices = [m for commitment in commitments for m in commitment]
    steps = [
        f"Atomic Message 19 claimed_evaluations Fixed({len(values)}) {EXT}"
        for _, points in matrices
        for _, values in points
    ]
    if profile.batch_pow:
        steps.append(f"Atomic Pow 9 batch_pow Fixed({profile.batch_pow}) {BASE}")
    steps += [
        f"Atomic Challenge 5 alpha Scalar {EXT}",
        "Begin Protocol 15 low_degree_test None Marker",
        "End Protocol 15 low_degree_test None Marker",
    ]
    label = [len(commitments)]
    for commitment in commitments:
        label += [len(commitment)] + [len(points) for _, points in commitment]
    challenger.describe("p3-fri-pcs", steps, label)


def described_rounds(challenger, profile, arities, top):
    steps = []
    for _ in arities:
        steps.append("Atomic Message 23 commit_phase_commitment Scalar Opaque")
        if profile.fold_pow:
            steps.append(f"Atomic Pow 10 commit_pow Fixed({profile.fold_pow}) {BASE}")
        steps.append(f"Atomic Challenge 14 fold_challenge Scalar {EXT}")
    steps.append(f"Atomic Message 10 final_poly Fixed({2**profile.log_final_len}) {EXT}")
    if profile.query_pow:
        steps.append(f"Atomic Pow 9 query_pow Fixed({profile.query_pow}) {BASE}")
    steps.append(f"Atomic Challenge 13 query_indices Fixed({profile.queries}) Bits({top})")
    challenger.describe("p3-fri", steps, [profile.log_blowup, profile.max_log_arity, *arities])


def reduced_openings(commitments, openings, indices, top, alpha, b):
    """For each query, for each height: Σ a^e·(c(z) − c(x))/(z − x)."""
    # Σ a^e·c(z) of a matrix and point depends on no query.
    sums, used, alphas = [], {}, [ONE]
    for opening, matrices in zip(openings, commitments):
        for matrix, (log_n, points) in enumerate(matrices):
            for z, values in points:
                h, n = log_n + b, len(values)
                start = used.get(h, 0)
                used[h] = start + n
                while len(alphas) < start + n:
                    alphas.append(alphas[-1] * alpha)
                coefficients = alphas[start : start + n]
                at_z = total(a * value for a, value in zip(coefficients, values))
                columns = list(zip(*(a.c for a in coefficients)))
                sums.append((opening.rows, matrix, h, z, at_z, columns))

    reduced = []
    for query, index in enumerate(indices):
        by_height, inverses = dict.fromkeys(used, ZERO), {}
        for rows, matrix, h, z, at_z, columns in sums:
            if (h, z.c) not in inverses:
                x = GENERATOR * pow(OMEGA[h], reverse_bits(index >> (top - h), h), P) % P
                difference = z - x
                check(not difference.is_zero(), "a query hits an opening point")
                inverses[h, z.c] = difference.inverse()
            row = rows[query][matrix]
            at_x = Ext(*(sum(map(int.__mul__, column, row)) % P for column in columns))
            by_height[h] = by_height[h] + (at_z - at_x) * inverses[h, z.c]
        reduced.append(by_height)
    return reduced


def interpolate(values, points, at):
    """The value at `at` of the polynomial of least degree through (point, value)."""
    result = ZERO
    for m, (x, value) in enumerate(zip(points, values)):
        numerator, denominator = ONE, 1
        for i, other in enumerate(points):
            if i != m:
                numerator = numerator * (at - other)
                denominator = denominator * (x - other) % P
        result = result + value * numerator * pow(denominator, -1, P)
    return result
