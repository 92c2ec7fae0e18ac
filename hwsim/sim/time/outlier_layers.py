"""Layers whose weights have outliers, as the time engine and the document see them: encoded bytes, and how lanes are filled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwsim.dataflow.array import array_of
from hwsim.dataflow.outliers import Load, load_of, tile_rows
from hwsim.graph import Graph, Node, Outliers, Tensor
from hwsim.memory.sparse import SparseSize, smallest, sparse_sizes
from hwsim.quant import Scheme
from hwsim.quant.outliers import OutlierRule
from hwsim.quant.post_training import channel_axis
from hwsim.sim.document_parts import OutlierInfo
from hwsim.sim.time.tile_problem import product_shape
from hwsim.spec import Accelerator, Operand, Workload, require

PASSES = (
    "The machine has no outlier lanes: the products of outliers are a pass of their own after each layer's dense sum, as many "
    "per cycle as the array has columns."
)

PLACES = (
    "Outliers are where the weights alone put them; a run, which knows the scales of activations, has the same but in channels "
    "whose bias would take more than 2**30 steps."
)


def with_places(graph: Graph, real: Graph, rule: OutlierRule, *, power_of_two: bool = False) -> Graph:
    """Return a network of formats (`hwsim.sim.time.document.with_formats`) whose weights have the outliers of a run.

    Parameters
    ----------
    graph
        Its weights' formats are those of their dense parts.
    real
        The float network: the same nodes.
    rule
        Which weights are outliers.
    power_of_two
        Scales of weights are powers of two.
    """
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if not node.op.weighted:
            continue
        name = node.inputs[1]
        form, values = tensors[name].quantization, real.tensors[name].real()
        assert form is not None
        axis = channel_axis(node.op)
        least = np.zeros(values.shape[axis])
        scheme = Scheme(form.format.bits, outliers=rule, power_of_two=power_of_two)
        _, _, outliers = rule.split(values, axis, scheme.weights(values, axis, least), least, power_of_two=power_of_two)
        tensors[name] = replace(tensors[name], outliers=outliers)
    return replace(graph, tensors=tensors)


def with_outliers(workload: Workload, node: Node, tensor: Tensor) -> Workload:
    """Return a layer with its outliers' places, and the arrays of their smallest encoding among its operands."""
    if tensor.outliers is None or not tensor.outliers.entries:
        return workload
    matrix = tensor.outliers.matrix(tensor.shape, channel_axis(node.op))
    size = _best(matrix, tensor.outliers)[1]
    arrays = tuple(Operand("outliers", part.elements, part.element_bits) for part in size.arrays if part.bytes)
    weights, *others = workload.operands
    assert weights.role == "weights"
    places = tuple(tuple(np.flatnonzero(row).tolist()) for row in matrix)
    return replace(workload, operands=(weights, *arrays, *others), outliers=places)


def _best(matrix: npt.NDArray[np.int64], outliers: Outliers) -> tuple[str, SparseSize, dict[str, SparseSize]]:
    sizes = sparse_sizes(matrix, outliers.format)
    name = smallest(sizes)
    return name, sizes[name], sizes


def outlier_info(graph: Graph, node: Node, workload: Workload, accelerator: Accelerator) -> OutlierInfo | None:
    """Return what a document says of a layer's outliers; None where there are none."""
    tensor = graph.tensors[node.inputs[1]] if node.op.weighted else None
    if tensor is None or tensor.outliers is None or not tensor.outliers.entries:
        return None
    outliers = tensor.outliers
    name, size, sizes = _best(outliers.matrix(tensor.shape, channel_axis(node.op)), outliers)
    load = _load(workload, accelerator)
    return OutlierInfo(
        entries=outliers.entries,
        share=outliers.entries / tensor.elements,
        bits=outliers.format.bits,
        encoding=name,
        value_bytes=size.values.bytes,
        index_bytes=size.indices.bytes,
        pointer_bytes=size.pointers.bytes,
        bytes=size.bytes,
        encoding_bytes={other: found.bytes for other, found in sizes.items()},
        lanes=accelerator.datapath.outlier_lanes,
        tiles=load.tiles,
        visits=load.visits,
        most_per_tile=load.most,
        mean_per_tile=outliers.entries / load.tiles,
    )


def _load(workload: Workload, accelerator: Accelerator) -> Load:
    output = next(part for part in workload.operands if part.role == "activations_out")
    core = array_of(accelerator, workload.weight_bits, workload.activation_bits, output.element_bits)
    width, groups = product_shape(workload)
    found = Load()
    for group in range(groups):
        own = workload.outliers[group * width : (group + 1) * width]
        rows = tile_rows(own, workload.k, core.cols, core.tile_products)
        found = found + load_of(rows, core.outlier_lanes)
    return found


def check_outliers(graph: Graph, accelerator: Accelerator) -> tuple[str, ...]:
    """Raise `InputError` where a machine's lanes do not take a network's outliers; return notes for its document."""
    tensors = [graph.tensors[node.inputs[1]] for node in graph.nodes if node.op.weighted]
    widths = [tensor.outliers.format.bits for tensor in tensors if tensor.outliers is not None]
    if not widths:
        return ()
    datapath = accelerator.datapath
    if not datapath.outlier_lanes:
        return (PASSES,)
    require(
        max(widths) <= datapath.outlier_bits, "outlier_bits",
        f"at most the machine's {datapath.outlier_bits} (outlier_bits in its [core])", max(widths),
    )  # fmt: skip
    return ()
