"""Graphs: what a network must be made of, and what its tensors mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.graph import Graph, Node, Quantization, Tensor
from hwsim.ops import Activation, Add, FullyConnected, Rectify, Reshape
from hwsim.spec import Format, InputError

TENSORS = {name: Tensor(name, (1, 4)) for name in ("x", "a", "y")}
RELU = Rectify(Activation.RELU)
NODES = (Node("first", RELU, ("x",), ("a",)), Node("second", RELU, ("a",), ("y",)))


def graph(**fields: Any) -> Graph:
    """Return a graph of two nodes, with fields replaced."""
    complete: dict[str, Any] = {"tensors": TENSORS, "nodes": NODES, "inputs": ("x",), "outputs": ("y",)}
    return Graph("net", **{**complete, **fields})


def test_a_sorted_graph_is_accepted_and_knows_its_ends() -> None:
    net = graph()
    assert (net.input.name, net.output.name) == ("x", "y")
    assert [tensor.name for tensor in net.inputs_of(NODES[1])] == ["a"]
    assert [tensor.name for tensor in net.outputs_of(NODES[1])] == ["y"]
    assert not net.quantized


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"inputs": ()}, "net: inputs must be exactly one tensor, not []"),
    ({"inputs": ("x", "a")}, "net: inputs must be exactly one tensor, not ['x', 'a']"),
    ({"outputs": ()}, "net: outputs must be at least one tensor, not []"),
    ({"outputs": ("z",)}, "net: output must be written by a node, not 'z'"),
    ({"nodes": (NODES[0], Node("first", RELU, ("a",), ("y",)))}, "net: node name must be unique, not first"),
    (
        {"nodes": NODES[::-1]},
        "net: node second (rectify) reads tensor 'a', which must be a constant, the input or the output of an earlier node",
    ),
    (
        {"nodes": (Node("loop", RELU, ("y",), ("y",)),)},
        "net: node loop (rectify) reads tensor 'y', which must be a constant, the input or the output of an earlier node",
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_broken_graph_is_refused_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        graph(**fields)
    assert str(error.value) == message


def test_constants_may_be_read_from_the_start() -> None:
    tensors = {**TENSORS, "c": Tensor("c", (1, 4), None, np.ones((1, 4), np.float32))}
    node = Node("add", Add(), ("x", "c"), ("y",))
    assert graph(tensors=tensors, nodes=(node,)).inputs_of(node)[1].constant


def test_a_graph_is_quantized_where_all_its_weights_are() -> None:
    q = Quantization(Format(8), np.asarray(0.5), np.asarray(0))
    node = Node("fc", FullyConnected(), ("x", "w"), ("y",))
    for quantization, expected in ((q, True), (None, False)):
        weights = Tensor("w", (4, 4), quantization, np.zeros((4, 4), np.int8))
        assert graph(tensors={**TENSORS, "w": weights}, nodes=(node,)).quantized is expected


def test_activations_are_freed_after_their_last_reader_and_outputs_never() -> None:
    tensors = {**TENSORS, **{name: Tensor(name, (1, 4)) for name in ("b", "unread")}}
    tensors["c"] = Tensor("c", (1, 4), None, np.ones((1, 4), np.float32))
    nodes = (
        Node("0", RELU, ("x",), ("a",)),
        Node("1", Add(), ("a", "c"), ("b",)),
        Node("2", Add(), ("a", "b"), ("y",)),
        Node("3", Reshape((1, 4)), ("y",), ("unread",)),
    )
    net = graph(tensors=tensors, nodes=nodes)
    assert [net.last_used(i) for i in range(4)] == [["x"], [], ["a", "b"], ["unread"]]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.booleans(), st.sampled_from((None, 0, 1, 2)))
def test_quantizing_what_was_dequantized_gives_the_same_integers(
    seed: int, bits: int, signed: bool, axis: int | None
) -> None:
    rng = np.random.default_rng(seed)
    form, shape = Format(bits, signed), (3, 4, 5)
    size = () if axis is None else (shape[axis],)
    q = Quantization(form, 2.0 ** rng.uniform(-9, 9, size), rng.integers(form.lo, form.hi + 1, size), axis)
    integers = rng.integers(form.lo, form.hi + 1, shape).astype(form.storage)
    real = q.dequantize(integers)
    assert real.dtype == np.float32
    back = q.quantize(real)
    assert back.dtype == integers.dtype
    assert np.array_equal(back, integers)
    for index in [(0, 0, 0), (2, 3, 4), (1, 2, 0)]:
        scale, zero = (float(v) if axis is None else float(v[index[axis]]) for v in (q.scale, q.zero_point))
        assert real[index] == np.float32(scale * (int(integers[index]) - zero))


def test_quantizing_rounds_half_to_even_in_double_and_clamps() -> None:
    q = Quantization(Format(4), np.asarray(0.5), np.asarray(1))
    real = np.array([0.25, 0.75, -0.25, -0.75, 100.0, -100.0])
    assert q.quantize(real).tolist() == [1, 3, 1, -1, 7, -8]
    assert not q.symmetric
    assert Quantization(Format(4), np.asarray(0.5), np.asarray(0)).symmetric


@pytest.mark.parametrize(
    ("scale", "zero_point", "axis", "message"),
    [
        (0.0, 0, None, "scale must be finite and positive, not 0.0"),
        (-1.0, 0, None, "scale must be finite and positive, not -1.0"),
        (np.inf, 0, None, "scale must be finite and positive, not inf"),
        ([1.0, np.nan], [0, 0], 0, "scale must be finite and positive, not [ 1. nan]"),
        ([1.0, 2.0], 0, 0, "zero_point must be of shape (2,), not ()"),
        ([1.0], [0], None, "scale must be a scalar, or a vector with an axis, not of shape (1,) with axis None"),
        (1.0, 0, 1, "scale must be a scalar, or a vector with an axis, not of shape () with axis 1"),
    ],
)
def test_impossible_quantizations_are_refused(scale: Any, zero_point: Any, axis: int | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        Quantization(Format(8), scale, zero_point, axis)
    assert str(error.value) == message


def test_tensors_count_elements_and_give_their_real_values() -> None:
    q = Quantization(Format(8), np.array([0.5, 2.0]), np.array([1, -1]), 0)
    tensor = Tensor("w", (2, 3), q, np.array([[1, 2, 3], [4, 5, 6]], np.int8))
    assert (tensor.elements, tensor.constant) == (6, True)
    assert tensor.real().tolist() == [[0.0, 0.5, 1.0], [10.0, 12.0, 14.0]]
    assert Tensor("b", (2,), None, np.array([3, 4])).real().dtype == np.float32
    assert Tensor("s", ()).elements == 1
    assert not Tensor("x", (1, 2)).constant
