"""Layers and machines that the tests of the time engine share."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hwsim.memory.tiling import TileProblem
from hwsim.spec import Accelerator, Dataflow, Datapath, Memory, Operand, Sliding, Workload


def convolution(
    image: tuple[int, int] = (11, 13), channels: int = 5, outputs: int = 7, kernel: int = 3, stride: int = 1, *,
    groups: int = 1, bits: tuple[int, int, int] = (8, 8, 8),
) -> Workload:  # fmt: skip
    """A convolution with biases of 32 bits and scales of 40; odd kernels are padded so that stride 1 keeps the size."""
    weight_bits, input_bits, output_bits = bits
    before = kernel // 2
    height, width = (-(-size // stride) for size in image)
    k, n, m = kernel * kernel * channels // groups, outputs // groups, height * width
    operands = (
        Operand("weights", k * outputs, weight_bits), Operand("biases", outputs, 32), Operand("scales", outputs, 40),
        Operand("activations_in", image[0] * image[1] * channels, input_bits),
        Operand("activations_out", m * outputs, output_bits),
    )  # fmt: skip
    sliding = Sliding(image, channels, (height, width), (kernel, kernel), (stride, stride), before=(before, before))
    return Workload("conv", "conv2d", m, k, n, groups, operands, weight_bits, input_bits, sliding)


def dense(k: int, n: int) -> Workload:
    """A fully connected layer of 8 bits."""
    operands = (
        Operand("weights", k * n, 8), Operand("biases", n, 32), Operand("scales", n, 40),
        Operand("activations_in", k, 8), Operand("activations_out", n, 8),
    )  # fmt: skip
    return Workload("dense", "fully_connected", 1, k, n, 1, operands, 8, 8)


def problem(**fields: Any) -> TileProblem:
    """A small tile problem: 3 x 3 windows on 7 x 6 pixels of 4 channels, 10 outputs, in single bytes."""
    base: dict[str, Any] = {
        "sliding": Sliding((7, 6), 4, (7, 6), (3, 3), before=(1, 1)), "products": 36, "channels": 10, "groups": 1,
        "weight_bits": 8, "input_bits": 8, "output_bits": 8, "wide_bits": 0, "residual_bits": 0, "stored_bits": 0,
        "bias_bits": 32, "scale_bits": 40, "columns": 4,
        "accumulators": 12, "product_step": 4, "double_buffered": True, "burst_bytes": 1,
    }  # fmt: skip
    return TileProblem(**(base | fields))


@st.composite
def problems(draw: st.DrawFn) -> TileProblem:
    """Draw a small problem of any kind: groups, strides, dilations, widths, bursts, with and without accumulators."""
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (3, 3, 2))
    reach = (kernel - 1) * dilation + 1
    before = draw(st.integers(0, reach - 1))
    image = tuple(draw(st.integers(max(1, reach - before), 8)) for _ in range(2))
    output = tuple((size + 2 * before - reach) // stride + 1 for size in image)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels_in, channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 5))
    bits, stored = st.integers(2, 16), st.sampled_from([0, 0, 1, 300])
    return TileProblem(
        Sliding(image, channels_in, output, (kernel, kernel), (stride, stride), (dilation, dilation), (before, before)),  # type: ignore[arg-type]
        kernel * kernel * channels_in // groups, channels, groups, draw(bits), draw(bits), draw(bits),
        draw(st.sampled_from([0, 0, 24])), draw(st.sampled_from([0, 0, 5])), draw(st.sampled_from([0, 0, 1000])),
        32, 40, draw(st.integers(1, 4)), draw(st.integers(0, 12)), draw(st.integers(1, 6)), draw(st.booleans()),
        draw(st.sampled_from([1, 4, 32])), input_stored=draw(stored), residual_stored=draw(stored), output_stored=draw(stored),
    )  # fmt: skip


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    """Draw a memory in which every layer of `layers` finds room."""
    kilobytes = st.integers(16, 256)
    sizes = [1024 * draw(kilobytes) for _ in range(3)]
    rest = {
        "double_buffered": draw(st.booleans()), "dram_latency_cycles": draw(st.integers(0, 100)),
        "burst_bytes": draw(st.sampled_from([1, 8, 64])),
    }  # fmt: skip
    if draw(st.booleans()):
        return Memory(sram_bytes=sizes[0], **rest)
    return Memory(weight_sram_bytes=sizes[0], activation_sram_bytes=sizes[1], result_sram_bytes=sizes[2], **rest)


machines = st.builds(
    Accelerator,
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    dram_bytes_per_cycle=st.floats(0.05, 100),
    dataflow=st.sampled_from(Dataflow),
    datapath=st.builds(Datapath, pixels=st.integers(2, 64), raw=st.booleans()),
    memory=memories(),
)

_convolutions = st.builds(
    lambda height, width, channels, outputs, kernel, stride, groups, bits: convolution(
        (height, width), groups * channels, groups * outputs, kernel, stride, groups=groups, bits=bits
    ),
    st.integers(3, 16), st.integers(3, 16), st.integers(1, 12), st.integers(1, 24), st.sampled_from([1, 3]),
    st.integers(1, 2), st.sampled_from([1, 1, 1, 4]), st.tuples(*[st.integers(2, 16)] * 3),
)  # fmt: skip
layers = st.one_of(_convolutions, st.builds(dense, st.integers(1, 300), st.integers(1, 100)))
