"""Networks that are compared by their shapes alone: a few numbers each, random weights, integers by hwsim's own quantizer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Graph, Node, Operator, Tensor
from hwsim.ops import Activation, Add, Conv2D, FullyConnected, MaxPool2D, Mean, Padding, Window
from hwsim.quant import Scheme, calibrate, quantize

SIDE, CLASSES, STEM = 224, 1000, 64
"""Of the images, and of the scores; channels of the first layer."""

SEED = 8
"""Of weights and images."""

CALIBRATION_IMAGES = 2
"""Uniform noise, as what is compared on: each image has tens of thousands of values of all but the last activations."""


@dataclass(frozen=True)
class Residual:
    """A residual network for ImageNet (He et al., "Deep Residual Learning", CVPR 2016, table 1), with TensorFlow's SAME padding.

    Parameters
    ----------
    blocks
        Of each stage, whose channels double and whose sides halve from one to the next.
    bottleneck
        Blocks of 1x1, 3x3 (which has the stride) and 1x1 with four times the channels; otherwise of two 3x3.
    """

    blocks: tuple[int, ...]
    bottleneck: bool


SHAPES = {"resnet18": Residual((2, 2, 2, 2), bottleneck=False), "resnet50": Residual((3, 4, 6, 3), bottleneck=True)}
"""By the name that ``hwsim bench --shapes`` takes."""


def integer_network(name: str) -> Graph:
    """Return one of `SHAPES` in int8: weights per channel, activations over the ranges that noise gives them."""
    real = real_network(name)
    noise = np.random.default_rng(SEED).uniform(-1, 1, (CALIBRATION_IMAGES, SIDE, SIDE, 3)).astype(np.float32)
    scheme = Scheme()
    # TFLite's fully connected layers have one scale.
    return quantize(
        real, calibrate(real, [noise], scheme.ranges), scheme, {"scores": replace(scheme, per_channel=False)}
    )


def real_network(name: str) -> Graph:
    """Return one of `SHAPES` in float32, with random weights."""
    drawn = _Drawn(name)
    drawn.residual(SHAPES[name])
    return drawn.graph()


class _Drawn:
    """Collects layers, each with weights that keep the size of what goes through it (He et al., ICCV 2015, equation 10)."""

    def __init__(self, name: str) -> None:
        self.name, self._rng = name, np.random.default_rng(SEED)
        self.tensors = {"image": Tensor("image", (1, SIDE, SIDE, 3))}
        self.nodes: list[Node] = []

    def graph(self) -> Graph:
        """Return the network, which ends with its last layer."""
        return Graph(self.name, self.tensors, self.nodes, ("image",), self.nodes[-1].outputs)

    def residual(self, network: Residual) -> None:
        """Add all layers of a residual network."""
        last = self._convolved("stem", "image", STEM, 7, 2)
        last = self._add("pool", MaxPool2D(self._window(last, 3, 2)), last)
        for stage, blocks in enumerate(network.blocks):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                last = self._block(f"stage{stage + 1}_{block + 1}", last, STEM << stage, stride, network.bottleneck)
        last = self._add("mean", Mean((1, 2), keep_dims=False), last)
        weights = self._weights("scores", (CLASSES, self.tensors[last].shape[1]))
        self._add("scores", FullyConnected(), last, *weights)

    def _block(self, name: str, source: str, channels: int, stride: int, bottleneck: bool) -> str:
        if bottleneck:
            inner = self._convolved(f"{name}_reduce", source, channels, 1, 1)
            inner = self._convolved(f"{name}_3x3", inner, channels, 3, stride)
            inner = self._convolved(f"{name}_expand", inner, 4 * channels, 1, 1, Activation.NONE)
        else:
            inner = self._convolved(f"{name}_first", source, channels, 3, stride)
            inner = self._convolved(f"{name}_second", inner, channels, 3, 1, Activation.NONE)
        if self.tensors[inner].shape != self.tensors[source].shape:
            outputs = self.tensors[inner].shape[3]
            source = self._convolved(f"{name}_shortcut", source, outputs, 1, stride, Activation.NONE)
        return self._add(name, Add(Activation.RELU), inner, source)

    def _convolved(
        self, name: str, source: str, channels: int, kernel: int, stride: int, activation: Activation = Activation.RELU
    ) -> str:
        window = self._window(source, kernel, stride)
        weights = self._weights(name, (channels, kernel, kernel, self.tensors[source].shape[3]))
        return self._add(name, Conv2D(window, activation=activation), source, *weights)

    def _window(self, source: str, kernel: int, stride: int) -> Window:
        _, height, width, _ = self.tensors[source].shape
        sizes = (kernel, kernel), (stride, stride)
        return Window(*sizes, padding=Padding.same((height, width), *sizes))

    def _weights(self, name: str, shape: tuple[int, ...]) -> tuple[str, str]:
        """Add weights and biases; return their names."""
        values: dict[str, Array] = {
            f"{name}_weights": self._rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape),
            f"{name}_biases": self._rng.normal(0, 0.1, shape[0]),
        }
        for key, data in values.items():
            self.tensors[key] = Tensor(key, data.shape, data=data.astype(np.float32))
        return f"{name}_weights", f"{name}_biases"

    def _add(self, name: str, op: Operator, *inputs: str) -> str:
        """Add a layer; return its output."""
        (shape,) = op.infer([self.tensors[source] for source in inputs])
        output = f"{name}_output"
        self.tensors[output] = Tensor(output, shape)
        self.nodes.append(Node(name, op, inputs, (output,)))
        return output
