"""Traces of Hessians that are known by hand, and bits by layer that they choose."""

from __future__ import annotations

import numpy as np
import pytest

from cli.command import Command
from cli.conftest import hwsim
from hwsim.ops import Activation, FullyConnected
from hwsim.quant import Scheme, calibrate
from hwsim.quant.mixed_precision import output_item, sensitivities, weight_item, with_curvatures
from hwsim.sim.quantize.document import QuantizeDocument
from hwsim.train.extra import Value
from hwsim.train.hessian import curvatures
from quant.float_nets import FloatNet

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'hwsim[train]'")

__all__ = ["hwsim"]

FIRST, SECOND, HIDDEN = weight_item("first"), weight_item("second"), output_item("first")


def squares(scores: Value, targets: np.ndarray) -> Value:
    """Half of the squared error of a sample, its mean over the samples: least squares."""
    return ((scores - torch.from_numpy(targets)) ** 2).sum() / (2 * len(targets))


def test_least_squares_by_hand() -> None:
    """Inputs (2, 0, 0) and (0, 1, 0), layers y = W2 W1 x: Hessians are Kronecker products, with A = mean x x' = diag(2, 1/2, 0).

    In W2: I3 with mean h h', h = W1 x = (2, 0) and (2, -1): trace 3 * mean |h|^2 = 3 * (4 + 5) / 2 = 13.5 of 6 elements. In h:
    W2' W2, trace 4 + 0 + 1 + 1 + 4 + 1 = 11 of 2 elements. In W1: W2' W2 with A, trace 11 * 2.5 = 27.5 of 6 elements. The
    estimate of a matrix that is not diagonal varies: 400 vectors of it.
    """
    net = FloatNet(3)
    x = net.node("first", FullyConnected(), "x", net.constant("w1", [[1, 2, 0], [0, -1, 3]]))
    net.node("second", FullyConnected(), x, net.constant("w2", [[2, 1], [0, -2], [1, 1]]))
    graph = net.graph()
    batch = np.array([[2, 0, 0], [0, 1, 0]], np.float32)
    targets = np.random.default_rng(0).normal(0, 1, (2, 3)).astype(np.float32)
    found = curvatures(graph, [(batch, targets)], loss=squares, probes=400)
    assert set(found) == {FIRST, SECOND, HIDDEN}
    assert found[SECOND] == pytest.approx(13.5 / 6, rel=0.1)
    assert found[HIDDEN] == pytest.approx(11 / 2, rel=0.1)
    assert found[FIRST] == pytest.approx(27.5 / 6, rel=0.1)


def test_a_diagonal_hessian_needs_one_vector() -> None:
    """One layer, inputs along the axes: mean x x' = diag(2, 1/2, 0) for each of two outputs, trace 5 of 6 elements, exactly.

    Twice the same samples in two batches are the same mean.
    """
    net = FloatNet(3)
    net.node("second", FullyConnected(), "x", net.constant("w", [[1, 2, 0], [0, -1, 3]]))
    batch, targets = np.array([[2, 0, 0], [0, 1, 0]], np.float32), np.zeros((2, 2), np.float32)
    whole, parts = (batch, targets), [(batch[:1], targets[:1]), (batch[1:], targets[1:])]
    for batches in ([whole], [whole, whole], parts):
        assert curvatures(net.graph(), batches, loss=squares, probes=1) == {SECOND: pytest.approx(5 / 6, rel=1e-6)}


def test_the_estimate_of_a_rise_is_the_rise_of_a_quadratic() -> None:
    """Weights (7, 2.4) of 4 bits are 7 and 2, inputs (0, 1) and (0, 2) for the target that the weights meet: no first-order term.

    The loss rises by the mean of (0.4 x)^2 / 2: (0.16 + 0.64) / 4 = 0.2. The second derivatives are 0 and 2.5, mean 1.25, and the
    squared error is 0.16: HAWQ's even spread says 1.25 * 0.16 / 2 = 0.1.
    """
    net = FloatNet(2)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[7, 2.4]]))
    graph, batch = net.graph(), np.array([[0, 1], [0, 2]], np.float32)
    curved = curvatures(graph, [(batch, batch @ np.array([[7], [2.4]], np.float32))], loss=squares, probes=1)
    measured = with_curvatures(sensitivities(graph, {}, [batch], Scheme(), bits=(4,)), curved)
    seen = measured[weight_item("fc")][4]
    assert seen.noise == pytest.approx(0.16, rel=1e-5)
    assert seen.hessian == pytest.approx(0.1, rel=1e-5)


def test_noise_of_an_output_is_the_mean_over_samples() -> None:
    """Outputs (0, 3) and (1.3, 0) in 2 bits over 0..3: 1.3 becomes 1, so 0.09 of two samples."""
    net = FloatNet(2)
    x = net.node("first", FullyConnected(Activation.RELU), "x", net.constant("w", np.eye(2)))
    net.node("second", FullyConnected(), x, net.constant("v", np.eye(2)))
    graph, batch = net.graph(), np.array([[0, 3], [1.3, -1]], np.float32)
    ranges = calibrate(graph, [batch], Scheme().ranges)
    measured = sensitivities(graph, ranges, [batch[:1], batch[1:]], Scheme(), bits=(2,))
    assert measured[HIDDEN][2].noise == pytest.approx(0.045, rel=1e-5)
    # Where rounding finds the loss bent downwards nothing is gained by it.
    assert with_curvatures(measured, dict.fromkeys(measured, -1.0))[HIDDEN][2].hessian == 0


def test_the_command_chooses_by_it(hwsim: Command) -> None:
    answer = hwsim(
        "quantize", "digits_cnn", "--mixed", "size:60%", "--mixed-by", "hessian", "--mixed-images", "8", "--mixed-bits", "4,8",
        "--calibration-images", "16", "--json", "q.json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "estimated rise of the loss" in answer.out
    mixed = QuantizeDocument.model_validate_json((hwsim.folder / "q.json").read_text("utf-8")).mixed
    assert mixed is not None and mixed.by == "hessian" and mixed.cost <= mixed.allowed
    chosen = [option for item in mixed.items for option in item.options if option.bits == item.bits]
    losses = [option.hessian for option in chosen if option.hessian is not None]
    assert len(losses) == len(chosen) and mixed.loss == pytest.approx(sum(losses), rel=1e-4)
