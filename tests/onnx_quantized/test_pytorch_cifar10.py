"""The bundled CIFAR-10 networks, quantized and exported by PyTorch, on all of the test set, against ONNX Runtime.

Figures: `docs/bit-exactness.md`; ``--log-cli-level=info`` prints them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwsim.models.cifar_networks import NETWORKS
from load_onnx.onnx_files import fails
from onnx_quantized.cifar_runs import ZOO, calibration, compare, zoo_accuracy, zoo_scaling
from onnx_quantized.pytorch_networks import quantize_and_export
from onnx_quantized.pytorch_recipes import RECIPES
from onnx_quantized.pytorch_zoo import zoo_network

DATA = os.environ.get("HWSIM_DATA")


@dataclass(frozen=True)
class Most:
    """What may differ, at most."""

    elements: float
    """Share of the elements of all layers, on the same inputs."""
    scores: float
    """Share of the scores, from end to end."""
    steps: int
    """Between two scores."""
    images: float
    """Share of images in another class."""
    float_bias: bool = True
    """Whether biases are floats in the file, which hwsim rounds to steps of the sums."""


MOST = {
    "xnnpack": Most(1 / 1000, 0.7, 12, 0.015),
    "xnnpack_per_tensor": Most(1 / 1000, 0.7, 12, 0.015),
    "xnnpack_integer_bias": Most(1e-5, 0.1, 8, 0.003, float_bias=False),
    "x86": Most(1 / 1000, 0.7, 12, 0.015),
}


@pytest.mark.slow  # exports with PyTorch, where that is installed; the whole test set in ONNX Runtime's float operators
@pytest.mark.skipif(DATA is None, reason="HWSIM_DATA is unset: CIFAR-10 is not here")
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ZOO)
def test_every_difference_is_a_step_beside_a_tie(tmp_path: Path, name: str, recipe: str) -> None:
    """`layer_by_layer` asserts that: a tie of float32's error, or of a bias that is rounded. Here how many, and what follows."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'hwsim[train]'")
    pytest.importorskip("torchao", reason="PyTorch's quantization after training is in torchao")
    pytest.importorskip("onnxscript", reason="PyTorch's exporter needs onnxscript")
    torch.set_num_threads(1)
    path, scaling, most = tmp_path / "net.onnx", zoo_scaling(name), MOST[recipe]
    images = torch.from_numpy(calibration(scaling))
    quantize_and_export(zoo_network(name), images[:2], [images], path, recipe)
    if recipe == "x86" and any(step.op in ("add", "mean") for step in NETWORKS[name].steps):
        fails(path, r"\d of \d+ nodes cannot be computed in integers: node .*: its input is computed in float")
        return
    found = compare(path, scaling, float_bias=most.float_bias)
    logging.getLogger(__name__).info("%s, %s: %s", name, recipe, found)
    # Depthwise sums are of 9 products: a step of theirs, and so a rounded bias, is a larger part of them.
    share = 2 if any(step.groups > 1 for step in NETWORKS[name].steps) else 1
    assert sum(found.layers.different.values()) <= share * most.elements * found.layers.elements
    assert found.scored <= min(0.7, share * most.scores) * 10 * found.images
    assert found.largest <= most.steps
    assert found.images - found.same <= most.images * found.images
    assert abs(found.correct - found.correct_there) <= 0.002 * found.images
    assert abs(found.correct / found.images - zoo_accuracy(name)) < 0.01
