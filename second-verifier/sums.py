"""The sums table: a layer's accumulators are the sum of its terms (§9.4)."""

from types import SimpleNamespace as Record

from builder import ACCUMULATOR, CLAIM, PRODUCT, TERM
from cost import mask_rows
from field import ZERO
from maps import frame_of, is_tight, sums_of

KEEP, WHOLE, KIND, NUMBER, CLAIMS, PRODUCTS, FIXED = range(4, 11)


def lay_out(graph, terms, hiding):
    parts = []
    for i, layer in sums_of(graph):
        first, of_layer = len(parts), terms.layers[i]
        parts += [{KIND: TERM, NUMBER: n, CLAIMS: 1} for n in of_layer.terms]
        parts.append({NUMBER: of_layer.bias, PRODUCTS: 1})
        if not is_tight(frame_of(graph, layer)):
            parts.append({KIND: TERM, NUMBER: of_layer.overhang, CLAIMS: 1})
        parts.append({KIND: ACCUMULATOR, NUMBER: layer.output, CLAIMS: 1, WHOLE: 1})
        for part in parts[first + 1 :]:
            part[KEEP] = 1
    return Record(
        chip="sums", parts=parts, rows=len(parts), fixed=FIXED, weight=0, main=0, projection=2,
        constraints=2, messages=2, sigma_powers=1, rho_powers=2, projection_degree=0,
        mask_rows=mask_rows(hiding, blank=True),
    )  # fmt: skip


def fixed_rows(table):
    return table.parts


def state(b):
    live, _first, step, _last, keep, whole, kind, number, claims, products = b.fixed
    v, s, s_next = *b.projection[:2], b.projection_next[1]
    b.zero(step * s_next - (live - whole) * (keep * s + v))
    b.zero(whole * (s - v))
    b.message(CLAIM, -claims, kind, number, v)
    b.message(PRODUCT, -products, number, ZERO, v)
