"""A network in training: its forward pass is the integer network on the machine, its gradients are those of the float one.

Every step quantizes the parameters as they are with `hwsim.quant.quantize`, prepares the integer network for the machine's
arithmetic and runs it: requantization, wrapping and saturation are those of the kernels, because they are the kernels. Beside it
PyTorch computes every operator on the reals that the integers stand for. An activation then has the value of the integers and the
gradient of the float operator (Y. Bengio et al., arXiv 1308.3432), through these clamps, outside of which it is 0:

- the range of the activation's integers, and of the weights' where that clips (R. Krishnamoorthi, arXiv 1806.08342, section 3.1),
  whose steps may be learned (`hwsim.train.steps`);
- a saturating accumulator's ends, unless `Saturated.THROUGH`. What counts is the exact sum; a register on the way that wraps or
  saturates, and an accumulator that wraps, let the gradient through: the derivative of wrapping is 1 wherever it has one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwsim.export import single_scales
from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.ops import Softmax
from hwsim.ops.products import ProductsUnit
from hwsim.quant import Scheme, quantize
from hwsim.quant.accumulator_aware import project
from hwsim.sim.program import Program
from hwsim.spec import BiasAt, Overflow, Profile
from hwsim.train.accumulator import bounds, confine, excess
from hwsim.train.extra import Value, low_precision
from hwsim.train.operators import FORWARD, clamp, products
from hwsim.train.parameters import Layer, Parameters, along
from hwsim.train.ranges import FollowedRanges, spans_of
from hwsim.train.reference import FloatReference, tensor_of
from hwsim.train.settings import Gradients, Saturated, TrainSettings, layer_schemes
from hwsim.train.steps import LearnedSteps


@dataclass
class Made:
    """An integer network of the parameters at one step, ready to run."""

    integer: Graph
    program: Program
    spans: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    """(lowest, highest) value of every sample of the last batch, by tensor."""


class TrainedNetwork:
    """A float network whose integers are trained.

    Parameters
    ----------
    graph
        The float network.
    ranges
        Of its activations.
    settings
        The machine, the scheme, and how gradients pass.
    """

    def __init__(self, graph: Graph, ranges: FollowedRanges, settings: TrainSettings) -> None:
        self.graph, self.ranges, self.settings = graph, ranges, settings
        self.parameters = Parameters(graph)
        self.reference = FloatReference(graph)
        self._scheme, self._layers = layer_schemes(graph, scheme_for(settings), settings.edge_bits)
        self.steps: LearnedSteps | None = None

    def learn_steps(self, samples: Iterable[Array]) -> None:
        """Learn step sizes from now on; they begin with the parameters as they are on real samples."""
        self.steps = LearnedSteps(self.parameters.real(), self.ranges.current, samples, self._scheme, self._layers)

    def trained(self) -> dict[str, list[Value]]:
        """Return what an optimizer changes, by kind: weights, other parameters, and learned steps."""
        steps = [] if self.steps is None else self.steps.trained()
        return {**self.parameters.trained(), "steps": steps}

    def quantized(self) -> Graph:
        """Return the integer network of the parameters, with scales that float32 holds, so that a file has them as they are."""
        ranges, weights = self.ranges.current, None
        if self.steps is not None:
            ranges, weights = {**ranges, **self.steps.ranges()}, self.steps.quantizations()
        made = quantize(self.parameters.real(), ranges, self._scheme, self._layers, weights)
        profile = self.settings.accelerator.arithmetic.profile
        return replace(single_scales(made), profile=profile)

    def made(self) -> Made:
        """Return the integer network of the parameters on the machine, its weights fitted to the registers where asked."""
        integer, arithmetic = self.quantized(), self.settings.accelerator.arithmetic
        if self.settings.fitting is not None:
            power_of_two = arithmetic.profile is Profile.POWER_OF_TWO
            fitted = project(self.parameters.real(), integer, arithmetic.reduction, power_of_two=power_of_two)
            integer = single_scales(fitted)
        return Made(integer, Program(integer, arithmetic))

    def forward(self, made: Made, batch: Array, *, learn: bool) -> Value:
        """Return the scores [n, ...] of a batch, with gradients.

        Parameters
        ----------
        made
            From `made()`.
        batch
            Integers, as the integer network takes them.
        learn
            Whether statistics and ranges follow the batch.
        """
        import torch

        source = made.integer.input.quantization
        assert source is not None
        values: dict[str, Value] = {self.graph.inputs[0]: _real(source, batch)}
        for index, (own, _, outputs) in enumerate(made.program.steps(batch)):
            node = self.graph.nodes[index]
            if isinstance(node.op, Softmax):
                break
            name = node.outputs[0]
            real, held = self._node(made, (node, own), values, learn=learn)
            if learn and self.steps is None and not node.op.same_scale:
                made.spans[name] = spans_of(held.detach().numpy())
            values[name] = self._rounded(node, made.integer.tensors[name], real, outputs[0])
            for unused in self.graph.last_used(index):
                values.pop(unused, None)
        return torch.flatten(values[self.reference.scores], 1)

    def _rounded(self, node: Node, tensor: Tensor, real: Value, integers: Array) -> Value:
        """Return the value of a node's integers with the gradients of what they were rounded from."""
        # It defines its gradient to PyTorch, which is loaded on use.
        from hwsim.train.rounded import rounded

        known = _known(tensor)
        if node.op.same_scale:
            return rounded(real, _real(known, integers), (-math.inf, math.inf))
        low, high = (float(known.scale) * (end - int(known.zero_point)) for end in (known.lo, known.hi))
        op: Any = node.op
        if op.weighted:
            low = max(low, op.activation.bounds[0])
        step = None if self.steps is None else self.steps.activations[tensor.name]
        learned, factor = (None, 1.0) if step is None else (step.size, step.factor)
        return rounded(real, _real(known, integers), (low, high), learned, factor)

    def learn_ranges(self, made: Made) -> None:
        """Take the last batch into the ranges."""
        if self.ranges.moving and self.steps is None:
            self.ranges.follow(made.spans)

    def penalty(self, made: Made) -> Value:
        """Return the excess of all weights over the bounds of the registers."""
        total: Value = 0.0
        for layer, node, weights in self._weights(made):
            scale = tensor_of(np.atleast_1d(_known(weights).scale))
            for bound in bounds(made.integer, node, self.settings.accelerator.arithmetic.reduction):
                total = total + excess(layer, bound, scale)
        return total

    def confine(self, made: Made) -> None:
        """Move all weights within the bounds of the registers, at the scales of the last step."""
        for layer, node, weights in self._weights(made):
            for bound in bounds(made.integer, node, self.settings.accelerator.arithmetic.reduction):
                confine(layer, bound, np.atleast_1d(_known(weights).scale))

    def _weights(self, made: Made) -> Iterator[tuple[Layer, Node, Tensor]]:
        for node in made.integer.nodes:
            if node.op.weighted:
                yield self.parameters.layers[node.name], node, made.integer.tensors[node.inputs[1]]

    def _node(
        self, made: Made, nodes: tuple[Node, Node], values: dict[str, Value], *, learn: bool
    ) -> tuple[Value, Value]:
        """Return what a float operator makes of the integers' reals: for gradients, and with sums that the register holds.

        `nodes` are the one of the float network and its integer one, whose constants have names of their own.
        """
        node, own = nodes
        if not node.op.weighted:
            pairs = zip(node.inputs, made.integer.inputs_of(own), strict=True)
            found = FORWARD[type(node.op)](
                node.op, [values[name] if name in values else tensor_of(stored.real()) for name, stored in pairs]
            )
            return found, found
        unit, layer = made.program.units[node.name], self.parameters.layers[node.name]
        assert isinstance(unit, ProductsUnit)
        weights, bias = self._constants(made.integer, own, layer)
        with low_precision(self.settings.gradients is Gradients.BFLOAT16):
            sums = products(node.op, values[node.inputs[0]], weights, bias).float()
        if learn:
            layer.observe(sums if bias is None else sums.detach() - bias.detach())
        op: Any = node.op
        saturates = self.settings.accelerator.arithmetic.reduction.acc.overflow is Overflow.SATURATE
        through = not saturates or self.settings.saturated is Saturated.THROUGH
        if through and self.steps is not None:
            # No range follows what the register holds, and what a ReLU cuts off is outside of the integers.
            found = sums if math.isinf(op.activation.bounds[1]) else clamp(op.activation, sums)
            return found, found
        kept = clamp(op.activation, self._held(made.integer, own, unit, sums))
        return (clamp(op.activation, sums) if through else kept), kept

    def _constants(self, integer: Graph, node: Node, layer: Layer) -> tuple[Value, Value | None]:
        """Return weights and bias with the values of the integers and the gradients of the parameters."""
        from hwsim.train.rounded import rounded

        weights, bias = layer.folded()
        stored = integer.tensors[node.inputs[1]]
        known = _known(stored)
        ends: list[Any] = [-math.inf, math.inf]
        if known.limits is not None:
            ends = [_spread(known, known.scale * (end - known.zero_point), weights.ndim) for end in known.limits]
        step, factor = None, 1.0
        if self.steps is not None:
            step, factor = self.steps.of_channels(node.name), self.steps.weights[node.name].factor
            step = step if known.axis is None else along(step, known.axis, weights.ndim)
        used = rounded(weights, tensor_of(stored.real()), (ends[0], ends[1]), step, factor)
        if bias is None:
            return used, None
        steps = integer.tensors[node.inputs[2]].data
        assert steps is not None
        return used, tensor_of(steps * _sum_scale(integer, node)) + (bias - bias.detach())

    def _held(self, integer: Graph, node: Node, unit: ProductsUnit, sums: Value) -> Value:
        """Return exact sums clamped to what the accumulator holds at the end, in reals."""
        reduction = self.settings.accelerator.arithmetic.reduction
        form = reduction.acc.format
        # What is added behind the register is not in it: the bias, and with it a folded zero point.
        behind = unit.bias if reduction.bias_at is BiasAt.END else np.zeros_like(unit.bias)
        scale = _sum_scale(integer, node)
        return sums.clamp(tensor_of((form.lo + behind) * scale), tensor_of((form.hi + behind) * scale))


def scheme_for(settings: TrainSettings) -> Scheme:
    """Return the scheme with scales that the machine's rounding can do."""
    power_of_two = settings.accelerator.arithmetic.profile is Profile.POWER_OF_TWO
    return replace(settings.scheme, power_of_two=settings.scheme.power_of_two or power_of_two)


def _sum_scale(integer: Graph, node: Node) -> Array:
    """Return what one step of a layer's accumulator stands for, float64 [C] or [1]."""
    source, weights = (_known(tensor) for tensor in integer.inputs_of(node)[:2])
    found: Array = np.atleast_1d(float(source.scale) * weights.scale)
    return found


def _known(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def _spread(known: Quantization, values: Array, rank: int) -> Value:
    """Return what goes with the scales of weights as a tensor that fits these."""
    found = tensor_of(np.atleast_1d(values))
    return found if known.axis is None else along(found, known.axis, rank)


def _real(known: Quantization, integers: Array) -> Value:
    """Return the reals of integers: in float32, exact up to one rounding, because scales here are float32."""
    import torch

    real = torch.from_numpy(integers).float()
    return real.sub_(float(known.zero_point)).mul_(float(known.scale))
