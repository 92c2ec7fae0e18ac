# amaranth: UnusedElaboratable=no
"""The latencies that the time model takes from a configuration are those of the hardware built for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from hwsim.dataflow import CoreTiming
from hwsim.rtl import GemmCore
from hwsim.spec import BUILT_DATAFLOWS, Arithmetic, BiasAt, Core, Dataflow, Format, Profile, Reduction, Register


def check(core: Core, timing: CoreTiming) -> None:
    built = GemmCore(core)
    assert timing.engine_latency == built.engine_latency
    assert timing.minimum_slots == built.minimum_slots
    assert timing.fifo_depth == built.fifo_depth
    assert timing.row_pace == built.results.pace_cycles
    assert timing.result_latency == built.results.beat_cycles


def reductions(rows: int) -> list[Reduction]:
    """Return all kinds that a latency may depend on."""
    found = []
    for lanes, chained, bits, bias_at in product((1, 2, 5), (False, True), (18, 32, 36, 37, 48), BiasAt):
        chain, psum = (rows, Register.parse("20:wrap")) if chained else (None, None)
        found.append(Reduction(Register.parse(f"{bits}:wrap"), lanes, None, chain, psum, bias_at))
    return found


@pytest.mark.parametrize("dataflow", BUILT_DATAFLOWS)
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 8), (8, 6), (9, 2)])
def test_latencies_are_those_of_the_hardware(dataflow: Dataflow, rows: int, cols: int) -> None:
    """All reductions; profiles, outlier lanes, buses and outputs in turn."""
    for i, reduction in enumerate(reductions(rows)):
        profile = (Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.POWER_OF_TWO)[i // 7 % 3]
        core = Core(
            dataflow=dataflow, rows=rows, cols=cols, arithmetic=Arithmetic(reduction, profile),
            output=(None, Format(8), Format(8, signed=False))[i % 4 - 1] if i % 4 else Format(16),
            outlier_lanes=i % 5 if dataflow is Dataflow.WEIGHT_STATIONARY else 0, pixels=64,
            requantizers=1 if i % 3 else None, result_bus_bits=None if i % 2 else 16 * reduction.acc.bits,
        )  # fmt: skip
        check(core, CoreTiming.of(core))


@pytest.mark.parametrize("field", ["engine_latency", "minimum_slots", "fifo_depth", "row_pace", "result_latency"])
def test_another_latency_is_seen(field: str) -> None:
    core = Core(rows=2, cols=3)
    timing = CoreTiming.of(core)
    check(core, timing)
    with pytest.raises(AssertionError):
        check(core, replace(timing, **{field: getattr(timing, field) + 1}))
