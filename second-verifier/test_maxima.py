"""Maxima within rows: the key of docs/protocol.md §16, real keys and proofs, graphs that are none."""

import json
import random
import struct
import subprocess
from types import SimpleNamespace as Record

from attest import verify_attestation
from audit import fixed_root, weight_root
from codec import MAGIC, NONE, VERIFYING_KEY, VERSION
from errors import Malformed, Rejected
from field import Ext
from maps import AXES, GATE, IDENTITY, MAX, SUM, TAPS, WEIGHTS
from onnx import pooling_model
from security import security_rounds
from terms import Terms
from test_convolutions import column_at
from testing import (
    SHOW_ALL, key_is_sound, read_file, read_weights, refused, report, restated, run, survivors,
    written_graph,
)  # fmt: skip
from verify import load_key, verify

FLIPS = 10
DIGESTS = (
    "f1092cf5200d3d1961fb698c5f98d4e1ca0a2ec7bf2aa19c37b62fa1afdf9198",
    "ae51c4787ca0acd8358f73420a8cce2caef9ef1b035e89026daad74c91d7cd57",
)
# Units on each axis; tensors with their units.
GROUPS = [
    ([1, 6, 3], [(0, [1, 1, 3]), (4, [1, 1, 1])]),
    ([1, 3, 5], [(1, [1, 2, 2]), (2, [1, 1, 2]), (3, [1, 1, 1])]),
    ([1, 3, 5], [(5, [1, 1, 1])]),
    ([1, 2, 4], [(6, [1, 2, 2]), (7, [1, 1, 2]), (8, [1, 1, 2]), (9, [1, 1, 1]), (10, [1, 1, 1])]),
    ([1, 1, 1], [(11, [1, 1, 1])]),
    ([1, 1, 1], [(12, [1, 1, 1])]),
]
TABLES = [
    ("activation", 37, 9, 62, 0, 14, 8, 10, 19),
    ("activation", 31, 9, 43, 0, 31, 4, 14, 27),
    ("activation", 37, 9, 39, 0, 7, 3, 5, 8),
    ("activation", 17, 9, 59, 0, 25, 7, 13, 25),
    ("weights", 122, 9, 25, 3, 0, 1, 1, 1),
    ("overhang", 187, 9, 36, 0, 4, 1, 1, 1),
    ("sums", 28, 9, 10, 0, 0, 2, 2, 2),
    ("range", 167, 9, 10, 0, 3, 0, 2, 3),
    ("functions", 1639, 11, 64, 0, 15, 0, 8, 15),
]
# Ratios and forms of each activation table: own, of each slot.
LISTS = [
    [(2, 1), (3, 1), (3, 1), (3, 1), (2, 1)],
    [(3, 2), (3, 1), (3, 1)],
    [(4, 2), (4, 2)],
    [(3, 1), (3, 1), (3, 1), (3, 1), (3, 1), (3, 1)],
]
LEVELS = [146.19, 135.54, 147.79, 141.53, 131.05, 138.53, 101.54, 128.0]
FIXED = {
    (0, 11): (467489978, 2010863915, 1137027946, 333863576, 778325562),
    (1, 15): (1405699750, 13241869, 274194344, 740459056, 424734783),
    (1, 17): (783673660, 1843247381, 1835927774, 830622368, 624890417),
    (3, 35): (1275884144, 290994760, 1926974288, 1225995557, 1648739161),
    (3, 44): (1010115298, 1951876838, 1309326067, 1213940932, 907860803),
}

def shape_of(table):
    """As `provenn inspect --json` has it."""
    names = "chip rows log_height fixed weight main projection lookup messages".split()
    return tuple(getattr(table, name) for name in names)


def test_maxima_key(path):
    data, name = path.read_bytes(), "key of a graph with maxima"
    key = load_key(data)
    found = key.digest.hex(), key.model_digest.hex()
    report(found == DIGESTS, f"{name}: digests {found}")
    found = [
        (group.extent, [(m.tensor, m.unit) for m in group.members])
        for group in Terms(key.graph).groups.all
    ]
    report(found == GROUPS, f"{name}: groups {found}")
    found = list(map(shape_of, key.tables))
    report(found == TABLES, f"{name}: tables {found}")
    lists = [[t.own] + [s.lists for s in t.slots] for t in key.tables if t.chip == "activation"]
    found = [[(len(l.ratios), len(l.forms)) for l in of_table] for of_table in lists]
    report(found == LISTS, f"{name}: ratios and forms {found}")
    rounds = security_rounds(key.graph, key.tables, key.parameters).values()
    found = [round(bits, 2) for bits in rounds]
    report(found == LEVELS, f"{name}: levels {found}")
    for (i, column), value in FIXED.items():
        found = column_at(key.tables[i], column, Ext(1, 2, 3, 4, 5)).c
        report(found == value, f"{name}: fixed column {column} of table {i} {found}")
    report(key_is_sound(data), f"{name}: fixed columns rebuilt")


# Keys and proofs that provenn makes. How to set up, what to show.
CASES = (
    ([], ["--input-visibility", "public"]),
    (["--no-zk"], SHOW_ALL),
    (["--profile", "p128"], ["--output-visibility", "private"]),
    (["--weights", "private", "--proofs", "2"], []),
)


def inspected(provenn, path):
    """The shapes of a key's tables, as provenn reports them."""
    found = subprocess.run([provenn, "inspect", path, "--json"], check=True, capture_output=True)
    names = "chip rows height fixed weight main projection lookup messages".split()
    tables = [[t[name] for name in names] for t in json.loads(found.stdout)["tables"]]
    return [(chip, rows, height.bit_length() - 1, *of) for chip, rows, height, *of in tables]


def test_case(provenn, folder, name, model, calibrate, sample, setup, visibility):
    keys, proof = folder / "maxima", folder / "maxima.proof"
    name = f"{name}, {' '.join(setup + visibility)}".rstrip(", ")
    run(provenn, "setup", model, "--calibrate", calibrate, *setup, "--attest", "-o", keys)
    run(provenn, "prove", keys / "model.pk", "--input", sample, "-o", proof, *visibility)
    vk, pk, attestation = ((keys / f"model.{end}").read_bytes() for end in ("vk", "pk", "attest"))
    key, data = load_key(vk), proof.read_bytes()
    same = list(map(shape_of, key.tables)) == inspected(provenn, keys / "model.vk")
    report(same, f"{name}: the tables of provenn")
    report(key_is_sound(vk), f"{name}: fixed columns rebuilt")
    if "private" not in setup:
        root = weight_root(key.graph, key.tables, read_weights(pk), key.parameters.log_blowup)
        report(root == key.weights, f"{name}: weight commitment rebuilt")
    try:
        verify(key, data)
        verify_attestation(key, attestation)
        report(True, f"{name}: proof and attestation accepted")
    except (Malformed, Rejected) as error:
        report(False, f"{name}: {error}")
    if visibility[:2] == SHOW_ALL[:2]:
        test_meaning(name, data)
    rng = random.Random(name)
    left = survivors(key, data, [rng.randrange(8 * len(data)) for _ in range(FLIPS)])
    report(not left, f"{name}: {FLIPS} flipped bits refused {left or ''}".rstrip())
    if read_file(data)[1][0].values is not None:
        others = list(other_maxima(key, data))
        report(all(refused(key, d) for d in others), f"{name}: {len(others)} other outputs refused")


def test_meaning(name, data):
    """Of the second output, a maximum of three elements each of the input: both are shown."""
    inputs, (_, maxima, *_), _ = read_file(data)
    x = inputs[0].values
    right = maxima.values == [max(x[i : i + 3]) for i in range(0, len(x), 3)]
    report(right, f"{name}: the largest elements of the input")


def other_maxima(key, data):
    """The proof with one value of its first output more or less by one, for some of them."""
    for i in range(0, len(read_file(data)[1][0].values), 5):
        for step in (-1, 1):
            inputs, outputs, _ = read_file(data)
            outputs[0].values[i] += step
            yield restated(data, inputs, outputs)


# Graphs that have maxima, or would


def axis(taps=1, stride=1, dilation=1, pad=0, size=1):
    return Record(
        taps=taps, stride=stride, expand=1, dilation=dilation, pad=pad, start=0, to=size
    )


def term_of(tensor, i, width_axis, kernel=TAPS, gate=None):
    """Reads every feature of a tensor for itself."""
    depth, height, width = tensor.extent
    width_axis.to = width
    return Record(input=i, map=Record(
        merged=[False] * AXES, first_input=0, groups=tensor.features, inputs=1, first_output=0,
        outputs=1, axes=[axis(size=depth), axis(size=height), width_axis], kernel=kernel,
        taps=[1] * width_axis.taps if kernel == TAPS else None, gate=gate,
    ))  # fmt: skip


class Net:
    """A graph of two features, of lines of integers from 0 to 15."""

    def __init__(self, width):
        self.graph = Record(tensors=[], layers=[], inputs=[0], outputs=[])
        self.tensor(width)

    def tensor(self, width):
        shape = [2, width]
        self.graph.tensors.append(Record(
            name="", shape=shape, dims=[(0, 2), (3, width)], features=2, extent=[1, 1, width],
            range=(0, 15), encoding=Record(uniform=True, frac_bits=0),
        ))  # fmt: skip

    def term(self, i, taps=1, kernel=TAPS, gate=None, **of_axis):
        return term_of(self.graph.tensors[i], i, axis(taps, **of_axis), kernel, gate)

    def layer(self, width, *terms, combine=SUM):
        self.tensor(width)
        number = len(self.graph.tensors) - 1
        self.graph.layers.append(Record(
            name="", terms=list(terms), combine=combine, output=number, shift=0, excess_bits=0,
            function=IDENTITY, in_frac_bits=0, out_frac_bits=0, domain=(0, 15), image=(0, 15),
        ))  # fmt: skip
        return number

    def end(self, *read):
        """Reads what is not read otherwise."""
        for i in read:
            width = self.graph.tensors[i].extent[2]
            self.graph.outputs.append(self.layer(width, self.term(i)))
        return self.graph


def overlapping(width=9, stride=2, taps=2, terms=1):
    """The largest of `taps` elements and of the first one of the next stride."""
    net, windows = Net(width), width // stride
    copy = net.layer(windows, net.term(0, stride=stride, pad=-stride))
    own = [net.term(0, taps, stride=stride) for _ in range(terms)]
    return net.end(net.layer(windows, *own, net.term(copy), combine=MAX))


def shared_copy():
    """Two maxima of tensors of their own, and of one copy."""
    net = Net(9)
    second, copy = net.layer(9, net.term(0)), net.layer(4, net.term(0, stride=2, pad=-2))
    maxima = [
        net.layer(4, net.term(x, 2, stride=2), net.term(copy), combine=MAX) for x in (0, second)
    ]
    return net.end(*maxima)


def gated():
    """A tensor times a maximum of it."""
    net = Net(2)
    m = net.layer(1, net.term(0, 2, stride=2), combine=MAX)
    return net.end(net.layer(2, net.term(0, kernel=GATE, gate=m)))


def read_otherwise(merged=False, kernel=WEIGHTS, **of_axis):
    """A term that reads what a maximum is taken of."""
    net = Net(8)
    m = net.layer(4, net.term(0, 2, stride=2), combine=MAX)
    net.end(m)
    term = net.term(0, kernel=kernel, **of_axis)
    if merged:
        term.map.merged[2], term.map.axes[2].to = True, 1
        groups, inputs = (2, 1) if kernel == TAPS else (1, 16)
        set_in(term.map, first_input=16 - groups * inputs, groups=groups, inputs=inputs, outputs=2 // groups)
    net.graph.outputs.append(net.layer(1 if merged else 4, term))
    return net.graph


def changed(change, make=overlapping):
    graph = make()
    change(graph)
    return graph


def maximum_of(graph):
    return graph.layers[1]


def set_in(found, **values):
    vars(found).update(values)


def narrow(graph):
    layer = maximum_of(graph)
    layer.domain = layer.image = graph.tensors[layer.output].range = (0, 14)


def rescale(graph):
    graph.tensors[0].encoding.frac_bits = 1


# Graphs, and why they are refused, if they are.
GRAPHS = (
    ("overlapping windows", overlapping, ""),
    ("units of 16 parts", lambda: overlapping(300, 16, 16), ""),
    ("units of 17 parts", lambda: overlapping(300, 17), "too many parts"),
    ("windows of 31 elements", lambda: overlapping(300, 16, 15, 2), ""),
    ("windows of 33 elements", lambda: overlapping(300, 16, 16, 2), "too many elements"),
    ("a window of two units", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map.axes[2], dilation=2)), "two units"),
    ("a padded window", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map.axes[2], pad=1)), "whole windows"),
    ("a window that ends outside", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map.axes[2], pad=-1), lambda: overlapping(8)), "whole windows"),
    ("a copy that reads beyond its tensor", lambda: overlapping(8), ""),
    ("learned weights in a maximum", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map, kernel=WEIGHTS, taps=None)), "whole windows"),
    ("a factor in a maximum", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map, taps=[1, 2])), "whole windows"),
    ("a maximum of some features", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[0].map, groups=1)), "whole windows"),
    ("a maximum that is shifted", lambda: changed(lambda g: set_in(
        maximum_of(g), shift=1)), "whole windows"),
    ("a maximum that is looked up", lambda: changed(lambda g: set_in(
        maximum_of(g), function=(1,))), "whole windows"),
    ("a maximum of another scale", lambda: changed(rescale), "whole windows"),
    ("a maximum of a smaller range", lambda: changed(narrow), "whole windows"),
    ("terms of other strides", lambda: changed(lambda g: set_in(
        maximum_of(g).terms[1].map.axes[2], stride=2)), "whole windows"),
    ("a copy that is shifted", lambda: changed(lambda g: set_in(
        g.layers[0], shift=1)), "cannot lie in its rows"),
    ("a copy that is looked up", lambda: changed(lambda g: set_in(
        g.layers[0], function=(1,))), "cannot lie in its rows"),
    ("a copy that saturates", lambda: changed(lambda g: set_in(
        g.layers[0].terms[0].map, taps=[2])), "cannot lie in its rows"),
    ("a copy with learned weights", lambda: changed(lambda g: set_in(
        g.layers[0].terms[0].map, kernel=WEIGHTS, taps=None)), "cannot lie in its rows"),
    ("a copy of two groups", shared_copy, "cannot lie in its rows"),
    ("a gate in a group", gated, "lies in a group"),
    ("one phase that is read", lambda: read_otherwise(stride=2), ""),
    ("two phases that are read", lambda: read_otherwise(taps=2, stride=2), "reads the parts"),
    ("a stride beyond the unit", lambda: read_otherwise(stride=3), "reads the parts"),
    ("an image that is read flat", lambda: read_otherwise(merged=True), "reads the parts"),
    ("elements that are read flat", lambda: read_otherwise(True, TAPS), "reads the parts"),
)


def key_of(graph, fixed=(0,) * 4):
    """A plain key, its weights of no meaning."""
    head = MAGIC + struct.pack("<BBHBI", VERIFYING_KEY, 1, VERSION, 1, NONE)
    roots = struct.pack("<Q4QQ4Q", 1, *fixed, 1, 0, 0, 0, 0)
    return head + written_graph(graph) + roots


def test_graphs(provenn, folder):
    """Both verifiers must come to the same verdict, and to the same fixed columns."""
    path = folder / "graph.vk"
    for name, make, why in GRAPHS:
        graph, found = make(), ""
        data = key_of(graph)
        try:
            key = load_key(data)
            data = key_of(graph, fixed_root(key.tables, key.parameters.log_blowup))
        except Malformed as error:
            found = str(error)
        path.write_bytes(data)
        theirs = subprocess.run([provenn, "inspect", path], capture_output=True, text=True).stderr
        same = ("graph is refused" in theirs) if why else not theirs
        verdict = "refused" if why else "valid"
        ok = bool(found) == bool(why) and why in found and same
        report(ok, f"{name}: {verdict} {found}{'' if same else theirs}".rstrip())


def test_maxima(provenn, folder, key, models):
    test_maxima_key(key)
    test_graphs(provenn, folder)
    model, sample = folder / "maxima.onnx", folder / "maxima.json"
    sample.write_text(json.dumps({"input_data": [pooling_model(model)]}))
    for setup, visibility in CASES:
        test_case(provenn, folder, "maxima", model, sample, sample, setup, visibility)
    lenet = models / "lenet5_mnist"
    digit = models.parent / "mnist-seven.json"
    test_case(provenn, folder, "LeNet-5", lenet / "model.onnx", lenet / "refs.npz", digit, [], [])
