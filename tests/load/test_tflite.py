"""Reading TFLite files: what they become, and what is refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the test models are written with ai-edge-litert's schema")

from hwsim.load import load_model
from hwsim.load.tflite import load_tflite, tensor_indices
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, Padding, Pad, Reshape, Window
from hwsim.spec import Format, InputError
from litert.builder import ModelBuilder

ROOT = Path(os.environ.get("HWSIM_DATA") or "")
needs_data = pytest.mark.skipif(not os.environ.get("HWSIM_DATA"), reason="HWSIM_DATA is unset: no published models")


def conv_model(dtype: str = "int8", **changes: Any) -> ModelBuilder:
    """Return a model of one 3x2 convolution, 5 to 7 channels, tensors 0 to 3; `changes` replace parts of it."""
    scale = 0.5 if dtype != "float32" else None
    model = ModelBuilder()
    model.tensor(changes.get("input_shape", [1, 11, 13, 5]), dtype, changes.get("input_scale", scale),
                 changes.get("zero_point", 3 if scale else 0), name="image")
    weights = changes.get("weights", np.arange(7 * 3 * 2 * 5).reshape(7, 3, 2, 5) % 120)
    channel_scales = np.linspace(0.25, 1, 7) if scale else None
    model.tensor([7, 3, 2, 5], changes.get("weight_type", dtype), changes.get("weight_scale", channel_scales),
                 axis=changes.get("axis", 0), data=weights)
    bias_scale = None if channel_scales is None else channel_scales * 0.5
    model.tensor([7], "int32" if scale else "float32", changes.get("bias_scale", bias_scale), data=np.arange(7) - 3)
    model.tensor(changes.get("output_shape", [1, 6, 13, 7]), dtype, scale, name="features")
    model.operator("CONV_2D", changes.get("operands", [0, 1, 2]), [3], "Conv2DOptions", **{
        "padding": 0, "strideH": 2, "strideW": 1, "fusedActivationFunction": 3, **changes.get("options", {}),
    })
    return model


def refusal(model: ModelBuilder, tmp_path: Path, outputs: Sequence[int], inputs: Sequence[int] = (0,)) -> str:
    """Return the one line that loading answers with, without the file's name that it must start with."""
    path = model.write(tmp_path / "model.tflite", inputs, outputs)
    with pytest.raises(InputError) as caught:
        load_tflite(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_convolution(tmp_path: Path) -> None:
    graph = load_tflite(conv_model().write(tmp_path / "tiny.tflite", [0], [3]))
    (node,) = graph.nodes
    assert (graph.name, node.name, node.inputs, node.outputs) == (
        "tiny", "features", ("image", "t1", "t2"), ("features",))  # fmt: skip
    assert node.op == Conv2D(Window((3, 2), (2, 1), (1, 1), Padding(1, 1, 0, 1)), 1, Activation.RELU6)
    image, weights, bias = graph.inputs_of(node)
    assert image.shape == (1, 11, 13, 5) and image.quantization is not None
    assert (image.quantization.format, float(image.quantization.scale), int(image.quantization.zero_point)) == (
        Format(8), 0.5, 3)  # fmt: skip
    assert weights.data is not None and weights.data.dtype == np.int8 and weights.data[6, 2, 1, 4] == 209 - 120
    assert weights.quantization is not None and weights.quantization.axis == 0
    np.testing.assert_array_equal(weights.quantization.scale, np.linspace(0.25, 1, 7).astype(np.float32))
    assert bias.quantization is None and bias.data is not None and bias.data.dtype == np.int64
    assert graph.quantized
    assert tensor_indices(tmp_path / "tiny.tflite") == {"image": 0, "t1": 1, "t2": 2, "features": 3}


def test_float_convolution_and_groups(tmp_path: Path) -> None:
    model = conv_model("float32", input_shape=[4, 11, 13, 35], output_shape=[4, 5, 12, 7], options={"padding": 1})
    graph = load_tflite(model.write(tmp_path / "m.tflite", [0], [3]))
    assert not graph.quantized and graph.input.shape == (1, 11, 13, 35)
    op = graph.nodes[0].op
    assert isinstance(op, Conv2D) and op.groups == 7 and op.window.padding == Padding()
    assert graph.tensors["t2"].data is not None and graph.tensors["t2"].data.dtype == np.float32


def test_depthwise_multiplier_comes_from_the_shapes(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 5, 5, 3], "float32")
    model.tensor([1, 3, 3, 6], "float32", data=np.ones((1, 3, 3, 6)))
    model.tensor([1, 3, 3, 6], "float32")
    model.operator("DEPTHWISE_CONV_2D", [0, 1], [2], "DepthwiseConv2DOptions", padding=1, strideH=1, strideW=1)
    op = load_tflite(model.write(tmp_path / "m.tflite", [0], [2])).nodes[0].op
    assert op == DepthwiseConv2D(Window((3, 3)), 2)


def test_names_are_unique_and_printable(tmp_path: Path) -> None:
    model = ModelBuilder()
    for name in ("same", "same", "", "line\nbreak"):
        model.tensor([1, 3], "float32", name=name)
    for index in range(3):
        model.operator("RELU", [index], [index + 1])
    path = model.write(tmp_path / "m.tflite", [0], [3])
    assert [node.name for node in load_tflite(path).nodes] == ["same#1", "tensor#2", "line?break"]
    assert tensor_indices(path) == {"same": 0, "same#1": 1, "tensor#2": 2, "line?break": 3}


def test_keras_batch_idiom_is_folded(tmp_path: Path) -> None:
    """RESHAPE to [SHAPE(x)[0], 15], which Keras writes for Flatten."""
    model = ModelBuilder()
    image = model.tensor([1, 3, 5], "float32")
    sizes, batch, target = (model.tensor(shape, "int32") for shape in ([3], [], [2]))
    zero, one, rest = (model.tensor(np.shape(v), "int32", data=v) for v in ([0], [1], 15))
    flat = model.tensor([1, 15], "float32", name="flat")
    model.operator("SHAPE", [image], [sizes], "ShapeOptions", outType=2)
    model.operator("STRIDED_SLICE", [sizes, zero, one, one], [batch], "StridedSliceOptions", shrinkAxisMask=1)
    model.operator("PACK", [batch, rest], [target], "PackOptions", valuesCount=2)
    model.operator("RESHAPE", [image, target], [flat], "ReshapeOptions")
    (node,) = load_tflite(model.write(tmp_path / "m.tflite", [image], [flat])).nodes
    assert node.op == Reshape((1, 15)) and node.inputs == ("t0",)


def test_float16_weights_are_folded(tmp_path: Path) -> None:
    model = ModelBuilder()
    values = np.array([[0.5, -2, 3], [1, 0.25, 65504]], np.float16)
    model.tensor([1, 3], "float32")
    model.tensor([2, 3], "float16", data=values)
    model.tensor([2, 3], "float32", name="weights")
    model.tensor([1, 2], "float32", name="out")
    model.operator("DEQUANTIZE", [1], [2])
    model.operator("FULLY_CONNECTED", [0, 2, -1], [3], "FullyConnectedOptions")
    graph = load_tflite(model.write(tmp_path / "m.tflite", [0], [3]))
    assert [node.name for node in graph.nodes] == ["out"]
    np.testing.assert_array_equal(graph.tensors["weights"].real(), values.astype(np.float32))


def test_dynamic_range_weights_are_read_as_reals(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 2], "float32")
    model.tensor([2, 2], "int8", 0.5, data=[[1, -2], [3, 4]])
    model.tensor([1, 2], "float32")
    model.operator("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")
    graph = load_tflite(model.write(tmp_path / "m.tflite", [0], [2]))
    assert not graph.quantized
    np.testing.assert_array_equal(graph.tensors["t1"].real(), [[0.5, -1], [1.5, 2]])


def test_int4_weights_are_unpacked(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 3], "int8", 0.5)
    model.tensor([1, 3], "int8", 0.5, data=[0, 0, 0])
    model.tensor([1, 1], "int8", 0.5)
    model.operator("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")
    model.graph.tensors[1].type = 17  # INT4
    model.model.buffers[1].data = np.array([0x8F, 0x07], np.uint8)
    weights = load_tflite(model.write(tmp_path / "m.tflite", [0], [2])).tensors["t1"]
    assert weights.data is not None and weights.quantization is not None
    assert weights.data.tolist() == [[-1, -8, 7]] and weights.quantization.format == Format(4)


def test_pad_v2_of_the_zero_point(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 3], "int8", 0.5, 7)
    model.tensor([2, 2], "int32", data=[[0, 0], [1, 2]])
    model.tensor([1], "int8", 0.5, 7, data=[7])
    model.tensor([1, 6], "int8", 0.5, 7)
    model.operator("PADV2", [0, 1, 2], [3], "PadV2Options")
    assert load_tflite(model.write(tmp_path / "m.tflite", [0], [3])).nodes[0].op == Pad(((0, 0), (1, 2)))
    model.model.buffers[2].data = np.array([8], np.uint8)
    assert refusal(model, tmp_path, [3]) == "node 0 't3' (PADV2): padding value must be 0, not 0.5"


def nan_weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return weights with one NaN."""
    weights = np.ones((7, 3, 2, 5), np.float32)
    weights[2, 1, 0, 3] = np.nan
    return weights


NODE = "node 0 'features' (CONV_2D): "

REFUSALS: dict[str, tuple[Callable[[], ModelBuilder], str]] = {
    "nan weights": (lambda: conv_model("float32", weights=nan_weights()),
                    "tensor 1 't1': values must be finite, not nan"),
    "negative scale": (lambda: conv_model(weight_scale=[0.1] * 6 + [-0.5]),
                       "tensor 1 't1': scale must be finite and positive, not -0.5"),
    "scale count": (lambda: conv_model(weight_scale=[0.1] * 5), "tensor 1 't1': scales must be one, or 7 along axis 0, not 5"),
    "scale axis": (lambda: conv_model(weight_scale=[0.1] * 5, axis=3),
                   "tensor 't1': quantized dimension must be 0 (output channels), not 3"),
    "weights left out": (lambda: conv_model(operands=[0, -1, 2]), "operands must be 2 or more tensors, not [0, -1, 2]"),
    "computed weights": (lambda: conv_model(operands=[0, 0, 2]), "weights and bias must be constants, not computed"),
    "wrong shape": (lambda: conv_model(output_shape=[1, 6, 12, 7]),
                    "tensor 3 'features': shape must be [1, 6, 13, 7], which its operator yields for a batch of 1, "
                    "not [1, 6, 12, 7]"),
    "zero stride": (lambda: conv_model(options={"strideH": 0}),
                    "stride must be 1 or more in both directions, not (0, 1)"),
    "unknown activation": (lambda: conv_model(options={"fusedActivationFunction": 4}),
                           "fused activation must be one of NONE, RELU, RELU6, RELU_N1_TO_1, not code 4"),
    "unknown padding": (lambda: conv_model(options={"padding": 2}), "padding must be SAME or VALID, not code 2"),
    "bias scale": (lambda: conv_model(bias_scale=[0.125] * 6 + [0.25]),
                   "tensor 2 't2': scale must be input scale times weight scale, 0.1875 in channel 1, not 0.125"),
    "nan bias scale": (lambda: conv_model(bias_scale=np.nan),
                       "tensor 2 't2': scale must be input scale times weight scale, 0.125 in channel 0, not nan"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_one_line_names_node_and_value(name: str, tmp_path: Path) -> None:
    make, line = REFUSALS[name]
    assert refusal(make(), tmp_path, [3]) == NODE + line


def test_input_refusals(tmp_path: Path) -> None:
    assert refusal(conv_model(zero_point=200), tmp_path, [3]) == (
        "tensor 0 'image': zero point must be from -128 to 127, not 200")
    assert refusal(conv_model(input_scale=[0.5, 0.5]), tmp_path, [3]) == (
        "tensor 0 'image': scales must be exactly one (quantized per tensor), not 2")
    assert refusal(conv_model(input_scale=np.inf), tmp_path, [3]) == (
        "tensor 0 'image': scale must be finite and positive, not inf")
    assert refusal(conv_model(), tmp_path, [3], [0, 3]) == "inputs must be exactly one tensor, not 2"
    assert refusal(conv_model(input_shape=[1, 1 << 20, 1 << 20, 5]), tmp_path, [3]) == (
        "tensor 0 'image': shape must be at most 268435456 elements, not [1, 1048576, 1048576, 5]")


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
        "node 0 't2' (RELU): tensor 1 't1' must be a constant, the input or the output of an earlier node")
    model.graph.operators.reverse()
    model.operator("RELU", [0], [1])
    assert refusal(model, tmp_path, [2]) == (
        "node 2 't1' (RELU): tensor 1 't1' must be written once, and be no constant or input")


def test_a_broadcast_over_the_batch_is_refused(tmp_path: Path) -> None:
    model = ModelBuilder()
    model.tensor([1, 3], "float32")
    model.tensor([1, 1, 3], "float32", data=np.ones((1, 1, 3)))
    model.tensor([1, 1, 3], "float32")
    model.operator("ADD", [0, 1], [2], "AddOptions")
    assert refusal(model, tmp_path, [2]) == (
        "node 0 't2' (ADD): constant input must be the same for every image of the batch, not [[1, 3], [1, 1, 3]]")


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
    with pytest.raises(InputError, match="must be a readable file, not one with: Is a directory"):
        load_tflite(tmp_path)


PUBLISHED = {
    "mlperf_tiny/resnet8_int8.tflite": (16, 12_501_632, True),
    "mlperf_tiny/resnet8_float.tflite": (16, 12_501_632, False),
    "mlperf_tiny/kws_dscnn_int8.tflite": (13, 2_656_768, True),
    "mlperf_tiny/kws_dscnn_float.tflite": (13, 2_656_768, False),
    "mlperf_tiny/vww_mobilenet_v1_0.25_int8.tflite": (31, 7_489_664, True),
    "mlperf_tiny/vww_mobilenet_v1_0.25_float.tflite": (31, 7_489_664, False),
    "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite": (31, 13_570_304, True),
    "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite": (68, 300_775_552, True),
}
"""Nodes, MACs and whether quantized."""


@needs_data
@pytest.mark.parametrize("file", PUBLISHED)
def test_published_models(file: str) -> None:
    model = load_model(ROOT / file)
    graph = model.graph
    shapes = (node.op.gemm(graph.inputs_of(node), graph.outputs_of(node)) for node in graph.nodes)
    assert (len(graph.nodes), sum(m * k * n * groups for m, k, n, groups in shapes), graph.quantized) == PUBLISHED[file]
    assert (model.source_format, len(model.sha256), model.path) == ("tflite", 64, ROOT / file)
