# amaranth: UnusedElaboratable=no
"""Sequencer in Amaranth's simulator: the slots of a job in order, whatever is missing when, and what it says it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rtl_mutation import put_mutant
from stream_sim import simulate

from hwsim.rtl import sequencer
from hwsim.spec import Arithmetic, Core, Dataflow, Overflow, Reduction, Register

OS = Dataflow.OUTPUT_STATIONARY
CHAIN = 3
PLACES = 8
MINIMUM = 6

STATIONARY = Core(rows=2, cols=2, pixels=9, outlier_lanes=1)
OUTPUT = Core(
    dataflow=OS, rows=2, cols=2,
    arithmetic=Arithmetic(Reduction(chain=CHAIN, psum=Register(16, Overflow.WRAP))),
)  # fmt: skip
JOBS = ((1, 1, 1), (9, 1, 3), (5, 2, 2), (6, 3, 1), (7, 1, 4))
"""Pixels, K tiles, output tiles; output stationary: K tiles, and output tiles twice."""

Slot = dict[str, int]


def weight_stationary(pixels: int, k_tiles: int, tiles: int) -> Iterator[Slot]:
    """The slots as nested loops; a field that says nothing about a padding slot is left out there."""
    for tile in range(tiles):
        for k in range(k_tiles):
            for slot in range(max(pixels, MINIMUM)):
                common = {"real": slot < pixels, "first": k == 0, "last": k == k_tiles - 1, "swap": slot == 0}
                end = slot == pixels - 1 and k == k_tiles - 1
                own = {"pixel": slot, "end": end, "final": end and tile == tiles - 1, "set": tile % 2}
                yield common | own if slot < pixels else common


def output_stationary(k_tiles: int, _: int, tiles: int) -> Iterator[Slot]:
    for tile in range(tiles):
        for k in range(max(k_tiles, MINIMUM)):
            last = k == k_tiles - 1
            own = {
                "first": k == 0, "last": last, "end": last, "final": last and tile == tiles - 1, "set": tile % 2,
                "commit": last or k % CHAIN == CHAIN - 1,
            }  # fmt: skip
            yield {"real": k < k_tiles} | (own if k < k_tiles else {})


def check(core: Core, share: float) -> None:
    """Run the jobs one behind the other; `share` of the time something is missing."""
    dut = sequencer.Sequencer(core, MINIMUM, PLACES)
    needs = ["weights", "activations", *(["outliers"] if core.outlier_lanes else [])]
    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    rows_per_slot = 1 if stationary else core.rows
    rng = np.random.default_rng(0)

    async def run(ctx: Any) -> None:
        parity = 0
        for job in JOBS:
            wanted = list((weight_stationary if stationary else output_stationary)(*job))
            count, k_tiles, tiles = job
            limits = {"real": count - 1, "slot": max(count, MINIMUM) - 1, "tile": tiles - 1, "k": k_tiles - 1}
            ctx.set(dut.limits, limits)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            rows = previous = at = quiet = 0
            while quiet < 9:
                there = {name: int(rng.random() >= share) for name in needs}
                for name, value in there.items():
                    ctx.set(getattr(dut, name), value)
                pop = int(rows > 0 and rng.random() >= share)
                ctx.set(dut.popped, pop)
                slot = wanted[at] if at < len(wanted) else {}
                starts = slot.get("swap" if stationary else "real", 0)
                yields = slot and slot["real"] and slot["last"]
                missing = {
                    "weights": starts and not there["weights"],
                    "outliers": starts and not there.get("outliers", 1),
                    "activations": slot and slot["real"] and not there["activations"],
                    "results": yields and PLACES - rows < rows_per_slot,
                }
                first = next((name for name, lacking in missing.items() if lacking), None)
                _, _, issue, consume, waits, issued = await ctx.tick().sample(
                    dut.issue, dut.consume, dut.waits, dut.slot
                )
                assert issue == (bool(slot) and first is None)
                assert consume == (issue and slot["real"])
                assert {name: waits[name] for name in missing} == {name: int(name == first) for name in missing}
                assert issued.valid == previous
                if previous:
                    given = {name: issued[name] ^ (parity if name == "set" else 0) for name in wanted[at - 1]}
                    assert given == {name: int(value) for name, value in wanted[at - 1].items()}
                rows += rows_per_slot * int(bool(issue and yields)) - pop
                previous = issue
                at += issue
                # A slot beyond the last would show in these cycles.
                quiet = quiet + 1 if at == len(wanted) else 0
            parity ^= tiles % 2
            # The rows of the next job find all places free.
            for _ in range(rows):
                ctx.set(dut.popped, 1)
                await ctx.tick()
            ctx.set(dut.popped, 0)

    simulate(dut, run)


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("core", [STATIONARY, OUTPUT], ids=["ws", "os"])
def test_slots_in_order(core: Core, share: float) -> None:
    check(core, share)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "last_real.eq(position.index.slot + 1 == self.limits.real)",
            "last_real.eq(position.index.slot == self.limits.real)",
        ),
        ("self.slot.final.eq(yields & last_real & position.last.tile)", "self.slot.final.eq(position.last.tile)"),
        ("held = held | missing[name]", "held = missing[name]"),
        ("places.take.eq(self.issue & yields)", "places.take.eq(self.issue)"),
    ],
)
def test_a_mistake_is_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, sequencer, old, new)
    with pytest.raises(AssertionError):
        check(STATIONARY, 0.4)
