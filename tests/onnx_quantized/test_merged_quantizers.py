"""Two quantizers of the same steps in a row, as PyTorch writes them around a ReLU6: equal to ONNX Runtime, in one operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from hwsim.load.onnx import load_onnx
from hwsim.sim import Program
from load_onnx.onnx_builder import kinds
from onnx_quantized.ort_layers import end_to_end, layer_by_layer, ort_session
from onnx_quantized.quantized_net import INT8, QuantizedNet

SCALE = 0.04


def _clipped_twice(bounds: tuple[float, float], first: int = INT8, second: int = INT8) -> tuple[QuantizedNet, str]:
    """Convolution, quantizer, clip, quantizer; return the net and what is between quantizer and clip."""
    net = QuantizedNet(("N", 3, 9, 7), 21, kind=INT8)
    w = net.weights(5, 3, 3, 3)
    y = net.qdq(net.op("Conv", net.qdq("x", 0.03, -3), w, net.bias(0.03, w)), SCALE, 0, first)
    clipped = net.op("Clip", y, *(net.constant(np.float32(bound)) for bound in bounds))
    net.qdq(clipped, SCALE, 0, second)
    return net, y


@pytest.mark.parametrize("bounds", [(0, 6), (-1.015, 1.5), (0, 0.01), (-9, 9), (5.5, 7)])
def test_a_clamp_between_two_quantizers_is_limits_of_the_layer(tmp_path: Path, bounds: tuple[float, float]) -> None:
    """Bounds on integers, between them, of less than a step, and beyond the format's ends."""
    net, _ = _clipped_twice(bounds)
    path, images = net.save(tmp_path), net.images(20)
    found, whole = layer_by_layer(path, images), end_to_end(path, images)
    assert kinds(found.graph) == ["quantize", "conv2d", "dequantize"]
    result = found.graph.tensors[found.graph.nodes[1].outputs[0]].quantization
    # Half to even, as QuantizeLinear rounds; 0.04 in float32 is no tie for any of these.
    expected = [min(127, max(-128, int(np.rint(bound / SCALE)))) for bound in bounds]
    assert result is not None
    assert [result.lo, result.hi] == expected
    assert sum(whole.different.values()) <= whole.elements / 2000


def test_a_second_reader_keeps_the_first_quantizer(tmp_path: Path) -> None:
    net, unclipped = _clipped_twice((0, 1))
    net.qdq(net.op("Add", unclipped, net.nodes[-1].output[0]), 2 * SCALE, 0)
    path, images = net.save(tmp_path), net.images(20)
    assert kinds(layer_by_layer(path, images).graph) == ["quantize", "conv2d", "quantize", "add", "dequantize"]


@pytest.mark.parametrize("clipped", [True, False])
def test_a_narrower_first_quantizer_stays(tmp_path: Path, clipped: bool) -> None:
    """What it saturates to 4 bits, one of 8 bits behind it must not let through."""
    if clipped:
        net, _ = _clipped_twice((-9, 9), TensorProto.INT4)
    else:
        net = QuantizedNet(("N", 3, 9, 7), 21, kind=INT8)
        w = net.weights(5, 3, 3, 3)
        y = net.op("Conv", net.qdq("x", 0.03, -3), w, net.bias(0.03, w))
        net.qdq(net.qdq(y, SCALE, 0, TensorProto.INT4), SCALE, 0)
    path, images = net.save(tmp_path), net.images(20)
    graph = load_onnx(path)
    assert kinds(graph) == ["quantize", "conv2d", "quantize", "dequantize"]
    # Whole runs: ONNX Runtime does not give integers of 4 bits away.
    (theirs,) = ort_session(onnx.load(path)).run(None, {"x": images})
    ours = Program(graph).run(images.transpose(0, 2, 3, 1))[graph.outputs[0]].transpose(0, 3, 1, 2)
    steps = np.rint((ours - theirs) / SCALE)
    np.testing.assert_allclose(theirs.max(), 7 * SCALE, rtol=1e-6)
    assert np.abs(steps).max() <= 1
    assert np.count_nonzero(steps) <= steps.size / 2000
