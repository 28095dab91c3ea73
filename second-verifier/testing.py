"""What the tests share: reports, samples, and files with other statements."""

import ast
import struct
import subprocess
import zipfile
from types import SimpleNamespace as Record

from audit import fixed_root
from codec import PROVING_KEY, Reader, read_graph, read_header, read_statement
from errors import Malformed, Rejected
from field import MONTY, ONE, P, Ext
from layout import lay_out
from statement import PARTS
from verify import load_key, verify

SHOW_ALL = ["--input-visibility", "public", "--output-visibility", "public"]
counts = {True: 0, False: 0}


def report(ok, what):
    counts[ok] += 1
    print(f"{'ok    ' if ok else 'FAILED'} {what}", flush=True)


def run(provenn, *command):
    subprocess.run([provenn, "-q", *command], check=True, capture_output=True)


def first_sample(npz):
    """The first sample of `in_…` of an .npz file, as nested JSON lists."""
    with zipfile.ZipFile(npz) as archive:
        name = next(n for n in archive.namelist() if n.startswith("in_"))
        data = archive.read(name)
    assert data[:8] == b"\x93NUMPY\x01\x00"
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"]
    samples, rows, columns = header["shape"]
    assert samples > 0 and rows == 1
    return [list(struct.unpack_from(f"<{columns}f", data, start))]


def refusal(key, data):
    """Why a proof is refused; nothing if it is accepted."""
    try:
        verify(key, data)
    except (Malformed, Rejected) as error:
        return str(error)
    return None


def refused(key, data):
    return refusal(key, data) is not None


def key_is_sound(data, audit=True):
    try:
        load_key(data, audit)
    except Malformed:
        return False
    return True


def unranged(vk, pk):
    """Verifying and proving key of the model with one value less in its first input's range: no
    power of two. No option of `setup` makes such keys. The commitment F is that of our audit:
    `provenn` proves with the key only if it comes to the same."""
    key = load_key(vk)
    _, payload = read_header(pk, PROVING_KEY)
    r = Reader(payload)
    graph = read_graph(r)
    old = payload[: r.at]
    r = Reader(payload)
    # The number of tensors, and of the first what stands before its range.
    r.u64(), r.string(), r.list(r.u32), r.list(lambda: r.take(8)), r.take(16)
    lo, hi = graph.tensors[0].range
    graph.tensors[0].range = lo, hi - 1
    new = old[: r.at] + struct.pack("<ii", lo, hi - 1) + old[r.at + 8 :]
    tables = lay_out(graph, key.hiding)
    root = fixed_root(tables, key.parameters.log_blowup)
    roots = struct.pack("<4Q", *key.fixed), struct.pack("<4Q", *root)
    assert (vk.count(old), pk.count(old)) == (1, 2)
    assert vk.count(roots[0]) == pk.count(roots[0]) == 1
    return tuple(data.replace(old, new).replace(*roots) for data in (vk, pk))


def written_graph(graph):
    """The bytes of a graph, as a key has them."""

    def pack(kinds, *values):
        return struct.pack("<" + kinds, *values)

    def entries(of, each):
        return pack("Q", len(of)) + b"".join(map(each, of))

    def name(of):
        return pack("Q", len(of.name.encode())) + of.name.encode()

    def number(n):
        return pack("I", n)

    def encoding(e):
        if e.uniform:
            return pack("Ih", 0, e.frac_bits)
        bits = entries(e.frac_bits, lambda n: pack("h", n))
        return number(1) + bits + entries(e.zero_point, lambda n: pack("i", n))

    def tensor(t):
        shape = entries(t.shape, number) + entries(t.dims, lambda dim: pack("II", *dim))
        return name(t) + shape + pack("4I2i", t.features, *t.extent, *t.range) + encoding(t.encoding)

    def term(t):
        m = t.map
        head = pack("I3?5I", t.input, *m.merged, m.first_input, m.groups, m.inputs, m.first_output, m.outputs)
        axes = b"".join(
            pack("4Ii2I", x.taps, x.stride, x.expand, x.dilation, x.pad, x.start, x.to) for x in m.axes
        )
        taps = b"" if m.taps is None else entries(m.taps, lambda n: pack("i", n))
        return head + axes + number(m.kernel) + taps + (b"" if m.gate is None else number(m.gate))

    def layer(l):
        head = name(l) + entries(l.terms, term) + pack("IIBB", l.combine, l.output, l.shift, l.excess_bits)
        scales = pack("hh4i", l.in_frac_bits, l.out_frac_bits, *l.domain, *l.image)
        return head + pack(f"{len(l.function)}I", *l.function) + scales

    lists = entries(graph.inputs, number) + entries(graph.outputs, number)
    return entries(graph.tensors, tensor) + entries(graph.layers, layer) + lists


def read_weights(data):
    _, payload = read_header(data, PROVING_KEY)
    r = Reader(payload)
    read_graph(r)
    return r.list(lambda: (r.list(lambda: r.list(r.i16)), r.list(r.i32)))


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def survivors(key, data, flips):
    """Which of these flipped bits go unnoticed."""
    return [bit for bit in flips if not refused(key, flipped(data, bit))]


def read_file(data):
    """A proof file's statement, and where it ends."""
    r = Reader(data)
    r.take(12 + 32)
    inputs, outputs = read_statement(r)
    return inputs, outputs, r.at


def restated(data, inputs, outputs):
    """The proof with another statement."""
    _, _, end = read_file(data)
    statement = b""
    for tensors in (inputs, outputs):
        statement += struct.pack("<Q", len(tensors)) + b"".join(map(encode, tensors))
    return data[: 12 + 32] + statement + data[end:]


def encode(said):
    def ints(kind, values):
        return struct.pack(f"<Q{len(values)}{kind}", len(values), *values)

    def lists(entries):
        return struct.pack("<Q", len(entries)) + b"".join(entries)

    parts = {
        "values": lambda values: ints("i", values),
        "digest": lambda d: struct.pack("<I?", d.hash, d.salted) + d.bytes,
        "bounds": lambda bounds: lists([struct.pack("<ii", *interval) for interval in bounds]),
        "leading": lambda leading: lists([ints("I", features) for features in leading]),
    }
    encoded = b""
    for part in PARTS:
        content = getattr(said, part)
        encoded += b"\0" if content is None else b"\1" + parts[part](content)
    return encoded


# Proofs as files, and every way to change one field of them


def words(elements):
    return struct.pack(f"<{len(elements)}I", *(a * MONTY % P for a in elements))


def written(value, name=""):
    """The bytes of what the codec read; `name` is that of the field it is in, or of the list."""
    if isinstance(value, Ext):
        return words(value.c)
    if isinstance(value, int):
        return words([value])
    if isinstance(value, bytes):
        return value
    if isinstance(value, tuple):
        # A digest of a path stands alone, a commitment is a cap of one digest.
        cap = b"" if name == "path" else struct.pack("<Q", 1)
        return cap + struct.pack("<4Q", *value)
    if isinstance(value, list):
        return struct.pack("<Q", len(value)) + b"".join(written(v, name) for v in value)
    return b"".join(written(content, field) for field, content in vars(value).items())


def variants(value, rng):
    """Every field with another value, and every list with another length: (where, all of it). Of a
    list's entries one is changed."""
    if isinstance(value, Ext):
        yield "", value + ONE
    elif isinstance(value, int):
        yield "", (value + 1) % P
    elif isinstance(value, bytes):
        yield "", flipped(value, rng.randrange(8 * len(value)))
    elif isinstance(value, tuple):
        i = rng.randrange(len(value))
        yield "", (*value[:i], value[i] ^ 1, *value[i + 1 :])
    elif isinstance(value, list):
        yield ", longer", value + (value[-1:] or [ONE])
        if value:
            yield ", shorter", value[:-1]
            i = rng.randrange(len(value))
            for where, other in variants(value[i], rng):
                yield f"[{i}]{where}", value[:i] + [other] + value[i + 1 :]
    else:
        for field, content in vars(value).items():
            for where, other in variants(content, rng):
                yield f".{field}{where}", Record(**{**vars(value), field: other})
