"""Damaged, hostile and unsupported files: always one clear `InputError`, never another exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from load_onnx.onnx_builder import Net
from onnx import TensorProto, helper

from hwsim.load import onnx_file
from hwsim.load.onnx_float import load_onnx
from hwsim.spec import InputError


def _network() -> Net:
    net = Net((1, 3, 5, 7))
    image = net.op("Relu", net.batch_norm(net.conv("x", 3, 4, pads=[1] * 4), 4))
    pooled = net.op("MaxPool", image, kernel_shape=[2, 2], strides=[2, 2])
    shape = net.op("Concat", net.op("Slice", net.op("Shape", pooled), *(net.constant(np.array([i])) for i in (0, 1))),
                   net.op("Constant", value_ints=[-1]), axis=0)
    net.op("Gemm", net.op("Reshape", pooled, shape), net.normal(24, 3), net.normal(3))
    return net


NETWORK = _network().model().SerializeToString()


def _fails(path: Path, message: str = "") -> str:
    with pytest.raises(InputError, match=message) as caught:
        load_onnx(path)
    text = str(caught.value)
    assert text.startswith(str(path).replace("\0", " ") + ": ")
    assert text.isprintable()
    return text


def _write(folder: Path, model: onnx.ModelProto | bytes) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def _changed(folder: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.ModelProto.FromString(NETWORK)
    change(model)
    return _write(folder, model)


def test_the_network_itself_loads(tmp_path: Path) -> None:
    assert load_onnx(_write(tmp_path, NETWORK)).output.shape == (1, 3)


@given(st.integers(0, len(NETWORK) - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_files(tmp_path: Path, size: int) -> None:
    _fails(_write(tmp_path, NETWORK[:size]))


@given(st.lists(st.tuples(st.integers(0, len(NETWORK) - 1), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(NETWORK)
    for position, mask in flips:
        damaged[position] ^= mask
    try:
        load_onnx(_write(tmp_path, bytes(damaged)))
    except InputError as error:
        assert str(error).isprintable()


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_files(tmp_path: Path, content: bytes) -> None:
    _fails(_write(tmp_path, content))


def test_empty_missing_and_strange_paths(tmp_path: Path) -> None:
    _fails(_write(tmp_path, b""))
    _fails(tmp_path / "absent.onnx", "cannot be read: No such file")
    _fails(tmp_path, "must be a regular file")
    _fails(tmp_path / "a\0b.onnx", "cannot be read")


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    position = NETWORK.index(b"MaxPool")
    _fails(_write(tmp_path, NETWORK[:position] + b"\xff" + NETWORK[position + 1 :]), "NodeProto.op_type is not UTF-8 text")


def test_line_breaks_in_names(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda model: model.graph.node.append(helper.make_node("If", ["x"], ["y"], name="a\n\x1b[2J")))
    _fails(path, "node a")


def test_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_FILE_BYTES", 100)
    _fails(_write(tmp_path, NETWORK), "size must be at most 100 bytes")


@pytest.mark.parametrize("kind", ["QuantizeLinear", "DequantizeLinear", "QLinearConv", "Quant"])
def test_quantized_models(tmp_path: Path, kind: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        domain = "qonnx.custom_op.general" if kind == "Quant" else ""
        model.graph.node.insert(0, helper.make_node(kind, ["x"], ["q"], name="quantizer", domain=domain))

    _fails(_changed(tmp_path, change), f"quantized ONNX is not supported yet: node quantizer uses {kind}; "
                                       "give a float ONNX or an int8 TFLite model")


@pytest.mark.parametrize(("kind", "domain", "shown"), [
    ("LogSoftmax", "", "LogSoftmax"), ("LeakyRelu", "", "LeakyRelu"), ("If", "", "If"),
    ("FusedConv", "com.microsoft", "com.microsoft.FusedConv"),
])  # fmt: skip
def test_unsupported_operators(tmp_path: Path, kind: str, domain: str, shown: str) -> None:
    path = _changed(tmp_path, lambda model: model.graph.node.append(
        helper.make_node(kind, ["x"], ["y"], name="odd", domain=domain)))
    _fails(path, rf"node odd: operator must be one of Add, AveragePool, .*Upsample, Where, not {shown}")


@pytest.mark.parametrize("opset", [6, 99])
def test_operator_sets(tmp_path: Path, opset: int) -> None:
    path = _changed(tmp_path, lambda model: setattr(model.opset_import[0], "version", opset))
    _fails(path, f"opset must be from 7 to {onnx.defs.onnx_opset_version()}, not {opset}")


def test_cycle(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda model: model.graph.node[0].input.__setitem__(0, model.graph.node[2].output[0]))
    _fails(path, r"node conv0 \(Conv\): input must be an initializer, the graph's input or the output of an earlier node")


def test_missing_initializer(tmp_path: Path) -> None:
    _fails(_changed(tmp_path, lambda model: model.graph.initializer.pop(0)), "input must be an initializer.*'constant0'")


def test_missing_output(tmp_path: Path) -> None:
    _fails(_changed(tmp_path, lambda model: setattr(model.graph.output[0], "name", "z")), "output must be written by a node")


def test_constant_output(tmp_path: Path) -> None:
    _fails(_changed(tmp_path, lambda model: setattr(model.graph.output[0], "name", "constant0")),
           "output 'constant0' must be the first output of a node and depend on the input")


def test_second_output(tmp_path: Path) -> None:
    net = Net(("N", 3, 5, 7))
    net.op("Relu", net.op("MaxPool", "x", kernel_shape=[2, 2], outputs=2).replace("_out", "_out1"))
    _fails(net.save(tmp_path), "input must be the first output of its node, not 'maxpool0_out1'")


def test_two_inputs(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda model: model.graph.input.append(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])))
    _fails(path, r"inputs must be exactly one tensor that is not an initializer, not \['x', 'y'\]")


def test_initializers_may_be_inputs(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda model: model.graph.input.append(
        helper.make_tensor_value_info("constant1", TensorProto.FLOAT, [4])))
    assert load_onnx(path).inputs == ("x",)


@pytest.mark.parametrize("shape", [["N", 3, "height", 7], [1, 3, 0, 7], [1, 3, -1, 7], [1], []])
def test_input_shapes(tmp_path: Path, shape: list[int | str]) -> None:
    path = _changed(tmp_path, lambda model: model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)))
    _fails(path, "input 'x': shape must be")


def test_integer_input(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda model: model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, 5, 7])))
    _fails(path, "input 'x': element type must be float")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(tmp_path: Path, value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        weights = np.array(onnx.numpy_helper.to_array(model.graph.initializer[0]))
        weights[1, 2, 0, 1] = value
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "constant0"))

    _fails(_changed(tmp_path, change), "tensor 'constant0' must be finite float32 numbers, not 1 NaN or infinite of 108")


@pytest.mark.parametrize("dims", [[4, 3, 3, 4], [2**62, 2**62], [-1, 3, 3, 3], [0], []])
def test_sizes_must_match_the_data(tmp_path: Path, dims: list[int]) -> None:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    _fails(_changed(tmp_path, change))


def test_typed_data_must_match(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[1].CopyFrom(
            TensorProto(name="constant1", data_type=TensorProto.FLOAT, dims=[4], float_data=[1.0, 2.0]))

    _fails(_changed(tmp_path, change), "tensor 'constant1'.*must be 4 elements|constant1")


def test_huge_images_and_constants(tmp_path: Path) -> None:
    huge = [1, 3, 2**40, 2**40]
    path = _changed(tmp_path, lambda model: model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, huge)))
    _fails(path, "elements")
    net = Net(("N", 5))
    net.op("Add", "x", net.op("ConstantOfShape", net.constant(np.array([2**20, 2**20]))))
    _fails(net.save(tmp_path), "at most 1048576 elements")
    net = Net(("N", 3, 5, 7))
    net.op("Pad", "x", net.constant(np.array([0, 0, 2**40, 0, 0, 0, 0, 2**40])))
    _fails(net.save(tmp_path), "elements")
    net = Net(("N", 3, 5, 7))
    net.op("Conv", "x", net.normal(2, 3, 1, 1), pads=[2**60] * 4)
    _fails(net.save(tmp_path), "elements")


def test_growing_constants(tmp_path: Path) -> None:
    """Each node doubles: 40 of them would take a terabyte."""
    net = Net(("N", 5))
    source = net.normal(1024)
    for _ in range(40):
        source = net.op("Concat", source, source, axis=0)
    net.op("Add", "x", source)
    _fails(net.save(tmp_path), "of at most 1024 elements")
    net = Net(("N", 5))
    column = net.op("Transpose", net.normal(1, 2000), perm=[1, 0])
    net.op("Add", "x", net.op("Mul", column, net.normal(1, 2000)))
    _fails(net.save(tmp_path), "of at most 1048576 elements")


def test_many_readers_of_one_constant(tmp_path: Path) -> None:
    net = Net(("N", 1000))
    weights, source = net.normal(1000, 1000, scale=0.01), "x"
    for _ in range(20):
        source = net.op("MatMul", source, weights)
    _fails(net.save(tmp_path), "constants must be a small multiple of what the file stores")


def test_impossible_folding(tmp_path: Path) -> None:
    net = Net(("N", 6))
    net.op("Reshape", "x", net.op("Reshape", net.constant(np.array([-1, 2, 3])), net.constant(np.array([2, 2]))))
    _fails(net.save(tmp_path), r"node reshape0 \(Reshape\): cannot be computed")


def test_sparse_and_text(tmp_path: Path) -> None:
    net = Net(("N", 6))
    net.op("Reshape", "x", net.op("Constant", value_string="six"))
    _fails(net.save(tmp_path), "value must be a tensor, floats or integers")


class TestExternalData:
    """Weights in files beside the model."""

    @staticmethod
    def _model(folder: Path, location: str, **entries: str) -> Path:
        def change(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in {"location": location, **entries}.items():
                tensor.external_data.add(key=key, value=value)

        folder.mkdir(exist_ok=True)
        return _changed(folder, change)

    @pytest.fixture
    def data(self) -> bytes:
        return bytes(onnx.ModelProto.FromString(NETWORK).graph.initializer[0].raw_data)

    def test_beside_the_model(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "weights.bin").write_bytes(b"1234" + data + b"more")
        path = self._model(tmp_path, "weights.bin", offset="4", length=str(len(data)))
        inside = load_onnx(path).tensors["constant0"].data
        outside = load_onnx(_write(tmp_path, NETWORK)).tensors["constant0"].data
        assert inside is not None and outside is not None
        np.testing.assert_array_equal(inside, outside)
        load_onnx(self._model(tmp_path, "weights.bin", offset="4"))

    @pytest.mark.parametrize("length", ["1", "99999999999", "-3", "x", ""])
    def test_lengths(self, tmp_path: Path, data: bytes, length: str) -> None:
        (tmp_path / "weights.bin").write_bytes(data)
        _fails(self._model(tmp_path, "weights.bin", length=length))

    @pytest.mark.parametrize("offset", ["4", "-4", "99999999999999999999", "x"])
    def test_offsets(self, tmp_path: Path, data: bytes, offset: str) -> None:
        (tmp_path / "weights.bin").write_bytes(data)
        _fails(self._model(tmp_path, "weights.bin", offset=offset))

    @pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin", "absent.bin", "", ".", "/dev/zero"])
    def test_outside(self, tmp_path: Path, data: bytes, location: str) -> None:
        (tmp_path / "weights.bin").write_bytes(data)
        _fails(self._model(tmp_path / "model", location))

    def test_absolute_path(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "weights.bin").write_bytes(data)
        _fails(self._model(tmp_path, str(tmp_path / "weights.bin")))

    def test_link_out_of_the_folder(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "weights.bin").write_bytes(data)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights.bin").symlink_to(tmp_path / "weights.bin")
        (tmp_path / "model" / "folder").symlink_to(tmp_path)
        _fails(self._model(tmp_path / "model", "weights.bin"))
        _fails(self._model(tmp_path / "model", "folder/weights.bin"))
