"""A bench of one's own: `mac.v` held to the kernel of hwsim, bit for bit. Runs inside the simulator; `run.py` starts it."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hwsim.cosim.axi import Monitor, Pauses, Sink, Source, Stream, run
from hwsim.cosim.scoreboard import Scoreboard
from hwsim.kernels.reduce import reduce_panel
from hwsim.spec import Reduction, Register

LANES = 4
REDUCTION = Reduction(acc=Register.parse("18:saturate"), lanes=LANES)
"""What `mac.v` claims to compute: order and registers of the sum. The kernel computes exactly that."""

DOT_PRODUCTS = 300


def beat_of(activations: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> int:
    """Pack a group as `mac.v` reads it: activations from bit 0, then weights."""
    return int.from_bytes(np.concatenate([activations, weights]).astype(np.int8).tobytes(), "little")


def draw(rng: np.random.Generator) -> list[int]:
    """Return the beats of one dot product: random, or of one sign and so large that the accumulator saturates."""
    shape = int(rng.integers(1, 9)), LANES
    if rng.random() < 0.5:
        activations, weights = rng.integers(-128, 128, shape), rng.integers(-128, 128, shape)
    else:
        activations, weights = np.full(shape, -128), np.full(shape, rng.choice([-128, 127]))
        # The last group goes back a little: a wrapped accumulator would show it, and so would one that clamps late.
        activations[-1] = rng.integers(-128, 128, LANES)
    return [beat_of(*group) for group in zip(activations, weights, strict=True)]


class Model:
    """Gives the kernel what the device accepted and tells the scoreboard what must come out."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self.scoreboard = scoreboard
        self.groups: list[np.ndarray[Any, Any]] = []
        self.dot_products = 0

    def take(self, beat: int, last: bool) -> None:
        """Collect the groups of a dot product; after the last one its sum is due."""
        self.groups.append(np.frombuffer(beat.to_bytes(2 * LANES, "little"), np.int8).astype(np.int64))
        if last:
            groups = np.array(self.groups)
            activations, weights = groups[:, :LANES].reshape(1, -1), groups[:, LANES:].reshape(-1, 1)
            expected = reduce_panel(activations, weights, None, REDUCTION)
            self.scoreboard.expect(expected[0, 0], f"dot product {self.dot_products}, {len(groups)} groups")
            self.groups.clear()
            self.dot_products += 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def equals_the_kernel(dut: Any) -> None:
    """Random dot products, with gaps in the input and with results that have to wait."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    groups, results = Stream(dut, "s_axis", last="tlast"), Stream(dut, "m_axis")
    scoreboard = Scoreboard("results")
    model = Model(scoreboard)
    source = Source(groups, Pauses(rng, 0.2, longest=5))
    monitors = (
        Monitor(groups, model.take),
        Monitor(results, lambda beat, last: scoreboard.observe(beat - (beat >> 23 << 24))),
    )
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    cocotb.start_soon(run(dut.clk, source, Sink(results, Pauses(rng, 0.2, longest=5)), *monitors))
    for _ in range(DOT_PRODUCTS):
        source.send(draw(rng), packet=True)
    while source.left:
        await ClockCycles(dut.clk, 10)
    await ClockCycles(dut.clk, 50)
    scoreboard.finish()
    assert scoreboard.compared == DOT_PRODUCTS
