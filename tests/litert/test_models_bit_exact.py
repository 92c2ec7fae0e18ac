"""Whole networks against LiteRT's reference kernels: every tensor of every layer, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("ai_edge_litert", reason="the live comparison needs ai-edge-litert")

from litert.comparison import assert_bit_exact
from litert.images import cifar10, imagenet, keywords, synthetic
from litert.reference import Reference

Array = npt.NDArray[Any]

ROOT = Path(os.environ.get("HWSIM_DATA") or "")

pytestmark = [
    pytest.mark.litert,
    pytest.mark.skipif(not os.environ.get("HWSIM_DATA"), reason="HWSIM_DATA is unset: no models to compare"),
]


def signed(pixels: Array) -> Array:
    """Return int8 inputs: pixel - 128."""
    return (pixels.astype(np.int16) - 128).astype(np.int8)


MODELS: dict[str, tuple[str, int, Callable[[], Array]]] = {
    "resnet8": (
        "mlperf_tiny/resnet8_int8.tflite",
        16,
        lambda: signed(np.concatenate([cifar10(ROOT, 90), synthetic(10, (32, 32, 3), 1)])),
    ),
    "ds-cnn": (
        "mlperf_tiny/kws_dscnn_int8.tflite",
        13,
        lambda: np.concatenate([keywords(ROOT, 90), signed(synthetic(10, (49, 10, 1), 2))]),
    ),
    "vww": (
        "mlperf_tiny/vww_mobilenet_v1_0.25_int8.tflite",
        31,
        lambda: signed(synthetic(100, (96, 96, 3), 3)),
    ),
    "mobilenet-v1-uint8": (
        "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite",
        31,
        lambda: np.concatenate([imagenet(ROOT, 90, 128), synthetic(10, (128, 128, 3), 4)]),
    ),
    "mobilenet-v2-ptq": (
        "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite",
        68,
        lambda: np.concatenate([imagenet(ROOT, 90, 224), synthetic(10, (224, 224, 3), 5)]),
    ),
}
"""By name: the file, its number of layers, and 100 inputs."""


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_equals_litert(name: str) -> None:
    file, layers, inputs = MODELS[name]
    images = inputs()
    assert len(images) == 100
    assert assert_bit_exact(ROOT / file, images) == layers


FLOAT_MODELS: dict[str, Callable[[], Array]] = {
    "mlperf_tiny/resnet8_float.tflite": lambda: cifar10(ROOT, 4).astype(np.float32),
    "mlperf_tiny/vww_mobilenet_v1_0.25_float.tflite": lambda: synthetic(4, (96, 96, 3), 6) / np.float32(255),
}


@pytest.mark.parametrize("file", FLOAT_MODELS)
def test_float_models_are_close(file: str) -> None:
    """Float sums depend on their order, so float models are held to a tolerance: 1e-5 of a tensor's largest value."""
    from hwsim.load.tflite import load_tflite, tensor_indices
    from hwsim.quant.float_network import evaluate

    inputs, graph, indices = FLOAT_MODELS[file](), load_tflite(ROOT / file), tensor_indices(ROOT / file)
    reference = Reference(ROOT / file)
    names = [name for node in graph.nodes for name in node.outputs]
    theirs = [reference.run(inputs[i : i + 1], [indices[name] for name in names]) for i in range(len(inputs))]
    for node, (ours,) in evaluate(graph, inputs):
        expected = np.concatenate([tensors[indices[node.outputs[0]]] for tensors in theirs])
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * largest, err_msg=node.name)
