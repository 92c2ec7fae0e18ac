"""The bundled float networks, quantized by ONNX Runtime."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from hwsim.data import open_dataset
from hwsim.graph import Array

MODELS = Path(__file__).parents[2] / "models"


@functools.cache
def digits() -> Array:
    """Return the digits as ONNX takes them: float32 [N, 1, 8, 8], 0..1."""
    dataset = open_dataset("digits")
    return (dataset.batch(0, len(dataset)).astype(np.float32) / 16).transpose(0, 3, 1, 2)


class _Digits(CalibrationDataReader):
    def __init__(self, name: str, count: int = 32) -> None:
        self._images = iter([{name: digits()[i : i + 1]} for i in range(count)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._images, None)


def quantized_model(folder: Path, name: str, *, fold: bool = True, **options: Any) -> Path:
    """Quantize a bundled network; `fold` its batch norms first, as ONNX Runtime's documentation says to."""
    path, source = folder / f"{name}.onnx", MODELS / name / "model.onnx"
    if fold:
        folded = folder / "folded.onnx"
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        source = folded
    # It warns about every model that was not folded.
    logging.disable(logging.WARNING)
    try:
        quantize_static(str(source), str(path), _Digits(onnx.load(source).graph.input[0].name), **options)
    finally:
        logging.disable(logging.NOTSET)
    return path
