"""Layers for the generated kernels, and the checks that hold them to the golden ones. Needs the JIT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwsim.kernels import compiled
from hwsim.kernels.assemble import Assembled, Products
from hwsim.kernels.bounds import Bounds, bound
from hwsim.kernels.monitor import NEVER, Monitor
from hwsim.kernels.plan import Plan, plan_products
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.targets import Target
from hwsim.spec import Overflow, Profile, Reduction

Array = npt.NDArray[Any]

GUARD = 77
"""What memory behind an output holds; a kernel that writes past its last vector changes it."""


@dataclass(frozen=True)
class Shape:
    """A layer without its numbers: image, channels, window."""

    height: int = 5
    width: int = 6
    channels: int = 5
    outputs: int = 19
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    """Top, left, bottom, right."""
    groups: int = 1
    depthwise: bool = False
    batch: int = 2

    @property
    def size(self) -> tuple[int, int]:
        """Of the output."""
        high, wide = self.height + self.padding[0] + self.padding[2], self.width + self.padding[1] + self.padding[3]
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return (high - reach[0]) // self.stride[0] + 1, (wide - reach[1]) // self.stride[1] + 1


POINTWISE = {"kernel": (1, 1), "padding": (0, 0, 0, 0)}


@dataclass(frozen=True)
class Case:
    """A layer with its numbers."""

    shape: Shape
    products: Products
    images: Array
    plan: Plan
    requantizer: Requantizer
    storage: str

    def golden(self, monitor: Monitor) -> Array:
        """Return the output of the golden kernel, [B, pixels, channels]."""
        shape, products = self.shape, self.products
        high, wide = shape.size
        top, left, bottom, right = shape.padding
        padded = np.pad(
            self.images.astype(np.int64) - products.subtract, ((0, 0), (top, bottom), (left, right), (0, 0)),
            constant_values=products.pad,
        )  # fmt: skip
        down, across = ((size - 1) * step + 1 for size, step in zip((high, wide), shape.stride, strict=True))
        taps = [
            padded[:, y : y + down : shape.stride[0], x : x + across : shape.stride[1]]
            for y in range(0, shape.kernel[0] * shape.dilation[0], shape.dilation[0])
            for x in range(0, shape.kernel[1] * shape.dilation[1], shape.dilation[1])
        ]
        windows = np.stack(taps, axis=3)
        out = np.empty((len(self.images), high * wide, products.bias.size), self.storage)
        groups, own = len(products.weights), shape.channels // shape.groups
        for image in range(len(self.images)):
            for group in range(groups):
                part = slice(group * products.weights.shape[2], (group + 1) * products.weights.shape[2])
                chosen = windows[image] if shape.depthwise else windows[image][..., group * own : (group + 1) * own]
                panel = (
                    chosen.reshape(high * wide, -1, shape.channels)
                    if shape.depthwise
                    else chosen.reshape(high * wide, -1)
                )
                seen = Monitor(part.stop - part.start, base=monitor.base)
                acc = reduce_panel(
                    panel, products.weights[group], products.bias[part], products.reduction, seen, image=image
                )
                out[image, :, part] = self.requantizer(acc, part, self.storage)
                monitor.merge(seen, part.start)
        return out


def drawn(
    shape: Shape, reduction: Reduction, rng: np.random.Generator, *, dtype: str = "int8", storage: str = "int8",
    heaviest: int = 127, largest: int | None = None, profile: Profile = Profile.TFLITE, ends: bool = False,
    lightest: int | None = None,
) -> Case:  # fmt: skip
    """Draw numbers for a layer; `ends`: only the extremes of activations and weights."""
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if largest is None else (max(-largest, info.min), largest)
    images = rng.integers(low, high + 1, (shape.batch, shape.height, shape.width, shape.channels)).astype(dtype)
    depth = shape.kernel[0] * shape.kernel[1] * (1 if shape.depthwise else shape.channels // shape.groups)
    outputs = shape.channels if shape.depthwise else shape.outputs
    light = -heaviest if lightest is None else lightest
    weights = rng.integers(light, heaviest + 1, (shape.groups, depth, outputs // shape.groups))
    if ends:
        images = rng.choice([low, high], images.shape).astype(dtype)
        weights = rng.choice([light, heaviest], weights.shape)
    # A zero point would take activations of 16 bits out of 16 bits.
    zero_point = int(rng.integers(low // 2, high // 2 + 1)) if info.bits == 8 else 0
    form = reduction.acc.format
    bias = rng.integers(-2000, 2000, outputs)
    if reduction.acc.overflow is Overflow.SATURATE:
        bias = bias.clip(form.lo, form.hi)
    ends_of = min(low - zero_point, 0), max(high - zero_point, 0)
    by_group = bias.reshape(shape.groups, -1)
    bounds = Bounds.joined([bound(weights[g], by_group[g], *ends_of, reduction) for g in range(shape.groups)])
    plan = plan_products(
        weights, bias, *ends_of, bounds, reduction, depthwise=shape.depthwise, stored_bits=info.bits,
        output_bits=np.iinfo(storage).bits,
    )  # fmt: skip
    geometry = np.array([*shape.kernel, *shape.stride, *shape.dilation, *shape.padding], np.int64)
    products = Products(
        weights, bias, reduction, dtype, zero_point, 0, geometry, shape.channels, shape.size[1], shape.depthwise,
        out_height=shape.size[0],
    )  # fmt: skip
    spread = 2.0 ** -max(min(plan.largest.bit_length(), 24) - np.iinfo(storage).bits, 1)
    reals = (rng.uniform(0.5, 1, outputs) if profile is not Profile.POWER_OF_TWO else np.ones(outputs)) * spread
    out = np.iinfo(storage)
    requantizer = Requantizer(
        reals.tolist(), profile, int(rng.integers(out.min // 4, out.max // 4)), out.min, out.max - 3,
        plan.largest.bit_length() + 1,
    )  # fmt: skip
    return Case(shape, products, images, plan, requantizer, storage)


def replan(case: Case, weights: Array) -> Case:
    """Return a case of bytes with other weights, planned again."""
    products = replace(case.products, weights=weights)
    ends = products.ends
    bounds = bound(weights[0], products.bias, *ends, products.reduction)
    plan = plan_products(weights, products.bias, *ends, bounds, products.reduction, stored_bits=8)
    return replace(case, products=products, plan=plan)


def check(case: Case, target: Target | None = None, *, finished: bool | None = None) -> int:
    """Assert that the planned kernels equal the golden one in outputs, counts and first image; return the events."""
    assert case.plan.operation is not None, case.plan.reason
    made = Assembled(case.products, case.plan, case.requantizer, case.storage, target=target)
    assert finished is None or made.finished == finished
    fast, slow = Monitor(made.channels, base=3), Monitor(made.channels, base=3)
    high, wide = case.shape.size
    out = made.run(case.images, high * wide, fast)
    assert np.array_equal(out, case.golden(slow))
    assert np.array_equal(fast.counts, slow.counts)
    assert fast.first_image == slow.first_image
    if made.finished:
        size = out.size
        guarded = np.full(size + 256, GUARD, case.storage)
        counts = np.zeros(made.layer.counters, np.int64)
        made.layer.run(case.images, guarded, counts, np.full(1, NEVER, np.int64))
        assert np.array_equal(guarded[:size], out.reshape(-1))
        assert np.all(guarded[size:] == GUARD)
    return slow.events


@contextmanager
def compiled_anew() -> Iterator[None]:
    """Compile every kernel again and keep none: for mutants."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_addresses", {})
        patch.setattr(compiled, "_read", lambda _path: None)
        patch.setattr(compiled, "_keep", lambda _path, _code: None)
        yield
