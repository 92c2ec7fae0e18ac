"""Certificates: accepted as the analysis writes them, refused with one number changed, and confirmed by worst cases."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from hwsim.certify.document import Certificate, LayerClaim, Machine, RegisterSpec
from hwsim.certify.verify import WrongClaimError, verify
from hwsim.graph import Graph, Node, Tensor
from hwsim.kernels.monitor import Monitor
from hwsim.ops import Conv2D, Padding, Window
from hwsim.sim.analyze.layers import claims, prove
from hwsim.spec import Arithmetic, BiasAt, Format, Overflow, Reduction, Register, ZeroPoints
from ops.layer_cases import Layer, layers, per_tensor

DIGEST = "0" * 64
WIDE = Register(48, Overflow.WRAP)


def graph_of(layer: Layer) -> Graph:
    """Return a network of that layer."""
    tensors = {tensor.name: tensor for tensor in (*layer.inputs, layer.output)}
    names = tuple(tensor.name for tensor in layer.inputs)
    return Graph("one", tensors, [Node("only", layer.op, names, (layer.output.name,))], ("x",), ("y",))


def machine_of(reduction: Reduction) -> Machine:
    """Return the machine of a certificate."""

    def spec(register: Register | None) -> Any:
        return None if register is None else RegisterSpec(bits=register.bits, overflow=register.overflow.value)

    return Machine(
        acc=spec(reduction.acc), lanes=reduction.lanes, tree=spec(reduction.tree), chain=reduction.chain,
        psum=spec(reduction.psum), bias_at=reduction.bias_at.value, zero_points=reduction.zero_points.value,
    )  # fmt: skip


def certificate_of(layer: Layer) -> tuple[Certificate, Graph]:
    """Return a network of one layer and its certificate."""
    graph = graph_of(layer)
    proof = prove(graph, graph.nodes[0], 1, layer.prepare())
    claim = claims(proof, graph)
    certificate = Certificate(
        schema_version=1, kind="hwsim accumulator certificate", model="one", model_sha256=DIGEST,
        machine=machine_of(layer.arithmetic.reduction), layers=[claim], no_overflow=claim.no_overflow,
    )  # fmt: skip
    return certificate, graph


@settings(max_examples=120, deadline=None, derandomize=True)
@given(layers())
def test_what_the_analysis_claims_is_accepted(layer: Layer) -> None:
    """All kinds of layers, formats, zero points, groups, orders."""
    certificate, graph = certificate_of(layer)
    verify(certificate, graph, DIGEST)
    assert Certificate.model_validate_json(certificate.to_json()) == certificate


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layers())
def test_certified_layers_do_not_overflow_on_images(layer: Layer) -> None:
    certificate, _ = certificate_of(layer)
    monitor = Monitor(layer.output.shape[-1], observe=True)
    layer.prepare().run([layer.images], monitor)
    (claim,) = certificate.layers
    acc = claim.registers[-1]
    assert np.all(monitor.low >= acc.channel_low) and np.all(monitor.high <= acc.channel_high)
    assert monitor.events == 0 or not claim.no_overflow


ORDERS = {
    "one by one": Reduction(Register(24, Overflow.SATURATE)),
    "bias at the end": Reduction(Register(24, Overflow.WRAP), bias_at=BiasAt.END, zero_points=ZeroPoints.FOLD),
    "chains that spill": Reduction(
        Register(24, Overflow.WRAP), chain=5, psum=Register(20, Overflow.SATURATE), zero_points=ZeroPoints.FOLD
    ),
    "an adder tree": Reduction(Register(24, Overflow.SATURATE), lanes=5, tree=Register(19, Overflow.WRAP)),
    "all of it": Reduction(
        Register(24, Overflow.WRAP), 3, Register(18, Overflow.SATURATE), 2, Register(19, Overflow.WRAP)
    ),
}


def convolution(reduction: Reduction) -> Layer:
    """Return a 3x2 convolution of 5x4 images of 3 channels, uint8 with zero point 17, with 4 outputs of int8 weights."""
    rng = np.random.default_rng(11)
    weights = rng.integers(-128, 128, (4, 3, 2, 3))
    weights[2] = abs(weights[2])
    source, stored = per_tensor(Format(8, signed=False), 0.1, 17), per_tensor(Format(8), 0.01)
    op = Conv2D(Window((3, 2), padding=Padding(1, 1, 0, 1)))
    inputs = (
        Tensor("x", (1, 5, 4, 3), source),
        Tensor("w", weights.shape, stored, weights.astype(np.int8)),
        Tensor("b", (4,), None, rng.integers(-9999, 9999, 4)),
    )
    (shape,) = op.infer(inputs)
    output = Tensor("y", shape, per_tensor(Format(8), 5.0))
    return Layer(op, inputs, output, Arithmetic(reduction), np.zeros((1, 5, 4, 3), np.uint8))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("overflow", Overflow)
def test_a_constructed_image_reaches_the_bound_exactly_and_one_bit_less_breaks(order: str, overflow: Overflow) -> None:
    """The image holds the worst activations in the window of one output pixel inside it, through the whole layer."""
    layer = convolution(ORDERS[order])
    certificate, graph = certificate_of(layer)
    verify(certificate, graph, DIGEST)
    (claim,) = certificate.layers
    reduction = layer.arithmetic.reduction
    exact = dataclasses.replace(
        reduction, acc=WIDE, tree=reduction.tree and WIDE, psum=None if reduction.chain is None else WIDE
    )
    for register in claim.registers:
        broken = 0
        for reached, largest in ((register.high, True), (register.low, False)):
            images = worst_image(layer, claim, reached.channel, largest=largest)
            for bits in (register.safe_bits, register.safe_bits - 1):
                part: dict[str, Any] = {register.name: Register(bits, overflow)}
                machine = Arithmetic(dataclasses.replace(exact, **part))
                monitor = Monitor(4, observe=True)
                dataclasses.replace(layer, arithmetic=machine).prepare().run([images], monitor)
                if bits == register.safe_bits:
                    assert monitor.events == 0, register.name
                    if register.name == "acc":
                        assert (monitor.high if largest else monitor.low)[reached.channel] == reached.value
                else:
                    broken += int(monitor.counts[:, :, reached.channel].sum() > 0)
        assert broken >= 1, register.name


def worst_image(layer: Layer, claim: LayerClaim, channel: int, *, largest: bool) -> Any:
    """Return an image [1, 5, 4, 3] whose window at output row 2, column 1 has each activation at the worst end for a channel."""
    weights = layer.inputs[1].data
    assert weights is not None
    high = 255 if largest else 0
    images = np.full((1, 5, 4, 3), 17, np.uint8)
    # Output row 2 reads input rows 1..3 (one row of padding above); no padding on the left.
    images[0, 1:4, 1:3] = np.where(weights[channel] > 0, high, 255 - high)
    # What the multiplier sees: 0..255 minus the zero point where the array subtracts it.
    assert claim.activations.high - claim.activations.low == 255
    return images


@pytest.mark.parametrize("order", ORDERS)
def test_the_oracle_confirms_the_extreme_of_the_accumulator(order: str) -> None:
    layer = convolution(ORDERS[order])
    (claim,) = certificate_of(layer)[0].layers
    acc, weights = claim.registers[-1], layer.inputs[1].data
    assert weights is not None and layer.inputs[2].data is not None
    fold = layer.arithmetic.reduction.zero_points is ZeroPoints.FOLD
    at_start = layer.arithmetic.reduction.bias_at is BiasAt.START
    for reached, largest in ((acc.high, True), (acc.low, False)):
        column = weights[reached.channel].reshape(-1).tolist()
        ends = (
            (claim.activations.high, claim.activations.low)
            if largest
            else (claim.activations.low, claim.activations.high)
        )
        bias = int(layer.inputs[2].data[reached.channel]) - (17 * sum(column) if fold else 0)
        exact = Reduction(WIDE, bias_at=BiasAt.START if at_start else BiasAt.END)
        _, _, running = oracle.reduce([ends[0] if w > 0 else ends[1] for w in column], column, bias, exact)
        assert (max(running) if largest else min(running)) == reached.value
        assert running[reached.stop] == reached.value


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all numbers and truths in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*path, index))
    elif isinstance(value, int):
        yield path


def changed(document: dict[str, Any], path: tuple[Any, ...], by: int) -> Certificate:
    """Return the certificate with one number changed."""
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = (not old) if isinstance(old, bool) else old + by
    return Certificate.model_validate_json(json.dumps(copy))


@pytest.mark.parametrize("by", [1, -1, 1 << 20])
@pytest.mark.parametrize("order", ["chains that spill", "all of it"])
def test_any_one_number_changed_is_refused_and_the_layer_is_named(order: str, by: int) -> None:
    certificate, graph = certificate_of(convolution(ORDERS[order]))
    document = certificate.model_dump()
    paths = [path for path in numbers(document) if path[0] == "layers"]
    # 4 channels, 2 ends; 2 or 3 registers; their two extremes of 5 numbers, width and truth; what the layer says of itself.
    registers = len(certificate.layers[0].registers)
    assert len(paths) == registers * (2 * 4 + 2 * 5 + 2) + 5 + 5 + 1
    for path in paths:
        with pytest.raises(WrongClaimError, match=r"^layer only: "):
            verify(changed(document, path, by), graph, DIGEST)
    with pytest.raises(WrongClaimError, match=r"^no_overflow"):
        verify(changed(document, ("no_overflow",), by), graph, DIGEST)


def test_other_weights_another_file_and_other_layers_are_refused() -> None:
    certificate, graph = certificate_of(convolution(ORDERS["one by one"]))
    with pytest.raises(WrongClaimError, match=r"^model_sha256 is claimed to be 000.* and is 111"):
        verify(certificate, graph, "1" * 64)
    weights = graph.tensors["w"]
    assert weights.data is not None
    other = weights.data.copy()
    # Where the sum of the row and of its absolute values stay what they were.
    other[0, 0, 0, :2] = other[0, 0, 0, 1::-1]
    swapped = dataclasses.replace(graph, tensors={**graph.tensors, "w": dataclasses.replace(weights, data=other)})
    with pytest.raises(WrongClaimError, match=r"^layer only: weights_sha256"):
        verify(certificate, swapped, DIGEST)
    renamed = certificate.model_copy(update={"layers": []})
    with pytest.raises(WrongClaimError, match=r"^layers is claimed to be \[\]"):
        verify(renamed, graph, DIGEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"psum": None}, "a chain and a partial sum"), ({"lanes": 1}, "a tree needs 2 lanes")],
)
def test_a_machine_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    certificate, graph = certificate_of(convolution(ORDERS["all of it"]))
    machine = certificate.machine.model_copy(update=change)
    with pytest.raises(WrongClaimError, match=message):
        verify(certificate.model_copy(update={"machine": machine}), graph, DIGEST)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers(), st.integers(8, 48))
def test_a_register_fits_exactly_from_its_safe_width_on(layer: Layer, bits: int) -> None:
    (claim,) = certificate_of(layer.with_acc(Register(bits, Overflow.WRAP)))[0].layers
    acc = claim.registers[-1]
    assert acc.fits == (acc.safe_bits <= bits)
