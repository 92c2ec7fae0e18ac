"""Reading TFLite files: what they become."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the test models are written with ai-edge-litert's schema")

from tflite_models import conv_model, refusal

from hwsim.load import load_model
from hwsim.load.tflite import load_tflite, tensor_indices
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, Pad, Padding, Reshape, Window
from hwsim.spec import Format
from litert.builder import ModelBuilder

ROOT = Path(os.environ.get("HWSIM_DATA") or "")
needs_data = pytest.mark.skipif(not os.environ.get("HWSIM_DATA"), reason="HWSIM_DATA is unset: no published models")


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
