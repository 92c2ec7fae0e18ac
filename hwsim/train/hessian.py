"""How curved the loss is in every tensor: traces of its Hessian by Hutchinson's estimator.

The trace of a matrix H is the expected ``v' H v`` of vectors v of independent +-1, and ``H v`` is a gradient of a gradient, so
that H itself is never made. Z. Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization", NeurIPS 2020, arXiv
1911.03852, sections 3.1 and 3.2. Second derivatives are PyTorch's; a clamp has those of its linear pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hwsim.graph import Array, Graph
from hwsim.ops import Softmax
from hwsim.quant.mixed_precision import has_output_bits, output_item, weight_item
from hwsim.train.extra import Value, require_torch
from hwsim.train.operators import FORWARD, clamp, products, require_trainable, scores_of
from hwsim.train.reference import tensor_of

PROBES = 16
"""Vectors for each tensor and batch."""

Loss = Callable[[Value, Array], Value]
"""Of the scores [n, ...] of a batch and its targets [n, ...]: the mean over the samples."""


def cross_entropy(scores: Value, labels: Array) -> Value:
    """Return the usual loss of classes."""
    import torch
    from torch.nn import functional

    return functional.cross_entropy(scores.flatten(1), torch.from_numpy(labels.astype(np.int64)))


def curvatures(
    graph: Graph, batches: Iterable[tuple[Array, Array]], *, outputs: bool = True, loss: Loss = cross_entropy,
    probes: int = PROBES, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Return the mean second derivative of the loss by an element of each tensor that has bits of its own.

    Parameters
    ----------
    graph
        A float network.
    batches
        Real inputs [n, ...] and targets [n, ...].
    outputs
        Whether outputs are derived by, too, or weights alone.
    loss
        See `Loss`; it reads what enters a softmax at the end, or the output.
    probes
        Vectors for each tensor and batch: the standard error falls with the root of their number.
    seed
        Of the vectors.

    Returns
    -------
    dict
        Trace over elements, by item of `hwsim.quant.mixed_precision`: of weights over all samples, of an output as the mean over
        samples of the trace for each.

    Raises
    ------
    InputError
        Where PyTorch is missing, or an operator has no gradient here.
    """
    require_torch("the Hessian")
    require_trainable(graph)
    random = np.random.default_rng(seed)
    sums: dict[str, float] = {}
    count = 0
    for batch, targets in batches:
        size = len(batch)
        count += size
        variables, scores = _forward(graph, batch, outputs)
        for item, trace in _traces(variables, loss(scores, targets), size, probes, random):
            sums[item] = sums.get(item, 0.0) + size * trace
    return {item: total / count for item, total in sums.items()}


def _traces(
    variables: dict[str, Value], loss: Value, size: int, probes: int, random: np.random.Generator
) -> Iterable[tuple[str, float]]:
    """Yield trace over elements of every tensor, for the loss of a batch of `size` samples."""
    import torch

    gradients = torch.autograd.grad(loss, list(variables.values()), create_graph=True)
    for (item, variable), gradient in zip(variables.items(), gradients, strict=True):
        total = 0.0
        for _ in range(probes):
            probe = tensor_of(random.integers(0, 2, tuple(variable.shape)) * 2.0 - 1.0)
            # A loss that is linear in the tensor leaves nothing to derive.
            (product,) = torch.autograd.grad(gradient, variable, probe, retain_graph=True, allow_unused=True)
            total += 0.0 if product is None else float((probe * product).sum())
        # The mean over a batch has 1 / n of a sample's Hessian in each block, so their sum is the mean of the traces.
        elements = variable.numel() // (size if item.endswith(": output") else 1)
        yield item, total / (probes * elements)


def _forward(graph: Graph, batch: Array, outputs: bool) -> tuple[dict[str, Value], Value]:
    """Return the tensors with bits of their own, by item, and the scores."""
    wanted = scores_of(graph)
    values: dict[str, Value] = {
        name: tensor_of(tensor.real()) for name, tensor in graph.tensors.items() if tensor.constant
    }
    values[graph.inputs[0]] = tensor_of(batch)
    variables: dict[str, Value] = {}
    for node in graph.nodes:
        if isinstance(node.op, Softmax):
            break
        op: Any = node.op
        if op.weighted:
            weights = values[node.inputs[1]].clone().requires_grad_()
            variables[weight_item(node.name)] = weights
            bias = values[node.inputs[2]] if len(node.inputs) > 2 else None
            made = clamp(op.activation, products(op, values[node.inputs[0]], weights, bias))
        else:
            made = FORWARD[type(op)](op, [values[name] for name in node.inputs])
        if outputs and has_output_bits(graph, node.name):
            # What nothing trained leads to can still be derived by.
            made = made if made.requires_grad else made.requires_grad_()
            variables[output_item(node.name)] = made
        values[node.outputs[0]] = made
    return variables, values[wanted]
