"""Rows equal what `hwsim run` and `hwsim time` say; each distinct execution is done once; all pools give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeping import SMALL, export_of

from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.quant import parse_scheme, range_method
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.run import Settings, run
from hwsim.sim.time.run import time_model
from hwsim.spec import InputError
from hwsim.sweep import sweep
from hwsim.sweep.api import read_space, sweep_rows
from hwsim.sweep.jobs import Job, TimesJob, ValuesJob
from hwsim.sweep.metrics import OPERANDS
from hwsim.sweep.parameters import MACHINE, machine_of, settings_of
from hwsim.sweep.pool import InProcess, Outcome


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    results = tmp_path_factory.mktemp("swept") / "results"
    return results, sweep_rows(read_space(SMALL), results, workers=0)


def test_rows_equal_the_documents_of_run_and_time(swept: tuple[Path, list[dict[str, Any]]]) -> None:
    model, dataset = load_model("digits_cnn"), open_dataset("digits")
    rows = [row for row in swept[1] if row["status"] == "ok"]
    for row in rows[:: len(rows) // 4]:
        machine = machine_of(Settings().accelerator, {name: row[name] for name in MACHINE})
        document = run(model, dataset, Settings(machine, images=120, observed=1, reference=False))
        total = document.total
        assert (row["correct"], row["n"], row["top1"]) == (document.accuracy.correct, 120, document.accuracy.top1)
        assert row["overflow_events"] == total.overflow_events
        assert (row["cycles"], row["stall_cycles"]) == (total.cycles, total.stall_cycles)
        assert row["dram_bytes"] == total.dram_bytes.total
        times = time_model(model, machine).total
        assert (row["cycles"], row["port_bytes"]) == (times.cycles, times.port_bytes.total)
        energies = {energy.table: energy.total for energy in times.energy}
        assert row["energy_horowitz_45nm_total"] == energies["horowitz-45nm"]


def test_options_of_quantization_are_those_of_a_run(tmp_path: Path) -> None:
    """Outliers, a scheme, ranges and weights fitted to the accumulator: rows equal what `hwsim run` says, its times too."""
    space = {
        "models": [{"model": "digits_cnn", "data": "digits"}],
        "images": 30,
        "parameters": {
            "weight_bits": 3,
            "outliers": ["none", "2%"],
            "outlier_lanes": {"values": [1], "when": {"outliers": "2%"}},
            "scheme": {"values": ["none", "per-tensor"], "when": {"outliers": "none"}},
            "ranges": {"values": ["percentile:99.9"], "when": {"scheme": "per-tensor"}},
            "accumulator_aware": {"values": [True], "when": {"scheme": "none"}},
            "acc": "12:saturate",
            "bias_at": "end",
        },
    }
    model, dataset = load_model("digits_cnn"), open_dataset("digits")
    rows = sweep_rows(read_space(space), tmp_path / "results", workers=0)
    assert len(rows) == 3
    for row in rows:
        machine = machine_of(Settings().accelerator, {name: row[name] for name in MACHINE})
        scheme = parse_scheme(row["scheme"] or "")
        if row["ranges"] is not None:
            scheme = replace(scheme, activation_ranges=range_method(row["ranges"]))
        document = run(
            model, dataset,
            Settings(
                machine, images=30, observed=1, reference=False, weight_bits=3,
                outliers=None if row["outliers"] is None else OutlierRule.parse(row["outliers"]),
                scheme=scheme if row["scheme"] is not None else None, accumulator_aware=bool(row["accumulator_aware"]),
            ),
        )  # fmt: skip
        assert (row["status"], row["correct"]) == ("ok", document.accuracy.correct)
        assert row["overflow_events"] == document.total.overflow_events
        assert (row["cycles"], row["dram_bytes"]) == (document.total.cycles, document.total.dram_bytes.total)
        assert row["dram_bytes"] == sum(row[f"dram_{operand}_bytes"] for operand in OPERANDS)
        assert row["dram_outliers_bytes"] == document.total.dram_bytes.outliers
        assert (row["dram_outliers_bytes"] > 0) == (row["outliers"] is not None)


def test_points_that_cannot_be_are_rows_with_a_reason(swept: tuple[Path, list[dict[str, Any]]]) -> None:
    """14 bits that saturate cannot start from a bias below -8192; 1 KiB is too little for a tile on 16 columns."""
    failed = [row for row in swept[1] if row["status"] == "failed"]
    assert len(swept[1]) == 48
    assert all(
        ("acc must hold the bias" in row["reason"]) or ("buffers must hold a tile" in row["reason"]) for row in failed
    )
    assert {row["acc"] for row in failed if "bias" in row["reason"]} == {"14:saturate"}
    assert {row["sram_bytes"] for row in failed if "buffers" in row["reason"]} == {1024}
    assert all(row["top1"] is None for row in failed)


class Counting(InProcess):
    """A pool that remembers what it was given."""

    jobs: list[Job]

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        type(self).jobs += jobs
        yield from super().run(jobs)


def test_each_distinct_piece_of_work_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """48 points are 4 executions, and 4 widths of the accumulator on 12 machines to time."""
    Counting.jobs = []
    monkeypatch.setattr("hwsim.sweep.pool.InProcess", Counting)
    sweep_rows(read_space(SMALL), tmp_path / "results", workers=0)
    values = [job for job in Counting.jobs if isinstance(job, ValuesJob)]
    times = [point.key for job in Counting.jobs if isinstance(job, TimesJob) for point in job.machines]
    assert len(values) == len({job.key for job in values}) == 4
    assert len(times) == len(set(times)) == 48
    Counting.jobs = []
    sweep_rows(read_space(SMALL), tmp_path / "results", workers=0)
    assert Counting.jobs == []
    # More points on the same network and arithmetics: times only.
    more = {**SMALL, "parameters": {**SMALL["parameters"], "rows": [4, 8, 16, 32]}}
    assert len(sweep_rows(read_space(more), tmp_path / "results", workers=0)) == 64
    assert {type(job) for job in Counting.jobs} == {TimesJob}


def test_processes_give_the_bytes_of_one(swept: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    sweep_rows(read_space(SMALL), tmp_path / "two", workers=2)
    for ending in (".csv", ".parquet"):
        assert export_of(tmp_path / "two", ending) == export_of(swept[0], ending)


def test_a_frame_for_notebooks(swept: tuple[Path, list[dict[str, Any]]]) -> None:
    frame = sweep(SMALL, swept[0], workers=0)
    assert len(frame) == 48
    assert frame["key"].is_monotonic_increasing
    best = frame[frame.status == "ok"].sort_values(["top1", "cycles"], ascending=[False, True]).iloc[0]
    assert best.acc == "32:wrap"
    assert str(frame["correct"].dtype) == "Int64"


def test_images_are_cut_into_pieces_that_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {**SMALL, "parameters": {"acc": ["12:wrap"]}}
    whole = sweep_rows(read_space(space), tmp_path / "whole", workers=0)
    monkeypatch.setattr("hwsim.sweep.engine.IMAGES_PER_JOB", 50)
    pieces = sweep_rows(read_space(space), tmp_path / "pieces", workers=0)
    assert len(list((tmp_path / "pieces" / "values").iterdir())) == 3
    assert pieces == whole


def test_a_machine_survives_its_columns() -> None:
    from hwsim.spec import PRESETS

    for preset in PRESETS:
        back = machine_of(PRESETS[0], settings_of(preset))
        assert replace(back, name=preset.name) == preset


def test_what_a_register_does_with_an_overflow_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points that differ in it share a time, and that is what `hwsim time` says of both."""
    Counting.jobs = []
    monkeypatch.setattr("hwsim.sweep.pool.InProcess", Counting)
    space = {"models": [{"model": "digits_cnn"}], "parameters": {"acc": ["16:wrap", "16:saturate"]}}
    rows = sweep_rows(read_space(space), tmp_path / "results", workers=0)
    assert sum(job.points for job in Counting.jobs) == 1
    for row in rows:
        machine = machine_of(Settings().accelerator, {name: row[name] for name in MACHINE})
        total = time_model(load_model("digits_cnn"), machine).total
        assert (row["cycles"], row["dram_bytes"], row["port_bytes"]) == (
            total.cycles, total.dram_bytes.total, total.port_bytes.total,
        )  # fmt: skip


def test_values_that_do_not_go_together_are_failed_points(tmp_path: Path) -> None:
    """A chain needs a register of partial sums: one of the points with a chain has none."""
    space = {
        "models": [{"model": "digits_cnn"}],
        "parameters": {"chain": ["none", 8], "psum": {"values": ["none", "16:wrap"], "when": {"chain": 8}}},
    }
    rows = sweep_rows(read_space(space), tmp_path / "results", workers=0)
    assert sorted(row["status"] for row in rows) == ["failed", "ok", "ok"]
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["reason"] == (
        "psum must be given together with chain (groups per partial sum), not psum=None, chain=8 (at chain = 8, psum = none)"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": [{"model": "no_such_model"}]}, "no_such_model"),
        ({"models": [{"model": "digits_cnn", "data": "no_such_set"}]}, "data must be"),
        ({"accelerator": "no-such-machine"}, "accelerator must be"),
    ],
)
def test_what_is_missing_is_said_before_any_work(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        sweep_rows(read_space({**SMALL, **change}), tmp_path / "results", workers=0)
    assert not (tmp_path / "results").exists()
