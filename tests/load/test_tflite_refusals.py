"""What the TFLite importer refuses, always in one line that names the place and the value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the test models are written with ai-edge-litert's schema")

from tflite_models import conv_model, refusal

from hwsim.load.tflite import load_tflite
from hwsim.spec import InputError
from litert.builder import ModelBuilder


def nan_weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return weights with one NaN."""
    weights = np.ones((7, 3, 2, 5), np.float32)
    weights[2, 1, 0, 3] = np.nan
    return weights


NODE = "node 0 'features' (CONV_2D): "

REFUSALS: dict[str, tuple[Callable[[], ModelBuilder], str]] = {
    "nan weights": (
        lambda: conv_model("float32", weights=nan_weights()),
        "tensor 1 't1': values must be finite, not nan",
    ),
    "negative scale": (
        lambda: conv_model(weight_scale=[0.1] * 6 + [-0.5]),
        "tensor 1 't1': scale must be finite and positive, not -0.5",
    ),
    "scale count": (
        lambda: conv_model(weight_scale=[0.1] * 5),
        "tensor 1 't1': scales must be one, or 7 along axis 0, not 5",
    ),
    "scale axis": (
        lambda: conv_model(weight_scale=[0.1] * 5, axis=3),
        "tensor 't1': quantized dimension must be 0 (output channels), not 3",
    ),
    "weights left out": (lambda: conv_model(operands=[0, -1, 2]), "operands must be 2 or more tensors, not [0, -1, 2]"),
    "computed weights": (lambda: conv_model(operands=[0, 0, 2]), "weights and bias must be constants, not computed"),
    "wrong shape": (
        lambda: conv_model(output_shape=[1, 6, 12, 7]),
        (
            "tensor 3 'features': shape must be [1, 6, 13, 7], which its operator yields for a batch of 1, "
            "not [1, 6, 12, 7]"
        ),
    ),
    "zero stride": (
        lambda: conv_model(options={"strideH": 0}),
        "stride must be 1 or more in both directions, not (0, 1)",
    ),
    "unknown activation": (
        lambda: conv_model(options={"fusedActivationFunction": 4}),
        "fused activation must be one of NONE, RELU, RELU6, RELU_N1_TO_1, not code 4",
    ),
    "unknown padding": (lambda: conv_model(options={"padding": 2}), "padding must be SAME or VALID, not code 2"),
    "bias scale": (
        lambda: conv_model(bias_scale=[0.125] * 6 + [0.25]),
        "tensor 2 't2': scale must be input scale times weight scale, 0.1875 in channel 1, not 0.125",
    ),
    "nan bias scale": (
        lambda: conv_model(bias_scale=np.nan),
        "tensor 2 't2': scale must be input scale times weight scale, 0.125 in channel 0, not nan",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_one_line_names_node_and_value(name: str, tmp_path: Path) -> None:
    make, line = REFUSALS[name]
    assert refusal(make(), tmp_path, [3]) == NODE + line


def test_input_refusals(tmp_path: Path) -> None:
    assert refusal(conv_model(zero_point=200), tmp_path, [3]) == (
        "tensor 0 'image': zero point must be from -128 to 127, not 200"
    )
    assert refusal(conv_model(input_scale=[0.5, 0.5]), tmp_path, [3]) == (
        "tensor 0 'image': scales must be exactly one (quantized per tensor), not 2"
    )
    assert refusal(conv_model(input_scale=np.inf), tmp_path, [3]) == (
        "tensor 0 'image': scale must be finite and positive, not inf"
    )
    assert refusal(conv_model(), tmp_path, [3], [0, 3]) == "inputs must be exactly one tensor, not 2"
    assert refusal(conv_model(input_shape=[1, 1 << 20, 1 << 20, 5]), tmp_path, [3]) == (
        "tensor 0 'image': shape must be at most 268435456 elements, not [1, 1048576, 1048576, 5]"
    )


def test_unsupported_operators_are_named(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 3], "float32")
    model.tensor([1, 3], "float32", name="gate")
    model.operator("LSTM", [0], [1])
    line = refusal(model, tmp_path, [1])
    assert line.startswith("node 0 'gate' (LSTM): uses operator LSTM, which is not supported; supported are ADD, ")
    model.model.operatorCodes[0].builtinCode = 32
    model.model.operatorCodes[0].deprecatedBuiltinCode = 32
    model.model.operatorCodes[0].customCode = "Mine"
    assert "uses operator CUSTOM b'Mine', which is not supported" in refusal(model, tmp_path, [1])


def test_nodes_out_of_order_and_written_twice(tmp_path: Path) -> None:
    model = ModelBuilder()
    for _ in range(3):
        model.tensor([1, 3], "float32")
    model.operator("RELU", [1], [2])
    model.operator("RELU", [0], [1])
    assert refusal(model, tmp_path, [2]) == (
        "node 0 't2' (RELU): tensor 1 't1' must be a constant, the input or the output of an earlier node"
    )
    model.graph.operators.reverse()
    model.operator("RELU", [0], [1])
    assert refusal(model, tmp_path, [2]) == (
        "node 2 't1' (RELU): tensor 1 't1' must be written once, and be no constant or input"
    )


def test_a_broadcast_over_the_batch_is_refused(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 3], "float32")
    model.tensor([1, 1, 3], "float32", data=np.ones((1, 1, 3)))
    model.tensor([1, 1, 3], "float32")
    model.operator("ADD", [0, 1], [2], "AddOptions")
    assert refusal(model, tmp_path, [2]) == (
        "node 0 't2' (ADD): constant input must be the same for every image of the batch, not [[1, 3], [1, 1, 3]]"
    )


def test_shared_buffers_do_not_multiply_memory(tmp_path: Path) -> None:
    """A file of 1 MB whose 64 layers all use the same megabyte of weights through tensors of their own."""
    model = ModelBuilder()
    model.tensor([1, 1024], "float32")
    for layer in range(64):
        weights = model.tensor([1024, 1024], "int8", 0.5, data=np.ones((1024, 1024)) if layer == 0 else None)
        model.graph.tensors[weights].buffer = 1
        out = model.tensor([1, 1024], "float32")
        model.operator("FULLY_CONNECTED", [weights - 1, weights, -1], [out], "FullyConnectedOptions")
    assert "constants must be at most" in refusal(model, tmp_path, [out])


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.tflite: file identifier must be TFL3 at byte 4, not b''$"):
        load_tflite(path)
    path.write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(InputError, match=r"x\.tflite: not a readable TFLite model: error unpack_from requires"):
        load_tflite(path)
    with pytest.raises(InputError, match="model must be a regular file, not a folder or a device"):
        load_tflite(tmp_path)
