"""Trees over matrices of several heights (§4)."""

from errors import check
from field import MONTY, P
from keccak import sponges


def leaves(rows):
    """Digests of rows of base elements, all of one width."""
    packed = []
    for row in rows:
        m = [a * MONTY % P for a in row]
        if len(m) % 2:
            m.append(0)
        packed.append([a | b << 32 for a, b in zip(m[::2], m[1::2])])
    return sponges(packed)


def compress(pairs):
    return sponges([left + right for left, right in pairs])


def join(rows, log_heights, h):
    """The rows of all matrices of height 2^h, side by side, in list order."""
    return [a for row, log_height in zip(rows, log_heights) if log_height == h for a in row]


def check_multi_proof(root, matrices, indices, opened, path, what):
    """Checks one opening of a set of rows.

    `matrices`: (log height, width) of each; `indices`: of the tallest height, one for each query;
    `opened[query][matrix]`: a row; `path`: the digests that cannot be computed.
    """
    log_heights = [h for h, _ in matrices]
    check(len(opened) == len(indices), f"{what}: wrong number of rows")
    for rows in opened:
        right = [len(row) for row in rows] == [width for _, width in matrices]
        check(right, f"{what}: a row has the wrong width")
    # At each layer: the known nodes, and the rows that each query merged in a node shows.
    shown = {}
    for index, rows in zip(indices, opened):
        check(shown.setdefault(index, [rows]) == [rows], f"{what}: two rows at one place")
    top = max(log_heights)
    known = sorted(shown)
    digests = dict(zip(known, leaves([join(shown[i][0], log_heights, top) for i in known])))
    path = list(reversed(path))
    for h in reversed(range(top)):
        pairs, parents = {}, {}
        for node in sorted(digests):
            parents.setdefault(node >> 1, []).extend(shown[node])
            if node >> 1 in pairs:
                continue
            sibling = digests.get(node ^ 1)
            if sibling is None:
                check(path, f"{what}: a digest is missing")
                sibling = path.pop()
            mine = digests[node]
            pairs[node >> 1] = (sibling, mine) if node & 1 else (mine, sibling)
        digests = dict(zip(pairs, compress(list(pairs.values()))))
        shown = parents
        if h in log_heights:
            rows = []
            for node in digests:
                first, *others = (join(r, log_heights, h) for r in shown[node])
                check(all(r == first for r in others), f"{what}: two rows at one place")
                rows.append(first)
            digests = dict(zip(digests, compress(list(zip(digests.values(), leaves(rows))))))
    check(not path, f"{what}: a digest is left over")
    check(digests == {0: tuple(root)}, f"{what}: not the committed root")


def commit(matrices):
    """The root of whole matrices: a list of (log height, rows)."""
    top = max(h for h, _ in matrices)

    def layer(h):
        of_height = [rows for log_height, rows in matrices if log_height == h]
        return leaves([[a for row in rows for a in row] for rows in zip(*of_height)])

    nodes = layer(top)
    for h in reversed(range(top)):
        nodes = compress(list(zip(nodes[::2], nodes[1::2])))
        if any(log_height == h for log_height, _ in matrices):
            nodes = compress(list(zip(nodes, layer(h))))
    return nodes[0]
