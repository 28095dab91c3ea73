"""Keccak-f[1600], Keccak-256 and the sponge (§3).

Python is slow at single 64-bit words and fast at long integers. So the permutation works on `n`
states at once: each of its 25 words is one integer with `n` lanes of 64 bits, one lane a state.
"""

import struct
from functools import cache

ROUND_CONSTANTS = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
]
# Rotation of the word x + 5y.
ROTATIONS = [
    0, 1, 62, 28, 27,
    36, 44, 6, 55, 20,
    3, 10, 43, 25, 39,
    41, 45, 15, 21, 8,
    18, 2, 61, 56, 14,
]
# Where the word x + 5y goes: y + 5·(2x + 3y).
PI = [i // 5 + 5 * ((2 * (i % 5) + 3 * (i // 5)) % 5) for i in range(25)]
STEPS = list(zip(range(25), PI, ROTATIONS))
RATE = 17
BATCH = 256


@cache
def _masks(n):
    """For each rotation r: the bits ≥ r and the bits < r of every lane; and a 1 in every lane."""
    ones = sum(1 << 64 * i for i in range(n))
    return [(ones * (2**64 - 2**r), ones * (2**r - 1)) for r in range(64)], ones


def permute(s, n=1):
    """Keccak-f[1600] on `n` states, lane by lane."""
    masks, ones = _masks(n)
    high1, low1 = masks[1]
    steps = [(i, to, r, 64 - r, *masks[r]) for i, to, r in STEPS]
    b = [0] * 25
    for constant in ROUND_CONSTANTS:
        # θ
        c0 = s[0] ^ s[5] ^ s[10] ^ s[15] ^ s[20]
        c1 = s[1] ^ s[6] ^ s[11] ^ s[16] ^ s[21]
        c2 = s[2] ^ s[7] ^ s[12] ^ s[17] ^ s[22]
        c3 = s[3] ^ s[8] ^ s[13] ^ s[18] ^ s[23]
        c4 = s[4] ^ s[9] ^ s[14] ^ s[19] ^ s[24]
        d = (
            c4 ^ (c1 << 1 & high1) ^ (c1 >> 63 & low1),
            c0 ^ (c2 << 1 & high1) ^ (c2 >> 63 & low1),
            c1 ^ (c3 << 1 & high1) ^ (c3 >> 63 & low1),
            c2 ^ (c4 << 1 & high1) ^ (c4 >> 63 & low1),
            c3 ^ (c0 << 1 & high1) ^ (c0 >> 63 & low1),
        ) * 5
        # ρ and π
        for i, to, left, right, high, low in steps:
            t = s[i] ^ d[i]
            b[to] = (t << left & high) | (t >> right & low)
        # χ: a ^ (~b & c) = a ^ c ^ (b & c)
        s = []
        for y in (0, 5, 10, 15, 20):
            b0, b1, b2, b3, b4 = b[y : y + 5]
            s += [
                b0 ^ b2 ^ (b1 & b2),
                b1 ^ b3 ^ (b2 & b3),
                b2 ^ b4 ^ (b3 & b4),
                b3 ^ b0 ^ (b4 & b0),
                b4 ^ b1 ^ (b0 & b1),
            ]
        # ι
        s[0] ^= constant * ones
    return s


def keccak256(message):
    """The original Keccak-256: padding 01 … 80."""
    padding = bytearray(136 - len(message) % 136)
    padding[0] ^= 0x01
    padding[-1] ^= 0x80
    message = bytes(message) + padding
    s = [0] * 25
    for start in range(0, len(message), 136):
        for i, word in enumerate(struct.unpack_from("<17Q", message, start)):
            s[i] ^= word
        s = permute(s)
    return struct.pack("<4Q", *s[:4])


def digest(tag, message):
    """A tagged digest."""
    tag = tag.encode()
    return keccak256(struct.pack("<Q", len(tag)) + tag + message)


def sponges(messages):
    """The overwrite sponge without padding, on many messages of one length (in words).

    Returns a digest of four words for each.
    """
    digests = []
    for start in range(0, len(messages), BATCH):
        digests += _sponges(messages[start : start + BATCH])
    return digests


def _sponges(messages):
    n = len(messages)
    assert all(len(m) == len(messages[0]) for m in messages)
    lanes = struct.Struct(f"<{n}Q")
    words = [int.from_bytes(lanes.pack(*column), "little") for column in zip(*messages)]
    state = [0] * 25
    for start in range(0, len(words), RATE):
        block = words[start : start + RATE]
        state[: len(block)] = block
        state = permute(state, n)
    return list(zip(*(lanes.unpack(w.to_bytes(8 * n, "little")) for w in state[:4])))
