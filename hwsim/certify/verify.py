"""The verifier: recomputes every claim of a certificate from the model alone, in plain Python integers.

It shares no code with `hwsim.sim.analyze.extremes`, which writes the claims. It follows one dot product at a time through the
registers, as `hwsim/spec/reduction.py` defines them, with the smallest and the largest value of every product in its place:
the products of one output are independent, so each sum reaches the sum of its terms' extremes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hwsim.certify.document import Certificate, LayerClaim, Machine, Reached, RegisterClaim
from hwsim.graph import Graph, Node
from hwsim.spec import InputError

Write = tuple[str, int, int, int, int, int]
"""Register, first dense product, dense product after the last, outliers, smallest sum, largest sum."""


class WrongClaimError(Exception):
    """The first claim that is not so: a sentence that names the layer."""


@dataclass(frozen=True)
class _Layer:
    """What the model says of a layer: weights by channel in the order of summation, and what meets them."""

    weights: list[list[int]]
    outliers: list[list[int]] | None
    """Likewise, 0 where there is none; None: there are none at all."""
    outlier_bits: int
    bias: list[int]
    weight_bits: int
    bits: int
    signed: bool
    zero_point: int
    low: int
    high: int


def verify(certificate: Certificate, graph: Graph, model_sha256: str) -> None:
    """Accept a certificate or raise.

    Parameters
    ----------
    certificate
        What is claimed.
    graph
        The integer network.
    model_sha256
        Of the file that it comes from.

    Raises
    ------
    WrongClaimError
        Naming the first claim that is wrong.
    """
    _same("model_sha256", certificate.model_sha256, model_sha256)
    if (certificate.machine.chain is None) != (certificate.machine.psum is None):
        raise WrongClaimError("machine: a chain and a partial sum come together or not at all")
    if certificate.machine.tree is not None and certificate.machine.lanes == 1:
        raise WrongClaimError("machine: a tree needs 2 lanes or more")
    nodes = [node for node in graph.nodes if node.op.weighted]
    _same("layers", [layer.name for layer in certificate.layers], [node.name for node in nodes])
    for claim, node in zip(certificate.layers, nodes, strict=True):
        try:
            _check_layer(claim, _read(graph, node, certificate.machine), certificate.machine)
        except WrongClaimError as error:
            raise WrongClaimError(f"layer {claim.name}: {error}") from None
    _same("no_overflow", certificate.no_overflow, all(layer.no_overflow for layer in certificate.layers))


def _same(field: str, claimed: Any, found: Any) -> None:
    if claimed != found:
        raise WrongClaimError(f"{field} is claimed to be {_short(claimed)} and is {_short(found)}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _read(graph: Graph, node: Node, machine: Machine) -> _Layer:
    """Take a layer's integers out of the network."""
    source, weights, *rest = graph.inputs_of(node)
    entering, stored = source.quantization, weights.quantization
    if entering is None or stored is None or weights.data is None:
        raise InputError(f"{graph.name}: node {node.name} must have integer activations and constant integer weights")
    if node.op.kind not in ("conv2d", "depthwise_conv2d", "fully_connected"):
        raise InputError(
            f"{graph.name}: node {node.name} ({node.op.kind}) must be a kind of layer that can be certified"
        )
    depthwise = node.op.kind == "depthwise_conv2d"
    channels = weights.shape[3 if depthwise else 0]
    rows = _rows(weights.data.reshape(-1).tolist(), channels, depthwise)
    sparse, wide = None, 0
    if weights.outliers is not None and len(weights.outliers.places):
        wide, flat = weights.outliers.format.bits, [0] * weights.data.size
        for place, value in zip(weights.outliers.places.tolist(), weights.outliers.values.tolist(), strict=True):
            flat[place] = value
        sparse = _rows(flat, channels, depthwise)
    zeros = stored.zero_point.tolist()
    by_channel = zeros if isinstance(zeros, list) else [zeros] * len(rows)
    rows = [[w - zero for w in row] for row, zero in zip(rows, by_channel, strict=True)]
    constant = rest[0].data if rest else None
    bias = [0] * len(rows) if constant is None else [int(b) for b in constant.tolist()]
    zero_point = int(entering.zero_point)
    # The multiplier also sees the border of an image: the real value 0, which is the zero point.
    seen = (entering.lo, entering.hi, zero_point)
    removed = 0 if machine.zero_points == "fold" else zero_point
    return _Layer(
        rows, sparse, wide, bias, stored.format.bits, entering.format.bits, entering.format.signed, zero_point,
        min(seen) - removed, max(seen) - removed,
    )  # fmt: skip


def _rows(flat: list[int], channels: int, depthwise: bool) -> list[list[int]]:
    """Return the elements of a weight tensor by output channel, in the order of summation."""
    if depthwise:  # Channels run fastest.
        return [flat[channel::channels] for channel in range(channels)]
    depth = len(flat) // channels
    return [flat[first : first + depth] for first in range(0, len(flat), depth)]


def _check_layer(claim: LayerClaim, layer: _Layer, machine: Machine) -> None:
    _same("products", claim.products, len(layer.weights[0]))
    _same("channels", claim.channels, len(layer.weights))
    _same("weight_bits", claim.weight_bits, layer.weight_bits)
    sparse = layer.outliers or [[0] * len(row) for row in layer.weights]
    _same("outliers", claim.outliers, sum(w != 0 for row in sparse for w in row))
    _same("outlier_bits", claim.outlier_bits, layer.outlier_bits)
    tile, chain = machine.outlier_tile, machine.lanes * (machine.chain or 1)
    if layer.outliers is not None and tile is not None and tile % chain and tile < len(layer.weights[0]):
        raise WrongClaimError(f"machine: outliers follow {tile} products, within a chain of {chain}")
    digest = hashlib.sha256()
    for row in (*layer.weights, *(layer.outliers or ()), layer.bias):
        digest.update(struct.pack(f"<{len(row)}q", *row))
    _same("weights_sha256", claim.weights_sha256, digest.hexdigest())
    for field in ("bits", "signed", "zero_point", "low", "high"):
        _same(f"activations.{field}", getattr(claim.activations, field), getattr(layer, field))
    built = {name: getattr(machine, name) for name in ("tree", "psum", "acc") if getattr(machine, name) is not None}
    _same("registers", [register.name for register in claim.registers], list(built))
    extremes = {name: _Extremes() for name in built}
    for channel, rows in enumerate(zip(layer.weights, sparse, strict=True)):
        for name, *write in writes(*rows, _start(layer, channel, machine), layer.low, layer.high, machine):
            extremes[name].take(channel, *write)
    for register in claim.registers:
        _check_register(register, extremes[register.name], built[register.name].bits)
    _same("no_overflow", claim.no_overflow, all(register.fits for register in claim.registers))


class _Extremes:
    """The smallest and the largest sums of one register, by channel, and the first writes that reach those of all channels."""

    def __init__(self) -> None:
        self.low: list[int] = []
        self.high: list[int] = []
        self.first_low = self.first_high = Reached(value=0, channel=-1, start=0, stop=0)

    def take(self, channel: int, start: int, stop: int, outliers: int, low: int, high: int) -> None:
        """Look at one write."""
        if channel == len(self.low):
            self.low.append(low)
            self.high.append(high)
        self.low[-1] = min(self.low[-1], low)
        self.high[-1] = max(self.high[-1], high)
        if self.first_low.channel < 0 or low < self.first_low.value:
            self.first_low = Reached(value=low, channel=channel, start=start, stop=stop, outliers=outliers)
        if self.first_high.channel < 0 or high > self.first_high.value:
            self.first_high = Reached(value=high, channel=channel, start=start, stop=stop, outliers=outliers)


def _check_register(claim: RegisterClaim, found: _Extremes, bits: int) -> None:
    for side, claimed, values in (("low", claim.channel_low, found.low), ("high", claim.channel_high, found.high)):
        _same(f"{claim.name}: number of channels", len(claimed), len(values))
        for channel, pair in enumerate(zip(claimed, values, strict=True)):
            _same(f"{claim.name}.channel_{side} of channel {channel}", *pair)
    _same(f"{claim.name}.low", claim.low, found.first_low)
    _same(f"{claim.name}.high", claim.high, found.first_high)
    low, high = min(found.low), max(found.high)
    needed = 1
    while not -(2 ** (needed - 1)) <= low <= high < 2 ** (needed - 1):
        needed += 1
    _same(f"{claim.name}.safe_bits", claim.safe_bits, needed)
    _same(f"{claim.name}.fits", claim.fits, needed <= bits)


def _start(layer: _Layer, channel: int, machine: Machine) -> int:
    """Return what the accumulator of a channel starts at."""
    if machine.bias_at == "end":
        return 0
    if machine.zero_points == "subtract":
        return layer.bias[channel]
    apart = 0 if layer.outliers is None else sum(layer.outliers[channel])
    return layer.bias[channel] - layer.zero_point * (sum(layer.weights[channel]) + apart)


def writes(
    weights: list[int], sparse: list[int], start: int, low: int, high: int, machine: Machine
) -> Iterator[Write]:  # fmt: skip
    """Yield every write of one output to a register, with its extremes over all activations in ``low..high``.

    `sparse` has the outliers, 0 where there is none.
    """
    acc, psum = (start, start), (0, 0)
    chained, psum_from, waiting, taken = 0, 0, 0, 0
    tile = machine.outlier_tile or len(weights)
    yield "acc", 0, 0, 0, *acc
    for first in range(0, len(weights), machine.lanes):
        nodes = []
        for k in range(first, first + machine.lanes):
            if k < len(weights):
                ends = (weights[k] * low, weights[k] * high)
                nodes.append((k, k + 1, min(ends), max(ends)))
            else:
                nodes.append((len(weights), len(weights), 0, 0))
        while len(nodes) > 1:
            level = []
            for i in range(0, len(nodes) - 1, 2):
                a, b = nodes[i], nodes[i + 1]
                level.append((a[0], b[1], a[2] + b[2], a[3] + b[3]))
                if machine.tree is not None:
                    yield "tree", *level[-1][:2], 0, *level[-1][2:]
            nodes = level + nodes[2 * len(level) :]
        _, stop, least, most = nodes[0]
        psum = (psum[0] + least, psum[1] + most)
        chained += 1
        if machine.chain is not None:
            yield "psum", psum_from, stop, 0, *psum
        if machine.chain is None or chained == machine.chain or stop == len(weights):
            acc = (acc[0] + psum[0], acc[1] + psum[1])
            yield "acc", 0, stop, taken, *acc
            psum, chained, psum_from = (0, 0), 0, stop
        if stop == len(weights) or stop % tile == 0:
            for w in filter(None, sparse[waiting:stop]):
                acc, taken = (acc[0] + min(w * low, w * high), acc[1] + max(w * low, w * high)), taken + 1
                yield "acc", 0, stop, taken, *acc
            waiting = stop
