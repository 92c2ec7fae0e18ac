"""What points have in common is computed once, and no byte of a row depends on that."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sweeping import export_of

from hwsim.graph import Array, Graph, Node
from hwsim.kernels.monitor import Monitor
from hwsim.quant import evaluate
from hwsim.sim.program import Program
from hwsim.sweep.api import read_space, sweep_rows
from hwsim.sweep.jobs import _calibrations, _network, _program, _runs

DIGITS = {"models": [{"model": "digits_cnn", "data": "digits"}], "images": 60}

WIDE = ["40:wrap", "32:wrap", "24:saturate"]
"""No input overflows 24 bits: the largest layer sums 288 products of 15 bits, which is below 2^24."""

Sweep = Callable[..., bytes]


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[Sweep]:
    """Sweeps in this process, as one that has just begun, and what they export."""

    def run(name: str, **parameters: Any) -> bytes:
        for cached in (_calibrations, _network, _program, _runs):
            cached.cache_clear()
        rows = sweep_rows(
            read_space({**DIGITS, "parameters": {"bias_at": "end", **parameters}}), tmp_path / name, workers=0
        )
        assert {row["status"] for row in rows} == {"ok"}
        return export_of(tmp_path / name)

    yield run
    _runs.cache_clear()


@pytest.fixture
def layers_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images times layers of products that a network ran, a number each."""
    found: list[int] = []
    prepared = Program.__init__

    def watch(self: Program, *arguments: Any, **options: Any) -> None:
        prepared(self, *arguments, **options)
        for unit in self.units.values():
            if unit.channels is not None and "run" not in vars(unit):
                unit.step = None
                monkeypatch.setattr(unit, "run", partial(counted, unit.run))

    def counted(run: Callable[..., list[Array]], inputs: list[Array], monitor: Monitor | None = None) -> list[Array]:
        found.append(len(inputs[0]))
        return run(inputs, monitor)

    monkeypatch.setattr(Program, "__init__", watch)
    return found


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell jobs nothing of each other."""
    monkeypatch.setattr("hwsim.sweep.engine._together", list)


def test_arithmetics_that_no_input_tells_apart_are_one_execution(
    swept: Sweep, layers_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = swept("shared", acc=WIDE)
    once = sum(layers_run)
    layers_run.clear()
    alone(monkeypatch)
    assert swept("alone", acc=WIDE) == shared
    assert sum(layers_run) == 3 * once


def test_layers_before_the_first_difference_run_once(
    swept: Sweep, layers_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """conv1 sums 9 products of at most 3 * 255, which 14 bits hold; the layers behind it sum 144 and more."""
    monkeypatch.setattr("hwsim.sweep.sharing.LEAST_SHARE", 0.01)
    narrow = ["32:wrap", "15:wrap", "14:saturate", "12:wrap"]
    shared = swept("shared", acc=narrow, weight_bits=3)
    some = sum(layers_run)
    layers_run.clear()
    alone(monkeypatch)
    assert swept("alone", acc=narrow, weight_bits=3) == shared
    assert some < sum(layers_run)


def test_registers_of_all_kinds_give_the_same_bytes_shared_and_alone(
    swept: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwsim.sweep.sharing.LEAST_SHARE", 0.0)
    space: dict[str, Any] = {
        "acc": ["32:wrap", "13:saturate"],
        "psum": ["none", "13:wrap", "20:saturate"],
        "chain": {"values": [4], "when": {"psum": ["13:wrap", "20:saturate"]}},
        "zero_points": ["subtract", "fold"],
    }
    shared = swept("shared", **space)
    alone(monkeypatch)
    assert swept("alone", **space) == shared


def test_ranges_of_all_bits_and_schemes_come_from_one_look(swept: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 samples in 4 batches: looked at once for extremes, once for histograms, and once for those of magnitudes."""
    batches: list[int] = []

    def counted(graph: Graph, batch: Array) -> Iterator[tuple[Node, list[Array]]]:
        batches.append(len(batch))
        return evaluate(graph, batch)

    monkeypatch.setattr(importlib.import_module("hwsim.quant.calibrate"), "evaluate", counted)
    space: dict[str, Any] = {
        "weight_bits": [8, 4],
        "ranges": ["min-max", "percentile:99.9"],
        "scheme": ["affine-activations", "symmetric-activations"],
    }
    shared = swept("shared", **space)
    assert batches == 3 * [64, 64, 64, 64]
    monkeypatch.setattr("hwsim.sweep.jobs._calibrations", lambda _source: {})
    assert swept("alone", **space) == shared
    assert len(batches) > 8 * 4
