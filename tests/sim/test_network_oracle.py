"""Whole networks against the oracle, layer by layer: every activation and every overflow count, in hard arithmetics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import oracle
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.sim import Program
from hwsim.spec import Profile
from sim.digits_runs import arithmetic, feed, network
from sim.layer_oracle import evaluate

ARITHMETICS: dict[str, dict[str, Any]] = {
    "10 bits wrap": {"acc": "10:wrap"},
    "16 bits saturate": {"acc": "16:saturate"},
    "12 bits saturate, bias at end": {"acc": "12:saturate", "bias": "end"},
    "14 bits wrap, zero points folded": {"acc": "14:wrap", "zero_points": "fold"},
    "13 bits saturate, folded, bias at end": {"acc": "13:saturate", "zero_points": "fold", "bias": "end"},
    "tree of 4 lanes saturates": {"acc": "17:saturate", "lanes": 4, "tree": "12:saturate"},
    "5 lanes, exact tree": {"acc": "13:saturate", "lanes": 5, "bias": "end", "profile": Profile.TFLITE_SINGLE},
    "systolic column of 16": {"acc": "16:saturate", "chain": 16, "psum": "13:saturate"},
    "lanes, chain and tree wrap": {"acc": "14:wrap", "lanes": 3, "tree": "11:wrap", "chain": 4, "psum": "12:saturate"},
    "float32 rounding": {"acc": "11:saturate", "bias": "end", "profile": Profile.ORT_FLOAT32},
}


def check(name: str, options: dict[str, Any], first: int, count: int) -> int:
    """Compare every activation and counter of a few images; return the number of events."""
    machine = arithmetic(**options)
    graph = network(name).integer
    images = feed(name).integers(first, first + count)
    expected, counted = evaluate(graph, images, machine)
    program = Program(graph, machine)
    events = 0
    for observe in (False, True):
        monitors = program.monitors(observe=observe)
        found = program.run(images, monitors=monitors, keep=True)
        assert found.keys() == expected.keys()
        for tensor, values in found.items():
            assert np.array_equal(values, expected[tensor]), tensor
        for node, sums in counted.items():
            check_counts(monitors[node], sums)
            if observe:
                assert (monitors[node].low.tolist(), monitors[node].high.tolist()) == (sums.low, sums.high)
                assert monitors[node].first_image is None or monitors[node].first.tolist() == list(sums.first)
        events = sum(monitor.events for monitor in monitors.values())
    return events


def check_counts(monitor: Monitor, sums: oracle.Sums) -> None:
    for r, register in enumerate(REGISTERS):
        for k, kind in enumerate(oracle.KINDS):
            assert monitor.counts[r, k].tolist() == sums.counts[register, kind]


@pytest.mark.parametrize("options", ARITHMETICS.values(), ids=ARITHMETICS)
def test_digits_cnn_overflows_exactly_as_the_oracle_says(options: dict[str, Any]) -> None:
    assert check("digits_cnn", options, 41, 1) > 100


@pytest.mark.parametrize(
    "options", [{"acc": "13:wrap"}, {"acc": "12:saturate", "bias": "end", "chain": 9, "psum": "11:wrap"}], ids=str
)
def test_depthwise_layers_sums_and_means_overflow_exactly_as_the_oracle_says(options: dict[str, Any]) -> None:
    assert check("digits_mobilenet", options, 17, 1) > 100


def test_a_wide_accumulator_sees_no_event() -> None:
    assert check("digits_cnn", {"acc": "32:saturate"}, 5, 1) == 0
