"""Weight-only and dynamic quantization: against arithmetic by hand, and ONNX Runtime's own dynamic quantization."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.graph import Array, Graph
from hwsim.load import load_model
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Padding, Window
from hwsim.quant import Mode, Scheme, evaluate
from hwsim.quant.dynamic import evaluate_dynamic
from hwsim.quant.weight_only import weight_only
from hwsim.sim.quantize.engines import DynamicEngine, WeightOnlyEngine
from quant.float_nets import FloatNet, outputs_of, sqnr_db


def scores(graph: Graph, image: Array, scheme: Scheme) -> Array:
    return next(o[0] for node, o in evaluate_dynamic(graph, image, scheme) if graph.outputs[0] in node.outputs)


def mixed_net() -> FloatNet:
    net = FloatNet(6, 5, 4)
    same = Window((3, 3), padding=Padding(1, 1, 1, 1))
    conv = net.node("conv", Conv2D(same, 2, Activation.RELU), "x", net.normal("w", 6, 3, 3, 2), net.normal("b", 6))
    deep = net.node("deep", DepthwiseConv2D(same, 2, Activation.RELU6), conv, net.normal("dw", 1, 3, 3, 12))
    net.node("fc", FullyConnected(), deep, net.normal("fw", 3, 360), net.normal("fb", 3))
    return net


def test_weight_only_networks_compute_with_the_values_of_their_integers() -> None:
    """Weights (1, -2) at 2/7 are 4 and -7 of 4 bits: 8/7 and -2; of (3, 0.5) that is 24/7 - 1, and the bias 0.1."""
    net = FloatNet(2)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[1.0, -2.0]]), net.constant("b", [0.1]))
    made = weight_only(net.graph(), Scheme(weight_bits=4, mode=Mode.WEIGHT_ONLY))
    tensor = made.tensors["w"]
    assert tensor.data is not None and tensor.data.tolist() == [[4, -7]]
    found = outputs_of(made, np.array([[3.0, 0.5]], np.float32))["fc_out"]
    assert found == pytest.approx(np.array([[24 / 7 - 1 + 0.1]]))
    assert made.tensors["fc_out"].quantization is None


def test_a_dynamic_layer_by_hand() -> None:
    """3 and -1 over -1..3 in 8 bits: scale 4/255, zero 64 steps above -128 (63.75 rounded), so 3 is 127 and -1 is -128.

    Products with 4 and -7 at 2/7: 4 * (127 + 64) - 7 * (-128 + 64) = 764 + 448 = 1212 steps of 4/255 * 2/7.
    """
    net = FloatNet(2)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[1.0, -2.0]]), net.constant("b", [0.1]))
    scheme = Scheme(weight_bits=4, mode=Mode.DYNAMIC)
    found = scores(weight_only(net.graph(), scheme), np.array([[3.0, -1.0]], np.float32), scheme)
    assert found == pytest.approx(np.array([[1212 * 4 / 255 * 2 / 7 + 0.1]]))


@pytest.mark.parametrize("affine", [True, False])
def test_dynamic_networks_are_quantized_products_within_float_ones(affine: bool) -> None:
    """Each layer equals real arithmetic in float64 on the rounded input of that very image; the whole is close to float."""
    graph = mixed_net().graph()
    batch = np.random.default_rng(2).normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    scheme = Scheme(affine_weights=affine, affine_activations=affine, mode=Mode.DYNAMIC)
    made = weight_only(graph, scheme)
    for image in batch:
        values = {made.inputs[0]: image[None]}
        for node, outputs in evaluate_dynamic(made, image[None], scheme):
            source = values[node.inputs[0]]
            q = scheme.activations(float(source.min()), float(source.max()))
            inputs = [q.dequantize(q.quantize(source)), *(made.tensors[name].real() for name in node.inputs[1:])]
            expected = node.op.evaluate([array.astype(np.float64) for array in inputs])[0]
            np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-4)
            values.update(zip(node.outputs, outputs, strict=True))
    found = DynamicEngine(made, scheme).scores(batch)
    assert sqnr_db(outputs_of(graph, batch)["fc_out"], found) > 30


def test_the_range_of_one_image_does_not_depend_on_the_others() -> None:
    graph = mixed_net().graph()
    batch = np.random.default_rng(2).normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    batch[1] *= 50
    scheme = Scheme(mode=Mode.DYNAMIC)
    engine = DynamicEngine(weight_only(graph, scheme), scheme)
    alone = np.concatenate([engine.scores(batch[i : i + 1]) for i in range(3)])
    assert np.array_equal(engine.scores(batch), alone)


def matrix_model(path: Path, weights: Array) -> None:
    """Write ``y = x @ weights`` as ONNX."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in zip("xy", weights.shape, strict=True)
    ]
    made = helper.make_graph([node], "matrix", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def test_a_layer_equals_onnx_runtimes_dynamic_quantization(tmp_path: Path) -> None:
    """MatMulInteger behind DynamicQuantizeLinear, int8 weights with one scale; its scales are float32."""
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    tools = pytest.importorskip("onnxruntime.quantization", reason="needs ONNX Runtime")
    rng = np.random.default_rng(8)
    weights = rng.normal(0, 1, (40, 7)).astype(np.float32)
    source, target = tmp_path / "float.onnx", tmp_path / "dynamic.onnx"
    matrix_model(source, weights)
    tools.quantize_dynamic(source, target, weight_type=tools.QuantType.QInt8, extra_options={"WeightSymmetric": True})
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(target, options)
    scheme = Scheme(per_channel=False, mode=Mode.DYNAMIC)
    made = weight_only(load_model(str(source)).graph, scheme)
    for image in rng.normal(0.3, 2, (20, 1, 40)).astype(np.float32):
        (theirs,) = session.run(None, {"x": image})
        np.testing.assert_allclose(scores(made, image, scheme), theirs, rtol=1e-4, atol=1e-4)


def test_the_weight_only_engine_is_the_float_path() -> None:
    graph = mixed_net().graph()
    batch = np.random.default_rng(2).normal(0, 1, (3, 6, 5, 4)).astype(np.float32)
    made = weight_only(graph, Scheme(weight_bits=6, mode=Mode.WEIGHT_ONLY))
    expected = {node.name: outputs[0] for node, outputs in evaluate(made, batch)}
    engine = WeightOnlyEngine(made)
    for node, values in engine.run(batch):
        assert np.array_equal(values, expected[node.name])
    assert sqnr_db(outputs_of(graph, batch)["fc_out"], engine.scores(batch)) > 20
