"""Float networks, quantized by ONNX Runtime, on all of CIFAR-10's test set: MLPerf Tiny's ResNet-8 and the zoo's."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from hwsim.graph import Array, InputScaling
from hwsim.models.catalog import find
from onnx_quantized.cifar_runs import ZOO, calibration, compare, zoo_accuracy, zoo_scaling
from onnx_quantized.resnet8_onnx import write_resnet8

DATA = os.environ.get("HWSIM_DATA")
NETWORKS = {"resnet8_float": 0.8719, **{name: zoo_accuracy(name) for name in ZOO}}
"""Float accuracy: as published, and as in the recipes of the bundled ones."""


def _float_network(name: str, folder: Path) -> tuple[Path, InputScaling]:
    """Return a network without batch norms as an ONNX file, and what it makes of pixels."""
    path = folder / "float.onnx"
    if name == "resnet8_float":
        return write_resnet8(Path(str(DATA)) / "mlperf_tiny" / f"{name}.tflite", path), InputScaling()
    quant_pre_process(str(find(name).path), str(path), skip_symbolic_shape=True)
    return path, zoo_scaling(name)


class _Images(CalibrationDataReader):
    def __init__(self, entry: str, images: Array) -> None:
        self._images = iter([{entry: image[None]} for image in images])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._images, None)


@pytest.mark.slow  # minutes: the whole test set in ONNX Runtime's float operators
@pytest.mark.skipif(DATA is None, reason="HWSIM_DATA is unset: neither CIFAR-10 nor the float network are here")
@pytest.mark.parametrize(("kind", "share", "scores"), [(QuantType.QUInt8, 1e-5, 0.1), (QuantType.QInt16, 0.02, 0.9)])
@pytest.mark.parametrize(("name", "accuracy"), NETWORKS.items())
def test_every_difference_is_a_step_beside_a_tie(
    tmp_path: Path, name: str, accuracy: float, kind: Any, share: float, scores: float
) -> None:
    """`layer_by_layer` asserts that; here how many, and how many scores differ in the end (`docs/bit-exactness.md`)."""
    source, scaling = _float_network(name, tmp_path)
    path, entry = tmp_path / "quantized.onnx", onnx.load(source).graph.input[0].name
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            str(source),
            str(path),
            _Images(entry, calibration(scaling)),
            per_channel=True,
            activation_type=kind,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
    found = compare(path, scaling)
    logging.getLogger(__name__).info("%s, %s: %s", name, kind, found)
    assert sum(found.layers.different.values()) <= share * found.layers.elements
    assert found.largest <= 12
    assert found.scored <= scores * 10 * found.images
    assert found.same >= found.images - 20
    assert abs(found.correct / found.images - accuracy) < 0.01
