"""NCHW to NHWC: which axis is where, and the transposes that are left when a network mixes its axes.

ONNX images are NCHW, the graph's are NHWC. A `Feature` says which of the two its tensor is in, so most operators only
renumber axes; an explicit transpose appears where ONNX's element order matters (a reshape of an image), and disappears
again where a fully connected layer can permute its weights instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.graph import Array
from hwsim.load.onnx_build import Builder, Constant, Feature
from hwsim.ops import Reshape, Transpose
from hwsim.spec import require

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def stored_axis(feature: Feature, axis: int) -> int:
    """Return the axis of the graph's tensor that holds ONNX's `axis`, which may be negative."""
    rank = len(feature.shape)
    require(-rank <= axis < rank, "axis", f"from {-rank} to {rank - 1}", axis)
    axis %= rank
    return TO_NHWC.index(axis) if feature.image else axis


def stored_order(feature: Feature, per_axis: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Reorder one entry per ONNX axis to the axes of the graph's tensor."""
    return tuple(per_axis[axis] for axis in TO_NHWC) if feature.image else tuple(per_axis)


def as_image(build: Builder, feature: Feature) -> Feature:
    """Return a 4-D feature in NHWC."""
    if feature.image:
        return feature
    require(
        len(feature.shape) == 4,
        "input",
        "a 4-D image [N, C, H, W] (1-D and 3-D windows are not supported)",
        f"of shape {list(feature.shape)}",
    )
    return Feature(move(build, feature.tensor, TO_NHWC), feature.shape, image=True)


def as_plain(build: Builder, feature: Feature) -> Feature:
    """Return a feature in ONNX's own axis order."""
    return Feature(move(build, feature.tensor, TO_NCHW), feature.shape) if feature.image else feature


def unify(build: Builder, features: Sequence[Feature]) -> list[Feature]:
    """Bring features to one layout: images where one of them is, all where they have 4 axes."""
    images = any(feature.image for feature in features) and all(len(feature.shape) == 4 for feature in features)
    return [as_image(build, feature) if images else as_plain(build, feature) for feature in features]


def beside(constant: Constant, feature: Feature) -> Array:
    """Return a constant with the feature's rank and layout, for broadcasting."""
    rank = len(feature.shape)
    require(
        constant.data.ndim <= rank,
        f"constant {constant.name!r}",
        f"of at most {rank} axes",
        f"of shape {list(constant.shape)}",
    )
    data = constant.data.reshape((1,) * (rank - constant.data.ndim) + constant.shape)
    return data.transpose(TO_NHWC) if feature.image else data


def move(build: Builder, tensor: str, permutation: tuple[int, ...], names: tuple[str, str] | None = None) -> str:
    """Permute axes: not at all, by a reshape, or by a transpose that absorbs an earlier one.

    `names` are those of the node and of its output, where ONNX has a node for it.
    """
    before = build.writer(tensor)
    if before is not None and isinstance(before.op, Transpose):
        tensor, permutation = before.inputs[0], tuple(before.op.permutation[axis] for axis in permutation)
    if permutation == tuple(range(len(permutation))):
        return tensor
    shape = build.tensors[tensor].shape
    if is_free(shape, permutation):
        return reshape(build, tensor, tuple(shape[axis] for axis in permutation), names)
    name, output = names or (f"{tensor}/transpose", None)
    return build.apply(name, Transpose(permutation), [tensor], output)


def reshape(build: Builder, tensor: str, shape: tuple[int, ...], names: tuple[str, str] | None = None) -> str:
    """Reshape, reading past an earlier reshape; `names` as in `move`."""
    before = build.writer(tensor)
    if before is not None and isinstance(before.op, Reshape):
        tensor = before.inputs[0]
    if build.tensors[tensor].shape == shape:
        return tensor
    name, output = names or (f"{tensor}/reshape", None)
    return build.apply(name, Reshape(shape), [tensor], output)


def is_free(shape: Sequence[int], permutation: Sequence[int]) -> bool:
    """Return whether a permutation leaves the elements in order, because it moves only axes of size 1."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


def through_flatten(build: Builder, tensor: str, weights: Array) -> tuple[str, Array]:
    """Let a fully connected layer read what was there before a flattening.

    Parameters
    ----------
    tensor
        The layer's input.
    weights
        [out, in].

    Returns
    -------
    tuple
        An earlier tensor whose row-major elements are the layer's input in another order, and the weights in that
        order.
    """
    before = build.writer(tensor)
    if before is not None and isinstance(before.op, Reshape):
        tensor = before.inputs[0]
        before = build.writer(tensor)
    if before is not None and isinstance(before.op, Transpose):
        cube = weights.reshape(-1, *build.tensors[tensor].shape[1:])
        weights = cube.transpose(np.argsort(before.op.permutation)).reshape(weights.shape)
        tensor = before.inputs[0]
    return tensor, weights
