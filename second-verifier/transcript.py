"""The challenger and the descriptions of sub-transcripts (§5)."""

import struct

from codec import VERSION
from errors import check
from field import MONTY, P, Ext
from keccak import digest, keccak256

EXT = "Algebra(2013265921^5;c4e2411f3b505252b82489ea50039bdeb80fabe356265edcf2df8003827e68ac)"
BASE = "Algebra(2013265921^1;cfa353fe66eeeae7600254a68073d57125abac3820fde7a3e32c84482b826469)"


class Challenger:
    def __init__(self):
        self.input, self.output = bytearray(), bytearray()

    # Observing.

    def observe(self, data):
        if data:
            self.output.clear()
            self.input += data

    def observe_base(self, a):
        self.observe(struct.pack("<I", a * MONTY % P))

    def observe_ext(self, e):
        for a in e.c:
            self.observe_base(a)

    def observe_bytes(self, data):
        """Each byte as a base element."""
        for byte in data:
            self.observe_base(byte)

    def observe_root(self, root):
        self.observe(struct.pack("<4Q", *root))

    # Drawing.

    def byte(self):
        if not self.output:
            self.input = bytearray(keccak256(self.input))
            self.output = bytearray(self.input)
        return self.output.pop()

    def word(self):
        return self.byte() | self.byte() << 8 | self.byte() << 16 | self.byte() << 24

    def draw_base(self):
        while True:
            v = self.word() & 0x7FFFFFFF
            if v < P:
                return v

    def draw(self):
        return Ext(*(self.draw_base() for _ in range(5)))

    def draw_bits(self, n):
        return self.word() & (2**n - 1)

    def check_pow(self, bits, witness, before):
        """A grinding witness; without grinding it must be 0 and touches nothing."""
        ok = witness == 0
        if bits > 0:
            self.byte()
            self.observe_base(witness)
            ok = self.draw_bits(bits) == 0
        check(ok, f"the proof of work before {before} is wrong")

    def describe(self, name, steps, label):
        """Begins a described sub-transcript."""
        digits = len(str(len(steps) - 1))
        text = f"Plonky3 Fiat-Shamir Transcript ({len(steps)} interactions)\n"
        text += "".join(f"{i:0{digits}} {step}\n" for i, step in enumerate(steps))
        name = name.encode()
        identifier = b"\x01" + name + bytes(62 - len(name)) + bytes([len(name)])
        labels = b"".join(struct.pack(">IQ", 8, v) for v in label)
        seed = identifier + keccak256(text.encode())
        seed += struct.pack(">I", len(labels)) + labels + b"\x80"
        self.observe_base(len(seed))
        for i in range(0, len(seed), 3):
            self.observe_base(int.from_bytes(seed[i : i + 3], "little"))


def begin(tag, profile_number, *about):
    """Step *begin* of a proof, about a key and a statement (§11), of a rekey proof, about an old and
    a new key (§17), or of an attestation, about a key (§19)."""
    c = Challenger()
    c.observe_bytes(digest(tag, b"babybear-keccak" + struct.pack("<H", VERSION)))
    c.observe_bytes(bytes([profile_number]))
    for what in about:
        c.observe_bytes(what)
    return c
