"""The hash functions of tensors, their encodings, and the constants of Poseidon2 (§18.1)."""

import hashlib
import struct
from types import SimpleNamespace as Record

from field import P

SHA256, POSEIDON2 = range(2)
HASH_NAMES = "sha256", "poseidon2"
LANES, RATE = 16, 8
EXTERNAL_ROUNDS, INTERNAL_ROUNDS = 8, 13
DOMAIN = int.from_bytes(b"prvn", "big")


def words(data):
    return struct.unpack("<8I", data)


def width_of(interval):
    """How SHA-256 is given the elements of a range: bytes, and whether in two's complement."""
    lo, hi = interval
    for size in (1, 2):
        n = 2 ** (8 * size)
        if 0 <= lo and hi < n:
            return Record(bytes=size, signed=False)
        if -n // 2 <= lo and hi < n // 2:
            return Record(bytes=size, signed=True)
    return None


def sha256_message(values, interval, salt=b""):
    width = width_of(interval)
    return salt + b"".join(v.to_bytes(width.bytes, "little", signed=width.signed) for v in values)


def tensor_digest(function, values, interval, salt=b""):
    """The digest of a tensor, as 32 bytes; `salt` is empty or has 32 bytes."""
    if function == SHA256:
        return hashlib.sha256(sha256_message(values, interval, salt)).digest()
    state = initial_state(len(values), bool(salt))
    for block in blocks(values, salt):
        state = permute([(a + b) % P for a, b in zip(state, block + [0] * (LANES - RATE))])
    return struct.pack("<8I", *state[:RATE])


def initial_state(elements, salted):
    return [0] * RATE + [DOMAIN, elements, int(salted)] + [0] * (LANES - RATE - 3)


def blocks(values, salt):
    absorbed = (list(words(salt)) if salt else []) + [v % P for v in values]
    absorbed += [0] * (-len(absorbed) % RATE)
    return [absorbed[i : i + RATE] for i in range(0, len(absorbed), RATE)]


# Poseidon2


def grain():
    """The bits of the Grain generator, shrunk by themselves."""
    fields = ((1, 2), (0, 4), (31, 12), (LANES, 12), (EXTERNAL_ROUNDS, 10), (INTERNAL_ROUNDS, 10))
    state = "".join(format(value, f"0{width}b") for value, width in fields) + "1" * 30
    state = [int(bit) for bit in state]

    def step():
        bit = state[0] ^ state[13] ^ state[23] ^ state[38] ^ state[51] ^ state[62]
        state.append(bit)
        del state[0]
        return bit

    for _ in range(160):
        step()
    while True:
        chosen, bit = step(), step()
        if chosen:
            yield bit


def round_constants():
    """Of the external rounds, a list for each, and of the internal ones."""
    bits, constants = grain(), []
    while len(constants) < EXTERNAL_ROUNDS * LANES + INTERNAL_ROUNDS:
        value = 0
        for _ in range(31):
            value = 2 * value + next(bits)
        if value < P:
            constants.append(value)
    half = EXTERNAL_ROUNDS // 2 * LANES
    internal = constants[half : half + INTERNAL_ROUNDS]
    external = constants[:half] + constants[half + INTERNAL_ROUNDS :]
    return [external[i : i + LANES] for i in range(0, len(external), LANES)], internal


EXTERNAL, INTERNAL = round_constants()


def fraction(numerator, log_denominator):
    return numerator * pow(2, -log_denominator, P) % P


DIAGONAL = [
    P - 2, 1, 2, fraction(1, 1), 3, 4, fraction(-1, 1), P - 3, P - 4, fraction(1, 8),
    fraction(1, 2), fraction(1, 3), fraction(1, 27), fraction(-1, 8), fraction(-1, 4),
    fraction(-1, 27),
]  # fmt: skip
CIRCULANT = [2, 3, 1, 1]


def external_entry(i, j):
    """M[i][j]: circ(2·C, C, C, C) with C = circ(2, 3, 1, 1)."""
    return (1 + (i // 4 == j // 4)) * CIRCULANT[(j - i) % 4]


def external(state, transposed=False):
    """M·state, or Mᵀ·state. Works on lanes of either field."""

    def entry(i, j):
        return external_entry(j, i) if transposed else external_entry(i, j)

    rows = range(LANES)
    return [add_up(state[j] * entry(i, j) for j in rows) for i in rows]


def internal(state):
    """All ones plus a diagonal. It is its own transpose."""
    everything = add_up(state)
    return [everything + lane * d for lane, d in zip(state, DIAGONAL)]


def add_up(lanes):
    first, *others = lanes
    for lane in others:
        first = first + lane
    return first


def permute(state):
    def reduced(lanes):
        return [lane % P for lane in lanes]

    def full_round(state, constants):
        return reduced(external([pow(a + c, 7, P) for a, c in zip(state, constants)]))

    state = reduced(external(state))
    for constants in EXTERNAL[: EXTERNAL_ROUNDS // 2]:
        state = full_round(state, constants)
    for constant in INTERNAL:
        state = reduced(internal([pow(state[0] + constant, 7, P), *state[1:]]))
    for constants in EXTERNAL[EXTERNAL_ROUNDS // 2 :]:
        state = full_round(state, constants)
    return state
