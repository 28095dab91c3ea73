"""Files: header, payload, verifying key and proof (§6)."""

import struct
from types import SimpleNamespace as Record

from errors import Malformed, well_formed
from field import MONTY_INVERSE, P, Ext
from keccak import digest
from maps import AXES, GATE, TAPS

MAGIC = b"PROVENN\0"
VERSION = 7
VERIFYING_KEY, PROOF, PROVING_KEY, REKEY_PROOF, ATTESTATION = 1, 2, 3, 4, 5
MAX_KEY_BYTES = 2**24
NONE, DATA, DATA_AND_WEIGHTS = range(3)


class Reader:
    """Reads a payload from front to back. Every list knows the least size of its entries."""

    def __init__(self, payload):
        self.payload, self.at = payload, 0

    def take(self, n):
        well_formed(n <= len(self.payload) - self.at, "the file is truncated")
        self.at += n
        return self.payload[self.at - n : self.at]

    def unsigned(self, size):
        return int.from_bytes(self.take(size), "little")

    def signed(self, size):
        return int.from_bytes(self.take(size), "little", signed=True)

    def u8(self):
        return self.unsigned(1)

    def u32(self):
        return self.unsigned(4)

    def u64(self):
        return self.unsigned(8)

    def i16(self):
        return self.signed(2)

    def i32(self):
        return self.signed(4)

    def list(self, entry):
        n = self.u64()
        # Every entry of every list has at least two bytes: no length makes us loop for long.
        well_formed(2 * n <= len(self.payload) - self.at, "a list is longer than the file")
        return [entry() for _ in range(n)]

    def string(self):
        try:
            return self.take(self.u64()).decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a name is not UTF-8") from None

    def variant(self, count):
        n = self.u32()
        well_formed(n < count, "unknown variant")
        return n

    def flag(self):
        n = self.u8()
        well_formed(n < 2, "a flag is neither 0 nor 1")
        return n == 1

    def option(self, content):
        return content() if self.flag() else None

    def elements(self, n):
        words = struct.unpack(f"<{n}I", self.take(4 * n))
        well_formed(all(v < P for v in words), "a field element is not canonical")
        return [v * MONTY_INVERSE % P for v in words]

    def base(self):
        return self.elements(1)[0]

    def bases(self):
        n = self.u64()
        well_formed(4 * n <= len(self.payload) - self.at, "a list is longer than the file")
        return self.elements(n)

    def ext(self):
        return Ext(*self.elements(5))

    def digest4(self):
        return tuple(self.u64() for _ in range(4))

    def commitment(self):
        cap = self.list(self.digest4)
        well_formed(len(cap) == 1, "a commitment is not a single root")
        return cap[0]

    def end(self):
        well_formed(self.at == len(self.payload), "bytes follow the end of the data")


def read_header(data, kind):
    """The profile byte and the payload."""
    well_formed(len(data) >= 12 and data[:8] == MAGIC, "this is not a provenn file")
    well_formed(data[8] == kind, "this is a file of another kind")
    well_formed(int.from_bytes(data[10:12], "little") == VERSION, "unknown format version")
    return data[9], data[12:]


def read_graph(r):
    def interval():
        return r.i32(), r.i32()

    def encoding():
        if r.variant(2) == 0:
            return Record(uniform=True, frac_bits=r.i16())
        return Record(uniform=False, frac_bits=r.list(r.i16), zero_point=r.list(r.i32))

    def tensor():
        return Record(
            name=r.string(), shape=r.list(r.u32), dims=r.list(lambda: (r.variant(4), r.u32())),
            features=r.u32(), extent=[r.u32() for _ in range(AXES)],
            range=interval(), encoding=encoding(),
        )  # fmt: skip

    def layer():
        return Record(
            name=r.string(), terms=r.list(lambda: read_term(r)), combine=r.variant(2),
            output=r.u32(), shift=r.u8(), excess_bits=r.u8(),
            function=read_function(r), in_frac_bits=r.i16(), out_frac_bits=r.i16(),
            domain=interval(), image=interval(),
        )  # fmt: skip

    return Record(
        tensors=r.list(tensor), layers=r.list(layer), inputs=r.list(r.u32),
        outputs=r.list(r.u32),
    )  # fmt: skip


# Parameters of each function, by the number of its variant.
PARAMETERS = 0, 0, 0, 0, 2, 1, 0, 2, 0, 1, 0, 0, 0, 1, 0


def read_function(r):
    """The number of the variant, then the bits of its parameters."""
    variant = r.variant(len(PARAMETERS))
    return (variant, *(r.u32() for _ in range(PARAMETERS[variant])))


def read_term(r):
    """A tensor and its map. Names of ours: `start` is the page's `from`, `gate` and `taps` are what the
    kernel brings with it."""

    def axis():
        return Record(
            taps=r.u32(), stride=r.u32(), expand=r.u32(), dilation=r.u32(), pad=r.i32(),
            start=r.u32(), to=r.u32(),
        )  # fmt: skip

    term = Record(input=r.u32())
    term.map = Record(
        merged=[r.flag() for _ in range(AXES)], first_input=r.u32(), groups=r.u32(), inputs=r.u32(),
        first_output=r.u32(), outputs=r.u32(), axes=[axis() for _ in range(AXES)],
        kernel=r.variant(3),
    )  # fmt: skip
    term.map.taps = r.list(r.i32) if term.map.kernel == TAPS else None
    term.map.gate = r.u32() if term.map.kernel == GATE else None
    return term


def read_verifying_key(data):
    well_formed(len(data) <= MAX_KEY_BYTES, "the verifying key is too long")
    header_profile, payload = read_header(data, VERIFYING_KEY)
    r = Reader(payload)
    profile, privacy = r.u8(), r.variant(3)
    proofs = r.u32() if privacy == DATA_AND_WEIGHTS else 0
    start = r.at
    key = Record(
        profile=profile, privacy=privacy, proofs=proofs, graph=read_graph(r),
        fixed=r.commitment(), weights=r.commitment(),
    )  # fmt: skip
    r.end()
    well_formed(profile == header_profile, "header and key name different profiles")
    key.digest = digest("provenn verifying key", payload)
    key.model_digest = digest("provenn model", payload[start:])
    return key


def read_statement(r):
    """What is said of every input and every output."""

    def digest_of_tensor():
        return Record(hash=r.variant(2), salted=r.flag(), bytes=r.take(32))

    def disclosed():
        return Record(
            values=r.option(lambda: r.list(r.i32)), digest=r.option(digest_of_tensor),
            bounds=r.option(lambda: r.list(lambda: (r.i32(), r.i32()))),
            leading=r.option(lambda: r.list(lambda: r.list(r.u32))),
        )  # fmt: skip

    return r.list(disclosed), r.list(disclosed)


def read_proof(data, profile):
    header_profile, payload = read_header(data, PROOF)
    well_formed(header_profile == profile, "the proof is of another profile than the key")
    r = Reader(payload)
    key, (inputs, outputs) = r.take(32), read_statement(r)
    proof = Record(key=key, inputs=inputs, outputs=outputs, **read_proof_of_tables(r))
    r.end()
    return proof


def read_attestation(data, profile):
    header_profile, payload = read_header(data, ATTESTATION)
    well_formed(header_profile == profile, "the attestation is of another profile than the key")
    r = Reader(payload)
    attestation = Record(key=r.take(32), **read_proof_of_tables(r))
    r.end()
    return attestation


def read_rekey_proof(data, profile):
    header_profile, payload = read_header(data, REKEY_PROOF)
    well_formed(header_profile == profile, "the rekey proof is of another profile than the keys")
    r = Reader(payload)
    proof = Record(
        old=r.take(32), new=r.take(32), quotient=r.commitment(), ood_pow=r.base(),
        opened=read_opened(r, "old new quotient"), mask=r.list(r.ext), **read_fri_proof(r),
    )  # fmt: skip
    r.end()
    return proof


def read_proof_of_tables(r):
    """What the page calls `Proof`."""
    names = "fixed weight main projection projection_next lookup lookup_next quotient"
    return dict(
        main=r.commitment(), projection=r.commitment(), lookup=r.commitment(),
        quotient=r.commitment(), terminals=r.list(r.ext), lookup_pow=r.base(), ood_pow=r.base(),
        opened=read_opened(r, names), mask=r.list(r.ext), **read_fri_proof(r),
    )  # fmt: skip


def read_opened(r, names):
    """For each table, a list of values under each name."""
    return r.list(lambda: Record(**{name: r.list(r.ext) for name in names.split()}))


def read_fri_proof(r):
    def input_opening():
        rows = r.list(lambda: r.list(r.bases))
        return Record(rows=rows, path=r.list(r.digest4))

    def round_opening():
        siblings = r.list(lambda: r.list(r.ext))
        return Record(siblings=siblings, path=r.list(r.digest4))

    return dict(
        batch_pow=r.base(), rounds=r.list(r.commitment), round_pow=r.list(r.base),
        input_openings=r.list(input_opening), round_openings=r.list(round_opening),
        final_poly=r.list(r.ext), query_pow=r.base(),
    )  # fmt: skip
