"""The closer look: noise, histograms and extremes on networks small enough to compute by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwsim.graph import Graph, Quantization, Tensor
from hwsim.ops import FullyConnected
from hwsim.quant import Scheme, quantize
from hwsim.sim import Program
from hwsim.sim.feed import Feed
from hwsim.sim.observe import BINS, MACS, clipped_values, observe, observed_images, weight_histogram
from hwsim.spec import Format
from quant.float_nets import FloatNet, outputs_of
from sim.digits_runs import arithmetic, array_set, digits, feed, network


def two_inputs() -> tuple[Graph, Graph]:
    """``y = x0 - x1`` in float, and in integers of scale 1 where ranges say so."""
    net = FloatNet(2)
    net.constant("w", [[7, -7]])
    net.node("fc", FullyConnected(), "x", "w")
    graph = net.graph()
    ranges = {"x": (-8.0, 7.0), "fc_out": (-16.0, 14.0)}
    return graph, quantize(graph, ranges, Scheme(weight_bits=4, activation_bits=4))


def test_noise_and_extremes_equal_hand_arithmetic() -> None:
    """Input scale 15/15 = 1, weight scale 7/7 = 1, output scale 30/15 = 2.

    (1, 0) gives 7 in float; 7 / 2 = 3.5 rounds away from 0 to 4, which is 8. (0, 1) gives -7: -4, which is -8.
    (1, 1) gives 0. Signal 49 + 49, noise 1 + 1: 10 log10(49) dB. Running sums: 0, 7, 7; 0, 0, -7; 0, 7, 0.
    """
    graph, integer = two_inputs()
    samples = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    dataset = array_set(samples, [0, 0, 0])
    found = observe(Program(integer), graph, Feed(integer, dataset), Feed(graph, dataset), 3)
    assert found.sqnr_db["fc"] == round(10 * math.log10(49), 3)
    assert (found.monitors["fc"].low.tolist(), found.monitors["fc"].high.tolist()) == ([-7], [7])
    histogram = found.activations["fc"]
    assert (histogram.lo, histogram.hi, histogram.n, histogram.clipped) == (-7.0, 7.0, 3, 0)
    assert (histogram.counts[0], histogram.counts[BINS // 2], histogram.counts[-1]) == (1, 1, 1)
    assert (histogram.grid_lo, histogram.grid_hi, histogram.grid_step) == (-16.0, 14.0, 2.0)


def test_a_layer_without_noise_or_signal_has_no_ratio() -> None:
    graph, integer = two_inputs()
    dataset = array_set(np.zeros((2, 2), np.float32), [0, 0])
    found = observe(Program(integer), graph, Feed(integer, dataset), Feed(graph, dataset), 2)
    assert found.sqnr_db["fc"] is None
    histogram = found.activations["fc"]
    assert (histogram.lo, histogram.hi) == (-0.5, 0.5)
    assert sum(histogram.counts) == histogram.n == 2


def test_digits_noise_equals_one_division_over_the_whole_batch() -> None:
    pair = network()
    count = 12
    found = observe(Program(pair.integer), pair.real, feed(), Feed(pair.real, digits()), count)
    exact = outputs_of(pair.real, Feed(pair.real, digits()).real(0, count))
    kept = Program(pair.integer).run(feed().integers(0, count), keep=True)
    assert found.images == count
    assert list(found.sqnr_db) == [node.name for node in pair.integer.nodes]
    for node in pair.integer.nodes:
        name = node.outputs[0]
        quantization = pair.integer.tensors[name].quantization
        assert quantization is not None
        real = exact[name].astype(np.float64)
        noise = quantization.scale * (kept[name].astype(np.int64) - quantization.zero_point) - real
        assert found.sqnr_db[node.name] == pytest.approx(10 * math.log10((real**2).sum() / (noise**2).sum()), abs=0.002)
        histogram = found.activations[node.name]
        assert histogram.n == sum(histogram.counts) == real.size
        assert (histogram.lo, histogram.hi) == (pytest.approx(real.min()), pytest.approx(real.max(), rel=1e-6))
        edges = np.linspace(histogram.lo, histogram.hi, BINS + 1)
        inner = (real >= edges[10]) & (real < edges[50])
        assert abs(int(inner.sum()) - sum(histogram.counts[10:50])) <= 2


def test_observed_extremes_are_those_of_a_golden_run() -> None:
    pair = network()
    program = Program(pair.integer, arithmetic("16:saturate"))
    found = observe(program, pair.real, feed(), Feed(pair.real, digits()), 6)
    golden = program.monitors(observe=True)
    program.run(feed().integers(0, 6), monitors=golden)
    for name, monitor in golden.items():
        assert np.array_equal(found.monitors[name].low, monitor.low)
        assert np.array_equal(found.monitors[name].high, monitor.high)
        assert np.array_equal(found.monitors[name].counts, monitor.counts)


def test_clipping_counts_values_more_than_half_a_step_outside() -> None:
    """4 bits at scale 0.5: -4..3.5, so that -4.25 and 3.75 are the last values that are not clipped."""
    q = Quantization(Format(4), np.array(0.5), np.array(0))
    assert clipped_values(np.array([-4.26, -4.25, 0, 3.75, 3.76]), q) == 2
    channels = Quantization(Format(4), np.array([0.5, 1.0]), np.array([0, 0]), 1)
    assert clipped_values(np.array([[3.76, 3.76], [7.0, 7.6]]), channels) == 3


def test_weight_histograms_stand_beside_their_mean_grid() -> None:
    q = Quantization(Format(4), np.array([0.5, 1.5]), np.array([0, 0]), 0)
    real = np.array([[-3.5, 1.0, 0.0], [2.0, 9.0, 10.5]], np.float32)
    histogram = weight_histogram(Tensor("w", (2, 3), q, q.quantize(real)), real)
    assert (histogram.lo, histogram.hi, histogram.n, sum(histogram.counts)) == (-3.5, 10.5, 6, 6)
    assert (histogram.grid_step, histogram.grid_lo, histogram.grid_hi) == (1.0, -8.0, 7.0)
    assert histogram.clipped == 0


def test_the_number_of_observed_images_is_bounded_by_work() -> None:
    assert observed_images(10, 5, 64) == 5
    assert observed_images(10, 500, 64) == 64
    assert observed_images(MACS // 3, 500, 64) == 3
    assert observed_images(10 * MACS, 500, 64) == 1
    assert observed_images(0, 500, 64) == 64
