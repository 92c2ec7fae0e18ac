"""Runs all of CIFAR-10's test set through a quantized ONNX file, here and in ONNX Runtime, and counts what differs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from hwsim.data import open_dataset
from hwsim.graph import Array, InputScaling
from hwsim.load.onnx import load_onnx
from hwsim.models.catalog import BUNDLED, find
from hwsim.sim import Program
from onnx_quantized.ort_layers import Found, layer_by_layer, ort_session

ZOO = tuple(model.name for model in BUNDLED if model.dataset == "cifar10")
"""The bundled networks for it."""

BATCH = 100
CHECKED = 200
"""Images of which every tensor is compared; of all others the scores are."""

FLOAT_ERROR = 1e-5
"""Of the largest score: what float32 leaves of scores that no quantizer rounds."""


@dataclass
class Compared:
    """What a comparison found."""

    layers: Found
    """Of the first images, every layer on ONNX Runtime's own inputs."""
    images: int
    steps: dict[int, int] = field(default_factory=dict)
    """How many scores differ by how many steps of the output; where it has none, 1 is any difference."""
    same: int = 0
    """Images of the same class."""
    correct: int = 0
    correct_there: int = 0

    @property
    def scored(self) -> int:
        """Scores that differ."""
        return sum(count for step, count in self.steps.items() if step)

    @property
    def largest(self) -> int:
        """Steps between two scores, at most."""
        return max(self.steps)

    def __str__(self) -> str:
        """Say the figures of `docs/bit-exactness.md`."""
        layers = self.layers
        return (
            f"{sum(layers.different.values())} of {layers.elements} elements differ on the same inputs, "
            f"{layers.rounded_bias} by a rounded bias: {layers.different}\n"
            f"{self.scored} of {sum(self.steps.values())} scores: {dict(sorted(self.steps.items()))}\n"
            f"{self.same} of {self.images} in the same class; {self.correct} correct here, {self.correct_there} there"
        )


def zoo_scaling(name: str) -> InputScaling:
    """Return what a bundled network makes of pixels."""
    scaling = load_onnx(find(name).path).scaling
    assert scaling is not None
    return scaling


def zoo_accuracy(name: str) -> float:
    """Return the share of test images that a bundled network puts in their class in float32, as its recipe says."""
    accuracy = find(name).recipe()["accuracy"]
    return float(accuracy["correct"] / accuracy["n"])


def calibration(scaling: InputScaling, count: int = 100) -> Array:
    """Return the first training images, float32 [N, C, H, W]."""
    return _columns(_real(open_dataset("cifar10", split="train").batch(0, count), scaling))


def compare(path: Path, scaling: InputScaling, *, float_bias: bool = False) -> Compared:
    """Run both; assert that elements of the first images differ by a step beside a tie (`layer_by_layer`)."""
    test, graph = open_dataset("cifar10"), load_onnx(path)
    first = _columns(_real(test.batch(0, CHECKED), scaling))
    found = Compared(layer_by_layer(path, first, float_bias=float_bias), len(test))
    program, session = Program(graph), ort_session(onnx.load(path))
    (entry,) = session.get_inputs()
    (last,) = (node for node in graph.nodes if graph.outputs[0] in node.outputs)
    quantization = graph.tensors[last.inputs[0]].quantization
    for start in range(0, len(test), BATCH):
        images, labels = _real(test.batch(start, start + BATCH), scaling), test.labels[start : start + BATCH]
        ours = program.run(images)[graph.outputs[0]]
        (theirs,) = session.run(None, {entry.name: _columns(images)})
        apart = np.abs(ours.astype(np.float64) - theirs)
        if quantization is None or quantization.axis is not None:
            steps = (apart > FLOAT_ERROR * np.abs(theirs).max()).astype(int)
        else:
            steps = np.rint(apart / float(quantization.scale)).astype(int)
            # Nothing between: reals of 16 bits are off by 2**-8 of a step in float32.
            assert np.abs(apart / float(quantization.scale) - steps).max() < 0.01
        for step, count in zip(*np.unique(steps, return_counts=True), strict=True):
            found.steps[int(step)] = found.steps.get(int(step), 0) + int(count)
        found.same += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        found.correct += int((ours.argmax(axis=1) == labels).sum())
        found.correct_there += int((theirs.argmax(axis=1) == labels).sum())
    return found


def _real(pixels: Array, scaling: InputScaling) -> Array:
    real: Array = ((pixels - np.array(scaling.mean)) / np.array(scaling.std)).astype(np.float32)
    return real


def _columns(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
