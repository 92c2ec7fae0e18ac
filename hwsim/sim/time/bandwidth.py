"""What a network's tensors take in other formats: as float32, with integer weights only, quantized throughout, compressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.dataflow.passes import NOTHING
from hwsim.graph import Array, Graph, Quantization
from hwsim.memory.codebook import Codebook, best_codebook
from hwsim.memory.compression import SCHEMES, Scheme
from hwsim.quant import dequantized
from hwsim.sim.execute import Progress, in_order
from hwsim.sim.feed import Feed
from hwsim.sim.program import Program
from hwsim.sim.time.document import with_formats
from hwsim.sim.time.outlier_layers import with_outliers
from hwsim.spec import ROLES, Arithmetic, Role

DENSE = "dense"
"""Name of the plain format: elements at their bits without gaps."""


def stored_as(graph: Graph, weight_bits: int | None, activation_bits: int | None) -> Graph:
    """Return a network whose tensors have the widths that they cross the DRAM with; values and scales do not matter.

    Parameters
    ----------
    graph
        Quantized or float; the float network that it stands for is what is stored.
    weight_bits, activation_bits
        2..16, or None for float32. With integer weights and float32 activations it is what weight-only and dynamic
        quantization move alike: the second turns activations into integers behind the memory.
    """
    real = dequantized(graph)
    integer = with_formats(real, weight_bits or 8, activation_bits or 8).tensors
    weights = {node.inputs[1] for node in real.nodes if node.op.weighted}
    bits = {name: weight_bits if name in weights else activation_bits for name in real.tensors}
    tensors = {name: tensor if bits[name] is None else integer[name] for name, tensor in real.tensors.items()}
    return replace(real, tensors=tensors)


def crossing_bytes(graph: Graph, arithmetic: Arithmetic) -> dict[Role, int]:
    """Return the bytes of an image by role where every layer reads each of its operands once, and writes its results once."""
    found = dict.fromkeys(ROLES, 0)
    for node in graph.nodes:
        if node.op.kind not in NOTHING:
            work = node.op.workload(node.name, graph.inputs_of(node), graph.outputs_of(node), arithmetic)
            if node.op.weighted:
                work = with_outliers(work, node, graph.inputs_of(node)[1])
            for role in ROLES:
                found[role] += work.role_bytes(role)
    return found


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tensors in compressed formats.

    Attributes
    ----------
    elements, zeros
        In all, and those that stand for the real value 0.
    bits
        By format; `DENSE` is plain. A tensor that does not shrink is stored plain, in every format.
    """

    elements: int
    zeros: int
    bits: Mapping[str, int]

    @classmethod
    def of(cls, values: Array, quantization: Quantization) -> Sizes:
        """Return the sizes of a tensor of integers."""
        form, zero = quantization.format, _zero(quantization)
        dense = values.size * form.bits
        bits = {scheme.name: min(dense, scheme.size_bits(values, form, zero)) for scheme in SCHEMES}
        return cls(values.size, int(np.count_nonzero(values == zero)), {DENSE: dense, **bits})

    @classmethod
    def total(cls, parts: Sequence[Sizes]) -> Sizes:
        """Return the sizes of several tensors together; at least one."""
        bits = {name: sum(part.bits[name] for part in parts) for name in parts[0].bits}
        return cls(sum(part.elements for part in parts), sum(part.zeros for part in parts), bits)


def weight_sizes(graph: Graph) -> Sizes:
    """Return the sizes of all weights of an integer network, each layer's by themselves."""
    return Sizes.total([Sizes.of(values, quantization) for values, quantization in _weights(graph)])


@dataclass(frozen=True, slots=True)
class Shared:
    """All weights of a network in shared values: their bits plain, in indices with codebooks, and with Huffman codes for those.

    `signal` and `noise` are sums of squares, in the steps of the integers.
    """

    dense_bits: int
    index_bits: int
    huffman_bits: int
    signal: int
    noise: int


def shared_weights(graph: Graph, values: int) -> Shared:
    """Return the weights of an integer network with the best codebook of so many values for each layer.

    Unlike the formats of `Sizes` this changes weights. A layer that does not shrink is stored plain.
    """
    dense = index = huffman = signal = noise = 0
    for weights, quantization in _weights(graph):
        plain = weights.size * quantization.format.bits
        book: Codebook = best_codebook(weights, quantization.format, values)
        dense += plain
        index += min(plain, book.size_bits)
        huffman += min(plain, book.huffman_bits)
        signal += int(np.sum((weights.astype(np.int64) - _zero(quantization)) ** 2))
        noise += book.squared_error if min(book.size_bits, book.huffman_bits) < plain else 0
    return Shared(dense, index, huffman, signal, noise)


def activation_sizes(program: Program, images: Array) -> Sizes:
    """Return the sizes of the activations that cross the DRAM for some images, each as often as in `crossing_bytes`.

    Parameters
    ----------
    program
        The integer network; tensors without integers, at its ends, are left out.
    images
        [batch, ...] in the input's storage dtype; every tensor of every image is compressed by itself.
    """
    found: list[Sizes] = []
    for image in images:
        sizes: dict[str, Sizes] = {}
        for node, inputs, outputs in program.steps(image[None]):
            if node.op.kind not in NOTHING:
                tensors = zip((*node.inputs, *node.outputs), (*inputs, *outputs), strict=True)
                found += _activations(program.graph, dict(tensors), sizes)
    return Sizes.total(found)


def measured_bits(
    program: Program, feed: Feed, images: int, scheme: Scheme, *, threads: int = 1, progress: Progress | None = None
) -> dict[str, int]:
    """Return the bits of each activation in a format, on average of the first images, rounded up; none that does not shrink.

    Parameters
    ----------
    program, feed
        The integer network and its input.
    images
        How many; every tensor of every image is compressed by itself, or stored as it is where that is smaller.
    scheme
        The format.
    threads
        Worker threads; the result does not depend on them.
    progress
        Told of finished images.
    """

    def look(start: int, stop: int) -> dict[str, int]:
        batch = feed.integers(start, stop)
        arrays = {program.graph.inputs[0]: batch}
        found = {}
        for node, _, outputs in program.steps(batch):
            arrays |= dict(zip(node.outputs, outputs, strict=True))
            for name in list(arrays):
                form = program.graph.tensors[name].quantization
                values = arrays.pop(name)
                if form is not None:
                    found[name] = min(
                        values.size * form.format.bits, scheme.size_bits(values, form.format, _zero(form))
                    )
        return found

    total: dict[str, int] = {}
    for found in in_order(look, images, 1, threads):
        for name, bits in found.items():
            total[name] = total.get(name, 0) + bits
        if progress is not None:
            progress(1)
    mean = {name: -(-bits // images) for name, bits in total.items()}
    return {name: bits for name, bits in mean.items() if bits < dense_bits(program.graph, name)}


def dense_bits(graph: Graph, name: str) -> int:
    """Return the bits of an activation as it is."""
    tensor = graph.tensors[name]
    return tensor.elements * (tensor.quantization.format.bits if tensor.quantization is not None else 32)


def _activations(graph: Graph, arrays: Mapping[str, Array], known: dict[str, Sizes]) -> list[Sizes]:
    """Return the sizes of a layer's activations; those of a tensor that was seen before are known."""
    found = []
    for name, values in arrays.items():
        tensor = graph.tensors[name]
        if not tensor.constant and tensor.quantization is not None:
            if name not in known:
                known[name] = Sizes.of(values, tensor.quantization)
            found.append(known[name])
    return found


def _weights(graph: Graph) -> list[tuple[Array, Quantization]]:
    """Return the weights of each layer."""
    found = []
    for node in graph.nodes:
        if node.op.weighted:
            tensor = graph.tensors[node.inputs[1]]
            assert tensor.data is not None and tensor.quantization is not None
            found.append((tensor.data, tensor.quantization))
    return found


def _zero(quantization: Quantization) -> int:
    """Return the integer of the real value 0; where channels have their own, formats count on 0."""
    return int(quantization.zero_point) if quantization.axis is None else 0
