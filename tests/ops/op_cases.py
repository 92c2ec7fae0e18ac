"""What the tests of operators without weights share: draws of formats and tensors, and running an operator both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from layer_cases import Array, per_tensor, random_integers

from hwsim.graph import Operator, Quantization, Tensor
from hwsim.kernels.table import Step, Table, View
from hwsim.spec import Arithmetic, Format, Profile, Reduction

INT8, UINT8, INT16 = Format(8), Format(8, signed=False), Format(16)


@st.composite
def quantizations(
    draw: Any, forms: tuple[Format, ...] = (INT8, UINT8, INT16, Format(4), Format(2, False))
) -> Quantization:
    """Draw a per-tensor quantization with a scale in 2**-8..2**-2 and any zero point of the format."""
    form = draw(st.sampled_from(forms))
    scale = float(np.float32(2.0 ** draw(st.floats(-8, -2))))
    zero_point = draw(
        st.sampled_from((0 if form.signed else form.hi // 2, form.lo, form.hi)) | st.integers(form.lo, form.hi)
    )
    return per_tensor(form, scale, zero_point)


def tensors(
    op: Operator, shapes: list[tuple[int, ...]], sources: list[Quantization], result: Quantization
) -> tuple[list[Tensor], Tensor]:
    """Return input tensors and the inferred output."""
    inputs = [Tensor(f"x{i}", shape, q) for i, (shape, q) in enumerate(zip(shapes, sources, strict=True))]
    return inputs, Tensor("y", op.infer(inputs)[0], result)


def run(
    op: Operator, inputs: list[Tensor], output: Tensor, arrays: list[Array], profile: Profile = Profile.TFLITE
) -> Array:
    """Prepare and run on integers; assert shape and dtype of the result, and that a table of layers gives the same."""
    unit = op.prepare(inputs, [output], Arithmetic(Reduction(), profile))
    (out,) = unit.run(arrays)
    assert output.quantization is not None
    assert out.dtype == output.quantization.format.storage
    assert out.shape[1:] == output.shape[1:]
    assert out.shape[0] == arrays[0].shape[0]
    if unit.step is not None and not isinstance(unit.step, View):
        assert np.array_equal(from_table(unit.step, arrays, out), out)
    return out


def from_table(step: Step, arrays: list[Array], like: Array) -> Array:
    """Return what a layer writes in a table, into memory shaped like its result."""
    sources, found = [np.ascontiguousarray(array) for array in arrays], np.zeros_like(like)
    entry = step.entry([source.shape for source in sources])
    for field, source in zip(entry.inputs, sources, strict=True):
        entry.fields[field] = source.ctypes.data
    entry.fields[entry.output] = found.ctypes.data
    Table([entry]).run()
    return found


def draw_images(seed: int, form: Format, shape: tuple[int, ...]) -> Array:
    """Draw integers from a seed."""
    return random_integers(np.random.default_rng(seed), form, shape)


SEEDS = st.integers(0, 2**32 - 1)
