"""The model that the importer's tests vary, and how they read a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.load.tflite import load_tflite
from hwsim.spec import InputError
from litert.builder import ModelBuilder


def conv_model(dtype: str = "int8", **changes: Any) -> ModelBuilder:
    """Return a model of one 3x2 convolution, 5 to 7 channels, tensors 0 to 3; `changes` replace parts of it."""
    scale = 0.5 if dtype != "float32" else None
    model = ModelBuilder()
    model.tensor(
        changes.get("input_shape", [1, 11, 13, 5]),
        dtype,
        changes.get("input_scale", scale),
        changes.get("zero_point", 3 if scale else 0),
        name="image",
    )
    weights = changes.get("weights", np.arange(7 * 3 * 2 * 5).reshape(7, 3, 2, 5) % 120)
    channel_scales = np.linspace(0.25, 1, 7) if scale else None
    model.tensor(
        [7, 3, 2, 5],
        changes.get("weight_type", dtype),
        changes.get("weight_scale", channel_scales),
        axis=changes.get("axis", 0),
        data=weights,
    )
    bias_scale = None if channel_scales is None else channel_scales * 0.5
    model.tensor([7], "int32" if scale else "float32", changes.get("bias_scale", bias_scale), data=np.arange(7) - 3)
    model.tensor(changes.get("output_shape", [1, 6, 13, 7]), dtype, scale, name="features")
    model.operator(
        "CONV_2D",
        changes.get("operands", [0, 1, 2]),
        [3],
        "Conv2DOptions",
        **{
            "padding": 0,
            "strideH": 2,
            "strideW": 1,
            "fusedActivationFunction": 3,
            **changes.get("options", {}),
        },
    )
    return model


def refusal(model: ModelBuilder, tmp_path: Path, outputs: Sequence[int], inputs: Sequence[int] = (0,)) -> str:
    """Return the one line that loading answers with, without the file's name that it must start with."""
    path = model.write(tmp_path / "model.tflite", inputs, outputs)
    with pytest.raises(InputError) as caught:
        load_tflite(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")
