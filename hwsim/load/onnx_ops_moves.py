"""Converters of the operators that only move values: reshapes, transposes, padding, joining."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hwsim.load.onnx_build import Feature
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_layout import (
    TO_NHWC,
    as_plain,
    is_free,
    move,
    reshape,
    stored_axis,
    stored_order,
    unify,
)
from hwsim.ops import Concat, Pad
from hwsim.spec import require


def reshape_to(call: Call) -> Feature:
    """Give the elements another shape."""
    feature = call.moved(0)
    wanted = call.integers("shape", 1)
    require(wanted is not None, "shape", "given", "left out")
    return _reshaped(call, feature, _target(call, feature.shape, wanted or ()))


def flatten(call: Call) -> Feature:
    """Make two axes of all."""
    feature = call.moved(0)
    rank = len(feature.shape)
    axis = call.integer("axis", 1)
    require(-rank <= axis <= rank, "axis", f"from {-rank} to {rank}", axis)
    split = axis + rank if axis < 0 else axis
    return _reshaped(call, feature, (math.prod(feature.shape[:split]), math.prod(feature.shape[split:])))


def squeeze(call: Call) -> Feature:
    """Drop axes of size 1."""
    feature = call.moved(0)
    rank = len(feature.shape)
    given = call.integers("axes", 1)
    # Without axes every axis of size 1 goes: the batch, too, which the check of the result then refuses.
    axes = [axis for axis, size in enumerate(feature.shape) if size == 1] if given is None else _normal(given, rank)
    require(all(feature.shape[axis] == 1 for axis in axes), "axes", f"of size 1 in {list(feature.shape)}", list(axes))
    return _reshaped(call, feature, tuple(size for axis, size in enumerate(feature.shape) if axis not in axes))


def unsqueeze(call: Call) -> Feature:
    """Insert axes of size 1."""
    feature = call.moved(0)
    given = call.integers("axes", 1) or ()
    rank = len(feature.shape) + len(given)
    axes = _normal(given, rank)
    sizes = iter(feature.shape)
    return _reshaped(call, feature, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


def transpose(call: Call) -> Feature:
    """Permute axes; where NCHW becomes NHWC or back, the graph's tensor often is in that order already."""
    feature = call.moved(0)
    rank = len(feature.shape)
    permutation = tuple(int(axis) for axis in call.attribute("perm") or reversed(range(rank)))
    require(sorted(permutation) == list(range(rank)), "perm", f"an order of the {rank} axes", list(permutation))
    require(permutation[0] == 0, "perm", "one that leaves the batch axis first", list(permutation))
    plain = tuple(stored_axis(feature, axis) for axis in permutation)
    if rank == 4:
        image = tuple(plain[axis] for axis in TO_NHWC)
        shape = call.build.tensors[feature.tensor].shape
        if is_free(shape, image) and not is_free(shape, plain):
            return call.written(move(call.build, feature.tensor, image, call.names), image=True)
    return call.written(move(call.build, feature.tensor, plain, call.names))


def concat(call: Call) -> Feature:
    """Join features along an axis."""
    features = unify(call.build, [call.moved(index) for index in range(len(call.inputs))])
    axis = stored_axis(features[0], call.integer("axis", 1))
    return call.emit(Concat(axis), [feature.tensor for feature in features], features[0].image)


def pad(call: Call) -> Feature:
    """Surround with zeros."""
    feature = call.moved(0)
    rank = len(feature.shape)
    mode = call.text("mode", "constant")
    require(mode == "constant", "mode", "constant", mode)
    value = call.scalar("value", 2, 0.0)
    known = call.build.tensors[feature.tensor].quantization
    # Integers are padded with integers: with the one that stands for 0.
    zero = int(known.zero_point) if feature.integer and known is not None else 0
    require(value == zero, "constant_value", str(zero), value)
    require(known is not None or not feature.integer, "input", "quantized by a node of the model", "the model's input")
    pads = call.integers("pads", 1) or ()
    given = call.optional_constant(3)
    axes = range(rank) if given is None else _normal([int(axis) for axis in given.data.reshape(-1)], rank)
    require(len(pads) == 2 * len(axes), "pads", f"{2 * len(axes)} integers", list(pads))
    sides = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        sides[axis] = (pads[position], pads[position + len(axes)])
    return call.emit(Pad(stored_order(feature, sides)), [feature.tensor], feature.image)


def _reshaped(call: Call, feature: Feature, shape: tuple[int, ...]) -> Feature:
    if shape == feature.shape:
        return feature
    plain = as_plain(call.build, feature)
    return call.written(reshape(call.build, plain.tensor, shape, call.names))


def _target(call: Call, shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a Reshape's second input asks for, with batch 1."""
    copies = not call.integer("allowzero", 0)
    target = [shape[axis] if copies and size == 0 and axis < len(shape) else size for axis, size in enumerate(wanted)]
    elements = math.prod(shape)
    if target and target[0] == call.batch:
        # The file repeats its own batch size; the graph's is 1.
        target[0] = 1
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) == 1 and known > 0 and elements % known == 0:
        target[target.index(-1)] = elements // known
    require(
        min(target, default=0) >= 1 and math.prod(target) == elements,
        "shape",
        f"a split of {list(shape)} (batch 1)",
        list(wanted),
    )
    return tuple(target)


def _normal(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from the front, each once."""
    require(all(-rank <= axis < rank for axis in axes), "axes", f"from {-rank} to {rank - 1}", list(axes))
    result = tuple(axis % rank for axis in axes)
    require(len(set(result)) == len(result), "axes", "each given once", list(axes))
    return result
