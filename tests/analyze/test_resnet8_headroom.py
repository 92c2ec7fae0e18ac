"""MLPerf Tiny's ResNet-8 on CIFAR-10: the numbers of reports/resnet8_accumulators.md, from the analysis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.certify.verify import verify
from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.sim import Program
from hwsim.sim.analyze.run import Analysis, analyze
from hwsim.sim.execute import execute
from hwsim.sim.feed import Feed
from hwsim.sim.run import Settings
from hwsim.spec import PRESETS, Accelerator, Arithmetic, Overflow, Reduction, Register

IMAGES = 4


def machine(register: Register) -> Accelerator:
    return Accelerator(name=PRESETS[0].name, arithmetic=Arithmetic(Reduction(register)))


@pytest.fixture(scope="module")
def path(data_root: Path) -> Path:
    found = data_root / "mlperf_tiny" / "resnet8_int8.tflite"
    if not found.exists():
        pytest.skip("resnet8_int8.tflite is not in the data pack")
    return found


def examine(path: Path, register: Register, *, observe: bool) -> Analysis:
    settings = Settings(accelerator=machine(register), images=IMAGES)
    return analyze(load_model(path), open_dataset("cifar10") if observe else None, settings, observe=observe)


def test_23_bits_are_proven_and_certified(path: Path) -> None:
    """The report: 23 bits hold every subset of any layer's products, in any order; 20 are not enough for 6 of 10 layers."""
    model = load_model(path)
    for bits, certified in ((24, 10), (23, 10), (22, 9), (20, 4)):
        found = examine(path, Register(bits, Overflow.SATURATE), observe=False)
        assert (found.document.total.any_order_bits, found.document.total.proven_bits) == (23, 23)
        assert (found.document.total.proven_layers, found.document.total.layers) == (certified, 10)
        assert found.certificate.no_overflow == (certified == 10)
        verify(found.certificate, model.graph, model.sha256)


def test_16_bits_wrap_overflow_as_in_a_run(path: Path) -> None:
    """The same events as the SIMD kernels count; a wrapped sum comes back exactly where its exact value fits 16 bits."""
    document = examine(path, Register(16, Overflow.WRAP), observe=True).document
    model = load_model(path)
    program = Program(model.graph, Arithmetic(Reduction(Register(16, Overflow.WRAP)), model.graph.profile))
    ran = execute(program, Feed(model.graph, open_dataset("cifar10")), IMAGES, threads=1)
    assert document.total.events == sum(monitor.events for monitor in ran.monitors.values()) > 10_000
    for layer in document.layers:
        monitor = ran.monitors[layer.name]
        assert (layer.acc.positive, layer.acc.negative) == tuple(monitor.counts[2].sum(axis=1).tolist())
        assert layer.observed is not None
        first = layer.observed.first
        assert (first.image if first is not None else None) == monitor.first_image
        # Without an event no running sum left the range, but for a bias that wraps when it is loaded.
        unfit = sum(count for bits, count in layer.observed.needed_bits.items() if bits > 16)
        assert unfit == layer.observed.struck
    assert document.total.cancelled > document.total.struck / 2


def test_wrapped_sums_come_back_where_their_exact_values_fit(path: Path) -> None:
    """Independent: the first layer's exact sums, by NumPy, on one image; the final value alone decides."""
    document = examine(path, Register(16, Overflow.WRAP), observe=True).document
    model = load_model(path)
    node = model.graph.nodes[0]
    images, weights, bias = model.graph.inputs_of(node)
    assert weights.data is not None and bias.data is not None and images.quantization is not None
    feed = Feed(model.graph, open_dataset("cifar10"))
    batch = feed.integers(0, IMAGES).astype(np.int64) - int(images.quantization.zero_point)
    padded = np.pad(batch, ((0, 0), (1, 1), (1, 1), (0, 0)))
    running = np.broadcast_to(bias.data.astype(np.int64), (IMAGES, 32, 32, 16)).copy()
    left = (running < -(2**15)) | (running >= 2**15)
    for ky in range(3):
        for kx in range(3):
            for channel in range(3):
                taken = padded[:, ky : ky + 32, kx : kx + 32, channel, None]
                running += taken * weights.data[:, ky, kx, channel].astype(np.int64)
                left |= (running < -(2**15)) | (running >= 2**15)
    fits = (running >= -(2**15)) & (running < 2**15)
    seen = document.layers[0].observed
    assert seen is not None
    assert seen.channel_struck == tuple(left.sum(axis=(0, 1, 2)).tolist())
    assert seen.channel_cancelled == tuple((left & fits).sum(axis=(0, 1, 2)).tolist())
