# amaranth: UnusedElaboratable=no
"""Whole jobs on a `GemmCore` in Amaranth's simulator: results, events, beats and cycles, pauses, resets, mistakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gemm_core_configurations import DEFAULT, core
from gemm_core_sim import SLVERR, CoreBench, Pauses, Resettable, check_case, run_cases
from random_cores import random_core
from rtl_mutation import put_mutant
from stream_sim import simulate

from hwsim.cosim.golden import GemmCase
from hwsim.cosim.stimulus import flood_case, outlier_case, random_case, results_can_wait
from hwsim.cosim.streams import to_streams
from hwsim.rtl import (
    GemmCore,
    activation_loader,
    gemm_core,
    outlier_loader,
    parameter_sets,
    requantize_rows,
    result_path,
    sequencer,
    to_verilog,
    weight_loader,
)
from hwsim.spec import BiasAt, Core, Dataflow, Format
from hwsim.spec.register_map import CONTROL_START, COUNTERS, REGISTERS, SETTINGS, counter_address

OS = Dataflow.OUTPUT_STATIONARY

CORNERS: tuple[Core, ...] = (
    core("ws_1x1", 1, 1, "16:wrap", pixels=2, outlier_lanes=1),
    core("os_1x1_lanes4", 1, 1, "18:saturate", dataflow=OS, lanes=4, activation_bus_bits=8, weight_bus_bits=8),
    core("ws_no_records", 2, 3, "16:wrap", output=None, bias_at=BiasAt.END, result_bus_bits=16),
    core("os_no_records", 2, 2, "16:wrap", dataflow=OS, output=None, bias_at=BiasAt.END, result_bus_bits=16),
    core("ws_wide_buses", 2, 2, "18:wrap", weight_bus_bits=128, activation_bus_bits=64, result_bus_bits=96),
    core("os_few_requantizers", 2, 4, "17:wrap", dataflow=OS, requantizers=1, bias_at=BiasAt.END, count_events=False),
)  # fmt: skip


def cases_of(configuration: Core, count: int, seed: int = 0) -> list[Any]:
    return [random_case(configuration, np.random.default_rng([seed, i])) for i in range(count)]


def many_tiles(configuration: Core) -> GemmCase:
    """A case with many output tiles of one K tile each, whose parameters differ."""
    rng = np.random.default_rng(4)
    case = random_case(configuration, rng)
    chosen = rng.integers(case.shape[2], size=64 * configuration.cols)
    columns = {name: getattr(case, name)[chosen] for name in ("bias", "multiplier", "shift")}
    depth = configuration.tile_products
    return replace(
        case,
        activations=case.activations[: configuration.tile_pixels, :depth],
        weights=case.weights[:depth, chosen],
        outliers=None,
        **columns,
    )


@pytest.mark.parametrize("configuration", DEFAULT + CORNERS, ids=lambda c: c.name)
def test_equals_the_kernels_in_the_cycles_predicted(configuration: Core) -> None:
    run_cases(configuration, cases_of(configuration, 3))


@pytest.mark.parametrize("configuration", DEFAULT + CORNERS, ids=lambda c: c.name)
def test_equals_the_kernels_with_pauses(configuration: Core) -> None:
    shares = np.random.default_rng(configuration.rows).choice([0.2, 0.5, 0.7], 4)
    counters = run_cases(configuration, cases_of(configuration, 2, seed=1), pauses=Pauses(*shares))
    assert counters["WAIT_WEIGHTS"] > 0


@pytest.mark.parametrize("seed", range(8))
def test_any_core(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_core(rng)
    cases = [random_case(configuration, rng) for _ in range(2)]
    run_cases(configuration, cases, seed, None if seed % 2 else Pauses(*rng.choice([0, 0.5, 0.9], 4)))


@pytest.mark.parametrize("configuration", [CORNERS[3], DEFAULT[2]], ids=lambda c: c.name)
def test_results_that_nobody_takes(configuration: Core) -> None:
    """More rows than there is room for, all of them ready: the array stops, and goes on where it stopped."""
    assert results_can_wait(configuration)
    case = flood_case(configuration, np.random.default_rng(0))
    counters = run_cases(configuration, [case], pauses=Pauses(results=0.95))
    assert counters["WAIT_RESULTS"] > 0


@pytest.mark.parametrize("name", ["weights", "activations", "outliers"])
def test_each_wait_is_counted(name: str) -> None:
    """One stream is slow: most cycles wait for it."""
    cases = cases_of(CORNERS[0], 2, seed=5)
    counters = run_cases(CORNERS[0], cases, pauses=Pauses(**{name: 0.97}))
    waits = {other: counters[other] for other in COUNTERS if other.startswith("WAIT_")}
    assert max(waits, key=waits.__getitem__) == f"WAIT_{name.upper()}"


@pytest.mark.parametrize("configuration", [DEFAULT[2], DEFAULT[3]], ids=lambda c: c.name)
def test_reset_at_any_time(configuration: Core) -> None:
    """After a reset in the middle of a job nothing is left: registers are zero, the next job is as the first."""
    dut = GemmCore(configuration)
    bench, top = CoreBench(dut), Resettable(dut)
    case = cases_of(configuration, 1, seed=3)[0]
    streams = to_streams(configuration, case)
    first = streams.jobs[0]

    async def reset(ctx: Any) -> None:
        ctx.set(top.domain.rst, 1)
        bench.clear()
        await ctx.tick()
        ctx.set(top.domain.rst, 0)

    async def run(ctx: Any) -> None:
        for cycles in (0, 1, 2, 9, 20, 33, 45, 60, 77, 95, 120):
            bench.queue(first)
            await bench.start(ctx, first)
            for _ in range(cycles):
                await ctx.tick()
            await reset(ctx)
            assert not ctx.get(dut.m_axis_results_tvalid)
            assert [await bench.read(ctx, REGISTERS[name]) for name in ("STATUS", *SETTINGS)] == [0] * 9
            assert [await bench.read(ctx, counter_address(name)) for name in ("CYCLES", "BEATS_WEIGHTS")] == [0, 0]
        jobs = []
        for sent in streams.jobs:
            bench.queue(sent)
            jobs.append(await bench.start(ctx, sent))
            await bench.finish(ctx)
        check_case(configuration, case, streams, jobs, exact=True)
        bench.stop = True

    simulate(top, bench.drive, run)


@pytest.mark.parametrize("configuration", [DEFAULT[2], DEFAULT[4], CORNERS[2]], ids=lambda c: c.name)
def test_no_port_follows_another_within_a_cycle(configuration: Core) -> None:
    """But for ready, which may follow what its own unit consumes: that is a register's business, too."""
    dut = GemmCore(configuration)
    bench = CoreBench(dut, pauses=Pauses.everywhere(0.4))
    rng = np.random.default_rng(0)
    members = dut.signature.members
    inputs = [name for name, member in members.items() if member.flow.name == "In"]
    outputs = [name for name in members if name not in inputs]
    streams = to_streams(configuration, cases_of(configuration, 1)[0])

    def probe(ctx: Any) -> None:
        before = {name: ctx.get(bench.pin(name)) for name in outputs}
        held = {name: ctx.get(bench.pin(name)) for name in inputs}
        for name, value in held.items():
            width = len(bench.pin(name))
            ctx.set(bench.pin(name), value ^ int(rng.integers(1, 1 << min(width, 8))))
        assert {name: ctx.get(bench.pin(name)) for name in outputs} == before
        for name, value in held.items():
            ctx.set(bench.pin(name), value)

    async def run(ctx: Any) -> None:
        bench.probe = probe
        for sent in streams.jobs[:1]:
            bench.queue(sent)
            await bench.start(ctx, sent)
            await bench.finish(ctx)
        bench.stop = True

    simulate(dut, bench.drive, run)


def test_writes_are_refused_during_a_job() -> None:
    configuration = CORNERS[0]
    streams = to_streams(configuration, cases_of(configuration, 1)[0])
    bench = CoreBench(GemmCore(configuration))

    async def run(ctx: Any) -> None:
        sent = streams.jobs[0]
        await bench.start(ctx, sent)
        for name, value in (("K_TILES", 9), ("CONTROL", CONTROL_START), ("CONTROL", 0)):
            assert await bench.write(ctx, REGISTERS[name], value) == SLVERR
        bench.queue(sent)
        await bench.finish(ctx)
        assert await bench.read(ctx, REGISTERS["K_TILES"]) == sent.registers["K_TILES"]
        bench.stop = True

    simulate(bench.dut, bench.drive, run)


@pytest.mark.parametrize(
    "configuration",
    [
        core("extremes", 1, 1, "48:saturate", lanes=16, tree="40:wrap", activation=Format(16), weight_bits=16,
             dataflow=OS, activation_bus_bits=16, weight_bus_bits=512),
        core("extremes", 3, 1, "10:wrap", activation=Format(2), weight_bits=3, outlier_lanes=8, outlier_bits=2,
             output=Format(16), pixels=65536, max_left_shift=30, zero_points=None),
    ],
    ids=["os", "ws"],
)  # fmt: skip
def test_extreme_cores_become_verilog(configuration: Core) -> None:
    text = to_verilog(GemmCore(configuration), configuration.name)
    assert "module extremes(" in text


SLOW_RESULTS = Pauses(results=0.9)
SLOW_OUTLIERS = Pauses(outliers=0.9)

MISTAKES: list[tuple[Any, str, str, Core, Pauses | None]] = [
    # The parameters of the wrong output tile.
    (sequencer, "parity ^ tile_ends", "parity", DEFAULT[0], None),
    (sequencer, "yields & last_real & position.last.tile", "yields & last_real", DEFAULT[0], None),
    (sequencer, "real & ~last_real", "real", DEFAULT[5], None),
    (sequencer, "first & ~self.outliers if", "first & 0 if", DEFAULT[2], SLOW_OUTLIERS),
    (sequencer, "last_link | last_real", "last_link", DEFAULT[3], None),
    (sequencer, "yields & ~places.room", "C(0)", DEFAULT[2], SLOW_RESULTS),
    # Overruns the weights that wait to be used.
    (weight_loader, "vectors & ~self.loaded", "vectors", DEFAULT[0], None),
    # Takes the next job's beats.
    (weight_loader, "active.eq(~position.last.tile)", "active.eq(1)", DEFAULT[0], None),
    (parameter_sets, "self.free & (oldest == i)", "self.free & (oldest != i)", DEFAULT[0], None),
    # Columns swapped.
    (parameter_sets, "(position.index.lane == lane)", "(position.index.lane == self.lanes - 1 - lane)",
     DEFAULT[0], None),
    (outlier_loader, "outlier.value.eq(0)", "outlier.value.eq(outlier.value)", DEFAULT[2], None),
    (activation_loader, "activation - self.zero_point if subtract else activation", "activation", DEFAULT[0], None),
    (activation_loader, "unpacker.completed & position.finish", "unpacker.completed & position.last.real", DEFAULT[0],
     None),
    (requantize_rows, "chosen ^ (tags.last & end)", "chosen ^ tags.last", DEFAULT[2], None),
    # No tlast.
    (requantize_rows, "tags.final.eq(final)", "tags.final.eq(0)", DEFAULT[2], None),
    (requantize_rows, "free & places.room", "free", DEFAULT[2], SLOW_RESULTS),
    (result_path, "self.popped & rows.payload.end", "self.popped", CORNERS[0], SLOW_RESULTS),
    (gemm_core, "beats.valid & beats.ready & beats.payload.last", "beats.valid & beats.payload.last", DEFAULT[0],
     Pauses(results=0.99)),
    (gemm_core, "counters.clear.eq(registers.start)", "counters.clear.eq(0)", DEFAULT[1], None),
]  # fmt: skip


@pytest.mark.parametrize(("module", "old", "new", "configuration", "pauses"), MISTAKES)
def test_a_mistake_is_seen(
    monkeypatch: pytest.MonkeyPatch, module: Any, old: str, new: str, configuration: Core, pauses: Pauses | None
) -> None:
    put_mutant(monkeypatch, module, old, new)
    rng = np.random.default_rng(0)
    cases = cases_of(configuration, 2)
    if configuration.outlier_lanes:
        cases.insert(0, outlier_case(configuration, rng))
    if pauses is SLOW_RESULTS:
        cases += [flood_case(configuration, rng), many_tiles(configuration)]
    dut = vars(gemm_core)["GemmCore"](configuration)
    with pytest.raises(AssertionError):
        run_cases(configuration, cases, pauses=pauses, dut=dut)
