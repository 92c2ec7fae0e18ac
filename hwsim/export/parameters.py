"""What a quantized network requantizes by: scales, zero points, and each channel's multiplier and shift, as TFLite has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.export.weights import to_json
from hwsim.graph import Graph, Node, Quantization, Tensor
from hwsim.ops.products import ProductsUnit, is_sum
from hwsim.spec import Arithmetic, InputError, Profile, require

SCHEMA_VERSION = 1


def parameters(graph: Graph, profile: Profile = Profile.TFLITE) -> bytes:
    """Return the quantization of every tensor and the requantization of every layer of products, as JSON.

    Parameters
    ----------
    graph
        An integer network.
    profile
        How it rounds: what the multiplier and the shift are made for.

    Returns
    -------
    bytes
        The same for the same network. A factor is ``multiplier * 2**(shift - 31)``.

    Raises
    ------
    InputError
        Naming the layer that cannot be computed with this profile.
    """
    require(graph.quantized, f"{graph.name}", "quantized (give --weight-bits or --activation-bits)", "a float network")
    document = {
        "schema_version": SCHEMA_VERSION,
        "network": graph.name,
        "profile": profile.value,
        "input": graph.inputs[0],
        "outputs": list(graph.outputs),
        "tensors": {
            name: {"shape": list(tensor.shape), **_steps(tensor.quantization), **_apart(tensor)}
            for name, tensor in graph.tensors.items()
        },
        "layers": [_layer(graph, node, profile) for node in graph.nodes],
    }
    return to_json(document)


def _steps(known: Quantization | None) -> dict[str, Any]:
    if known is None:
        # Floats, and biases: those count in steps of their layer's sums.
        return {"format": None}
    return {
        "format": str(known.format),
        "scale": np.atleast_1d(known.scale).tolist(),
        "zero_point": np.atleast_1d(known.zero_point).tolist(),
        "axis": known.axis,
        "range": [known.lo, known.hi],
    }


def _apart(tensor: Tensor) -> dict[str, Any]:
    """Say what of a tensor is apart, on the same scale."""
    outliers = tensor.outliers
    if outliers is None or not outliers.entries:
        return {}
    return {"outliers": {"format": str(outliers.format), "entries": outliers.entries}}


def _layer(graph: Graph, node: Node, profile: Profile) -> dict[str, Any]:
    entry = {
        "name": node.name,
        "operator": node.op.kind,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
    }
    if not node.op.weighted or len(node.inputs) > 3 or is_sum(graph.tensors[node.outputs[0]].quantization):
        # Thresholds, or sums that leave the layer as they are: nothing is multiplied.
        return entry
    try:
        unit = node.op.prepare(graph.inputs_of(node), graph.outputs_of(node), Arithmetic(profile=profile))
    except InputError as error:
        raise InputError(f"{graph.name}: node {node.name} ({node.op.kind}): {error}") from None
    assert isinstance(unit, ProductsUnit)
    factors = unit.requantizer
    requantization = {
        "real": factors.real.astype(float).tolist(),
        "zero_point": factors.zero_point,
        "clamp": [factors.lo, factors.hi],
    }
    if profile is not Profile.ORT_FLOAT32:
        requantization |= {"multiplier": factors.multiplier.tolist(), "shift": factors.shift.tolist()}
    return entry | {"requantization": requantization}
