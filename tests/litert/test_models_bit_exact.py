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
        "mlperf_tiny/resnet8_int8.tflite", 16,
        lambda: signed(np.concatenate([cifar10(ROOT, 90), synthetic(10, (32, 32, 3), 1)])),
    ),
    "ds-cnn": (
        "mlperf_tiny/kws_dscnn_int8.tflite", 13,
        lambda: np.concatenate([keywords(ROOT, 90), signed(synthetic(10, (49, 10, 1), 2))]),
    ),
    "vww": (
        "mlperf_tiny/vww_mobilenet_v1_0.25_int8.tflite", 31,
        lambda: signed(synthetic(100, (96, 96, 3), 3)),
    ),
    "mobilenet-v1-uint8": (
        "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite", 31,
        lambda: np.concatenate([imagenet(ROOT, 90, 128), synthetic(10, (128, 128, 3), 4)]),
    ),
    "mobilenet-v2-ptq": (
        "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite", 68,
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
