"""Operators that only move values: pad, reshape, transpose, nearest-neighbour resize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.kernels.table import View
from hwsim.ops.checks import require_rank, same_quantization
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Workload, require


class _Move(Operator):
    """A move: the same function for floats and integers."""

    same_scale: ClassVar[bool] = True

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        same_quantization(inputs[0], outputs[0])
        return SimpleUnit(lambda values, *_: self.evaluate([values])[0])


@dataclass(frozen=True)
class Pad(Operator):
    """Surround with the real value 0; `pads` gives (before, after) for every axis, none for the batch."""

    pads: tuple[tuple[int, int], ...]

    kind: ClassVar[str] = "pad"
    same_scale: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        require_rank(inputs[0], len(self.pads))
        require(
            self.pads[0] == (0, 0) and min(min(pair) for pair in self.pads) >= 0,
            "pads",
            "0 or more, and none on the batch axis",
            self.pads,
        )
        return [tuple(size + sum(pair) for size, pair in zip(inputs[0].shape, self.pads, strict=True))]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [np.pad(inputs[0], self.pads)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        zero_point = int(same_quantization(inputs[0], outputs[0]).zero_point)
        return SimpleUnit(lambda values, *_: np.pad(values, self.pads, constant_values=zero_point))


@dataclass(frozen=True)
class Reshape(_Move):
    """Give the values another shape in the same order; axis 0 is the batch, and one other axis may be -1."""

    shape: tuple[int, ...]

    kind: ClassVar[str] = "reshape"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        elements, rest = inputs[0].elements, list(self.shape[1:])
        if rest.count(-1) == 1:
            known = math.prod(size for size in rest if size != -1)
            require(
                known > 0 and elements % known == 0, "reshape: shape", f"a split of {elements} elements", self.shape
            )
            rest[rest.index(-1)] = elements // known
        require(
            len(self.shape) > 0 and self.shape[0] in (1, -1) and math.prod(rest) == elements,
            "reshape: shape",
            f"[batch, ...] with {elements} elements per image",
            self.shape,
        )
        return [(1, *rest)]

    def workload(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic
    ) -> Workload:
        """Nothing moves: the values stay where they are under another shape."""
        return Workload(name, self.kind, 0, 0, 0, 0, (), 0, 0)

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        unit = super().prepare(inputs, outputs, arithmetic)
        unit.step = View()
        return unit

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        values = inputs[0]
        rest = list(self.shape[1:])
        if -1 in rest:
            known = -math.prod(rest)
            rest[rest.index(-1)] = math.prod(values.shape[1:]) // known
        return [values.reshape(values.shape[0], *rest)]


@dataclass(frozen=True)
class Transpose(_Move):
    """Reorder the axes; the batch stays first."""

    permutation: tuple[int, ...]

    kind: ClassVar[str] = "transpose"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        rank = len(inputs[0].shape)
        require(
            sorted(self.permutation) == list(range(rank)) and self.permutation[0] == 0,
            "transpose: permutation",
            f"of the {rank} axes, with the batch axis first",
            self.permutation,
        )
        return [tuple(inputs[0].shape[axis] for axis in self.permutation)]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [np.ascontiguousarray(inputs[0].transpose(self.permutation))]


@dataclass(frozen=True)
class ResizeNearest(_Move):
    """Pick the nearest pixel for an image of `size` (height, width), as TFLite computes it in float32."""

    size: tuple[int, int]
    align_corners: bool = False
    half_pixel_centers: bool = False

    kind: ClassVar[str] = "resize_nearest"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        require_rank(inputs[0], 4)
        require(min(self.size) >= 1, "resize: size", "1 or more", self.size)
        return [(1, *self.size, inputs[0].shape[3])]

    def _sources(self, inputs: int, outputs: int) -> Array:
        between = self.align_corners and outputs > 1
        ratio = (
            np.float32(inputs - 1) / np.float32(outputs - 1) if between else np.float32(inputs) / np.float32(outputs)
        )
        centre = np.float32(0.5 if self.half_pixel_centers else 0.0)
        position = (np.arange(outputs, dtype=np.float32) + centre) * ratio
        # TFLite's TfLiteRound: ties away from zero, on positions that are never negative.
        nearest = np.floor(position + np.float32(0.5)) if self.align_corners else np.floor(position)
        found: Array = np.clip(nearest.astype(np.int64), 0, inputs - 1)
        return found

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        images = inputs[0]
        rows, columns = (self._sources(images.shape[axis + 1], self.size[axis]) for axis in (0, 1))
        return [images[:, rows][:, :, columns]]
