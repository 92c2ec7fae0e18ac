"""A small uint8 network as older converters make them: zero points everywhere, groups, dilation, a depthwise layer."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Padding, Window
from hwsim.sim.feed import Feed
from hwsim.spec import Format
from sim.digits_runs import array_set

UINT8 = Format(8, signed=False)


def _quantization(form: Format, scale: float, zero_point: int) -> Quantization:
    return Quantization(form, np.asarray(scale), np.asarray(zero_point))


def uint8_graph(last: Format = UINT8, images: int = 3) -> tuple[Graph, Feed]:
    """Return the network, its scores in the format `last`, and random images for it."""
    rng = np.random.default_rng(7)
    tensors = {"x": Tensor("x", (1, 7, 6, 4), _quantization(UINT8, 0.02, 131))}

    def activation(name: str, shape: tuple[int, ...], form: Format, scale: float, zero_point: int) -> None:
        tensors[name] = Tensor(name, (1, *shape), _quantization(form, scale, zero_point))

    def constants(name: str, shape: tuple[int, ...], source: str, zero_point: int) -> tuple[str, str]:
        weights: Array = rng.integers(0, 256, shape).astype(np.uint8)
        tensors[f"{name}.w"] = Tensor(f"{name}.w", shape, _quantization(UINT8, 0.01, zero_point), weights)
        channels = shape[3] if name == "depthwise" else shape[0]
        bias = rng.integers(-3000, 3000, channels)
        scale = tensors[source].quantization.scale * 0.01  # type: ignore[union-attr]
        tensors[f"{name}.b"] = Tensor(
            f"{name}.b", (channels,), Quantization(Format(32), scale, np.asarray(0)), bias.astype(np.int64)
        )
        return f"{name}.w", f"{name}.b"

    grouped = Window((3, 2), (2, 1), (1, 2), Padding(1, 0, 2, 1))
    height, width = grouped.output(7, 6)
    activation("a", (height, width, 6), UINT8, 0.05, 7)
    activation("b", (height, width, 12), UINT8, 0.1, 120)
    activation("y", (5,), last, 2.0, 100)
    nodes = (
        Node("grouped", Conv2D(grouped, 2, Activation.RELU), ("x", *constants("grouped", (6, 3, 2, 2), "x", 128)), ("a",)),
        Node(
            "depthwise", DepthwiseConv2D(Window((3, 3), padding=Padding(1, 1, 1, 1)), 2),
            ("a", *constants("depthwise", (1, 3, 3, 12), "a", 90)), ("b",),
        ),
        Node("matrix", FullyConnected(), ("b", *constants("matrix", (5, height * width * 12), "b", 140)), ("y",)),
    )  # fmt: skip
    graph = Graph("uint8", tensors, nodes, ("x",), ("y",))
    return graph, Feed(graph, array_set(rng.integers(0, 256, (images, 7, 6, 4)).astype(np.uint8), [0, 1, 2][:images]))
