"""The digits networks, each as a list of steps that the forward pass and the ONNX graph are read off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Step:
    """One operation of a network; a convolution is followed by its batch norm and activation."""

    op: str
    """conv, add, maxpool, mean, flatten or linear."""
    name: str
    inputs: tuple[str, ...]
    channels: tuple[int, int] = (0, 0)
    """In and out."""
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    clip: float | None = None
    """Upper end of the activation: infinity is ReLU, 6 is ReLU6, None is no activation."""


RELU = float("inf")


def _residual(name: str, source: str, inside: int, channels: tuple[int, int], stride: int = 1) -> list[Step]:
    """Return an inverted residual block; the block that keeps shape and channels adds its input."""
    expand, depthwise, project = f"{name}_expand", f"{name}_depthwise", f"{name}_project"
    steps = [
        Step("conv", expand, (source,), (channels[0], inside), clip=6.0),
        Step("conv", depthwise, (expand,), (inside, inside), 3, stride, groups=inside, clip=6.0),
        Step("conv", project, (depthwise,), (inside, channels[1])),
    ]
    if stride == 1 and channels[0] == channels[1]:
        steps.append(Step("add", f"{name}_add", (source, project)))
    return steps


NETWORKS: dict[str, tuple[str, list[Step]]] = {
    "digits_cnn": (
        "three 3x3 convolutions with batch norm and ReLU, two max pools, one fully connected layer; float32",
        [
            Step("conv", "conv1", ("image",), (1, 16), 3, clip=RELU),
            Step("conv", "conv2", ("conv1",), (16, 32), 3, clip=RELU),
            Step("maxpool", "pool1", ("conv2",), kernel=2, stride=2),
            Step("conv", "conv3", ("pool1",), (32, 32), 3, clip=RELU),
            Step("maxpool", "pool2", ("conv3",), kernel=2, stride=2),
            Step("flatten", "flatten", ("pool2",)),
            Step("linear", "logits", ("flatten",), (128, 10)),
        ],
    ),
    "digits_mobilenet": (
        "three inverted residual blocks (1x1, depthwise 3x3, 1x1) with batch norm and ReLU6; float32",
        [
            Step("conv", "stem", ("image",), (1, 16), 3, clip=6.0),
            *_residual("block1", "stem", 48, (16, 16)),
            *_residual("block2", "block1_add", 64, (16, 32), stride=2),
            *_residual("block3", "block2_project", 96, (32, 32)),
            Step("conv", "head", ("block3_add",), (32, 64), clip=6.0),
            Step("mean", "pool", ("head",)),
            Step("flatten", "flatten", ("pool",)),
            Step("linear", "logits", ("flatten",), (64, 10)),
        ],
    ),
}


def make_layers(steps: list[Step]) -> torch.nn.ModuleDict:
    """Return the parameters of every step, under the names that the ONNX initializers get."""
    from torch import nn

    layers = nn.ModuleDict()
    for step in steps:
        if step.op == "conv":
            layers[step.name] = nn.Conv2d(
                *step.channels, step.kernel, step.stride, step.kernel // 2, groups=step.groups, bias=False
            )
            layers[f"{step.name}_bn"] = nn.BatchNorm2d(step.channels[1])
        elif step.op == "linear":
            layers[step.name] = nn.Linear(*step.channels)
    return layers


def forward(steps: list[Step], layers: torch.nn.ModuleDict, image: torch.Tensor) -> torch.Tensor:
    """Return logits float32 ``[N, 10]`` for images float32 ``[N, 1, 8, 8]``."""
    from torch.nn import functional

    values = {"image": image}
    for step in steps:
        x = values[step.inputs[0]]
        if step.op == "conv":
            x = layers[f"{step.name}_bn"](layers[step.name](x))
            x = x if step.clip is None else x.clamp(0, step.clip)
        elif step.op == "add":
            x = x + values[step.inputs[1]]
        elif step.op == "maxpool":
            x = functional.max_pool2d(x, step.kernel, step.stride)
        elif step.op == "mean":
            x = x.mean((2, 3), keepdim=True)
        else:
            x = x.flatten(1) if step.op == "flatten" else layers[step.name](x)
        values[step.name] = x
    return values[steps[-1].name]
