"""Small ONNX files, written by hand: models no data set is needed for."""

import random
import struct

GRAPH, NODE, INITIALIZER, INPUT, OUTPUT = 7, 1, 5, 11, 12
INT, INTS = 2, 7


def varint(n):
    low = bytes([n % 128 + 128 * (n > 127)])
    return low + varint(n // 128) if n > 127 else low


def field(number, content):
    """A field of a protocol buffer."""
    if isinstance(content, int):
        return varint(8 * number) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(8 * number + 2) + varint(len(content)) + content


def value(name, shape):
    dims = b"".join(field(1, field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def node(kind, inputs, output, **attributes):
    content = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, of_attribute in attributes.items():
        attribute = field(1, name)
        if isinstance(of_attribute, int):
            attribute += field(3, of_attribute) + field(20, INT)
        else:
            attribute += b"".join(field(8, n) for n in of_attribute) + field(20, INTS)
        content += field(5, attribute)
    return content


class Model:
    """A graph with random weights."""

    def __init__(self):
        self.rng = random.Random("weights")
        self.graph = field(2, "model")

    def weights(self, name, *shape):
        count = 1
        for n in shape:
            count *= n
        data = struct.pack(f"<{count}f", *(self.rng.uniform(-1, 1) for _ in range(count)))
        dims = b"".join(field(1, n) for n in shape)
        self.graph += field(INITIALIZER, dims + field(2, 1) + field(8, name) + field(9, data))
        return name

    def add(self, kind, inputs, output, **attributes):
        self.graph += field(NODE, node(kind, inputs, output, **attributes))
        return output

    def write(self, path, inputs, *outputs):
        graph = self.graph + field(INPUT, value(*inputs))
        graph += b"".join(field(OUTPUT, value(*output)) for output in outputs)
        path.write_bytes(field(1, 8) + field(8, field(2, 13)) + field(GRAPH, graph))


def linear_model(path, batch, inputs, outputs):
    """One Gemm, and data for it."""
    model = Model()
    weights = model.weights("w", inputs, outputs), model.weights("b", outputs)
    model.add("Gemm", ["x", *weights], "y")
    model.write(path, ("x", (batch, inputs)), ("y", (batch, outputs)))
    return [[model.rng.uniform(-1, 1) for _ in range(inputs)] for _ in range(batch)]


def convolutional_model(path):
    """Strides, padding, groups, a residual sum, a mean, and a dense layer; and data for it."""
    model, pads = Model(), [1, 1, 1, 1]
    weights = model.weights("w1", 4, 2, 3, 3), model.weights("b1", 4)
    model.add("Conv", ["x", *weights], "c1", kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    model.add("Relu", ["c1"], "r1")
    weights = model.weights("w2", 4, 1, 3, 3), model.weights("b2", 4)
    model.add("Conv", ["r1", *weights], "c2", kernel_shape=[3, 3], pads=pads, group=4)
    model.add("Add", ["c2", "r1"], "s")
    model.add("Relu", ["s"], "r2")
    model.add("AveragePool", ["r2"], "m", kernel_shape=[2, 2], strides=[2, 2])
    model.add("Flatten", ["m"], "f")
    weights = model.weights("w3", 4 * 2 * 2, 3), model.weights("b3", 3)
    model.add("Gemm", ["f", *weights], "y")
    model.write(path, ("x", (1, 2, 9, 9)), ("y", (1, 3)))
    return [[[[model.rng.uniform(-1, 1) for _ in range(9)] for _ in range(9)] for _ in range(2)]]


def scores_model(path):
    """Probabilities, their logarithms, and which score is largest, in images; and data for it."""
    model, pads = Model(), [1, 1, 1, 1]
    weights = model.weights("w1", 3, 1, 3, 3), model.weights("b1", 3)
    model.add("Conv", ["x", *weights], "s", kernel_shape=[3, 3], pads=pads)
    model.add("Softmax", ["s"], "p", axis=1)
    weights = model.weights("w2", 3, 3, 3, 3), model.weights("b2", 3)
    model.add("Conv", ["s", *weights], "t", kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    model.add("LogSoftmax", ["t"], "l", axis=1)
    model.add("ArgMax", ["t"], "a", axis=1, keepdims=1)
    outputs = ("p", (1, 3, 9, 9)), ("l", (1, 3, 5, 5)), ("a", (1, 1, 5, 5))
    model.write(path, ("x", (1, 1, 9, 9)), *outputs)
    return [[[[model.rng.uniform(-1, 1) for _ in range(9)] for _ in range(9)]]]


def pooling_model(path):
    """Maxima: of windows that abut, of windows that overlap, of the input itself; of a tensor that others
    read, too; of lines of odd length. And data for it."""
    model, pads = Model(), [1, 1, 1, 1]
    weights = model.weights("w1", 2, 2, 3, 3), model.weights("b1", 2)
    model.add("Conv", ["x", *weights], "c", kernel_shape=[3, 3], pads=pads)
    model.add("Relu", ["c"], "r")
    model.add("MaxPool", ["r"], "m", kernel_shape=[2, 2], strides=[2, 2])
    weights = model.weights("w2", 2, 2, 1, 1), model.weights("b2", 2)
    model.add("Conv", ["r", *weights], "s", kernel_shape=[1, 1], strides=[2, 2])
    model.add("Relu", ["s"], "t")
    weights = model.weights("w3", 2, 2, 3, 2), model.weights("b3", 2)
    model.add("Conv", ["x", *weights], "d", kernel_shape=[3, 2])
    model.add("Sigmoid", ["d"], "g")
    model.add("MaxPool", ["g"], "u", kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    model.add("MaxPool", ["x"], "v", kernel_shape=[1, 3], strides=[1, 3])
    for name, size, output in (("t", 2 * 3 * 5, "y1"), ("u", 2 * 2 * 4, "y2"), ("v", 2 * 6 * 3, "z")):
        model.add("Flatten", [name], f"{name}f")
        weights = model.weights(f"w{name}", size, 3), model.weights(f"b{name}", 3)
        model.add("Gemm", [f"{name}f", *weights], output)
    model.add("Add", ["y1", "y2"], "y")
    outputs = ("m", (1, 2, 3, 4)), ("v", (1, 2, 6, 3)), ("y", (1, 3)), ("z", (1, 3))
    model.write(path, ("x", (1, 2, 6, 9)), *outputs)
    return [[[[model.rng.uniform(-1, 1) for _ in range(9)] for _ in range(6)] for _ in range(2)]]
