#!/usr/bin/env python3
"""Writes a ResNet-18 with random weights as an ONNX file, and an input for it.

The topology is that of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1, with
the projection shortcuts of option B: 224 x 224 pixels, 1000 classes, 11.7 million parameters. The
weights are NOT trained: they are drawn from a seeded generator, scaled so that activations neither
vanish nor explode. The file serves to measure time, size and the error of quantisation, not to
classify anything.

Needs numpy and onnx:

    python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install numpy onnx
    /tmp/onnx/bin/python testdata/resnet18.py FOLDER

FOLDER then holds model.onnx and refs.npz (`in_input`, four images). `--fold` writes convolutions
with biases instead of BatchNormalization nodes.
"""

import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EPSILON = 1e-5
# Channels and stride of the first block, for each of the four stages.
STAGES = [(64, 1), (128, 2), (256, 2), (512, 2)]


class Builder:
    """Collects the nodes and initializers of a graph."""

    def __init__(self, rng, fold):
        self.rng = rng
        self.fold = fold
        self.nodes = []
        self.initializers = []

    def constant(self, name, values):
        array = np.asarray(values, dtype=np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x, name, inputs, outputs, kernel, stride, gain=1.0):
        """A convolution with a batch normalisation whose statistics fit what it will see."""
        fan_in = inputs * kernel * kernel
        weights = self.rng.normal(0.0, np.sqrt(2.0 / fan_in), (outputs, inputs, kernel, kernel))
        mean = self.rng.normal(0.0, 0.1, outputs)
        variance = self.rng.uniform(0.8, 1.25, outputs)
        scale = gain * self.rng.uniform(0.8, 1.25, outputs)
        offset = self.rng.normal(0.0, 0.1, outputs)
        attributes = {
            "kernel_shape": [kernel, kernel],
            "strides": [stride, stride],
            "pads": [kernel // 2] * 4,
        }
        if self.fold:
            factor = scale / np.sqrt(variance + EPSILON)
            weight = self.constant(f"{name}.weight", weights * factor[:, None, None, None])
            bias = self.constant(f"{name}.bias", offset - mean * factor)
            return self.node("Conv", [x, weight, bias], name, **attributes)
        weight = self.constant(f"{name}.weight", weights)
        y = self.node("Conv", [x, weight], name, **attributes)
        statistics = {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
        names = [self.constant(f"{name}.bn.{key}", values) for key, values in statistics.items()]
        return self.node("BatchNormalization", [y, *names], f"{name}.bn", epsilon=EPSILON)

    def block(self, x, name, inputs, outputs, stride):
        """Two convolutions and a shortcut. The branch is weaker than the shortcut, as after training."""
        y = self.conv(x, f"{name}.conv1", inputs, outputs, 3, stride)
        y = self.node("Relu", [y], f"{name}.relu1")
        y = self.conv(y, f"{name}.conv2", outputs, outputs, 3, 1, gain=0.5)
        if stride != 1 or inputs != outputs:
            x = self.conv(x, f"{name}.downsample", inputs, outputs, 1, stride, gain=0.7)
        y = self.node("Add", [y, x], f"{name}.add")
        return self.node("Relu", [y], f"{name}.relu2")


def build(seed, fold):
    b = Builder(np.random.default_rng(seed), fold)
    x = b.conv("input", "conv1", 3, 64, 7, 2)
    x = b.node("Relu", [x], "relu")
    x = b.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for i, (outputs, stride) in enumerate(STAGES, start=1):
        x = b.block(x, f"layer{i}.0", channels, outputs, stride)
        x = b.block(x, f"layer{i}.1", outputs, outputs, 1)
        channels = outputs
    x = b.node("GlobalAveragePool", [x], "avgpool")
    x = b.node("Flatten", [x], "flatten", axis=1)
    weight = b.constant("fc.weight", b.rng.normal(0.0, np.sqrt(1.0 / channels), (1000, channels)))
    bias = b.constant("fc.bias", b.rng.normal(0.0, 0.1, 1000))
    b.node("Gemm", [x, weight, bias], "output", transB=1)
    graph = helper.make_graph(
        b.nodes,
        "resnet18-random-weights",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1000])],
        b.initializers,
        doc_string="ResNet-18 with random weights, not trained",
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def images(seed, count):
    """Smooth random images, normalised as photographs usually are: mean 0, deviation 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:224, 0:224] / 224.0
    out = np.zeros((count, 1, 3, 224, 224))
    for image in out[:, 0]:
        for channel in image:
            for octave in range(5):
                fx, fy, phase = rng.normal(0.0, 2.0**octave, 2).tolist() + [rng.uniform(0, 6.3)]
                channel += 0.7**octave * np.sin(2 * np.pi * (fx * x + fy * y) + phase)
            channel += rng.normal(0.0, 0.1, channel.shape)
            channel -= channel.mean()
            channel /= channel.std()
    return out.astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--fold", action="store_true", help="fold BatchNormalization into Conv")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(args.seed, args.fold), args.folder / "model.onnx")
    np.savez(args.folder / "refs.npz", in_input=images(args.seed, 4))


if __name__ == "__main__":
    main()
