"""A core that tests itself on a board: the whole design with its pins, and the bitstream."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from hwsim.hardware.build_cache import cached, key_of
from hwsim.hardware.synthesis import TOP, Design, Options, Routed
from hwsim.hardware.synthesis_targets import ECP5
from hwsim.hardware.synthesis_tools import Tool, run_tool
from hwsim.hardware.timing_report import failed
from hwsim.spec import Core, InputError, require

BOARDS = ("ulx3s-85f",)

BAUD = 115_200

SEED = 1
"""Of the job that the core tests itself with."""


def check_board(board: str, unit: str, options: Options) -> None:
    """Raise `InputError` unless a design can be built for this board."""
    require(board in BOARDS, "--board", ", ".join(BOARDS), board)
    require(unit == "core", "--unit", "core for a board", unit)
    require(options.target is ECP5, "--target", f"ecp5 for the board {board}", options.target.name)
    if importlib.util.find_spec("amaranth_boards") is None:
        raise InputError("amaranth-boards must be installed for this command: pip install 'hwsim[synth]'")


def title(core: Core) -> str:
    """Return how the board's line begins."""
    name = core.name.encode("ascii", "replace").decode()
    printable = "".join(letter if letter.isprintable() and letter not in "{}" else "?" for letter in name)
    return f"hwsim {printable} {core.rows}x{core.cols}"


def design(core: Core) -> Design:
    """Return the design for a ULX3S with an LFE5U-85F.

    The clock is the board's, 25 MHz. The serial line is that of the USB connector "US1"; a line comes after the
    configuration, and after each byte that is sent to the board. LED 0 is on after PASS, LED 7 after FAIL.
    """
    from amaranth.hdl import Module
    from amaranth.lib import io
    from amaranth_boards.ulx3s import ULX3S_85F_Platform

    from hwsim.hardware.self_test import self_test_case, self_test_job
    from hwsim.rtl.self_test_board import SelfTestBoard

    platform: Any = ULX3S_85F_Platform(toolchain="Trellis")
    job = self_test_job(core, self_test_case(core, SEED))
    m = Module()
    m.submodules.board = board = SelfTestBoard(core, job, title(core), round(platform.default_clk_frequency / BAUD))
    serial = platform.request("uart", 0, dir={"rx": "-", "tx": "-", "rts": "-", "dtr": "-"})
    m.submodules.rx = rx = io.Buffer("i", serial.rx)
    m.submodules.tx = tx = io.Buffer("o", serial.tx)
    m.d.comb += [board.rx.eq(rx.i), tx.o.eq(board.tx)]
    for number, lamp in ((0, board.passed), (7, board.failed)):
        m.submodules[f"led_{number}"] = led = io.Buffer("o", platform.request("led", number, dir="-"))
        m.d.comb += led.o.eq(lamp)
    files = platform.build(m, name=TOP, do_build=False, emit_src=False).files
    return Design(files[f"{TOP}.il"], files[f"{TOP}.lpf"])


def bitstream(routed: Routed) -> bytes:
    """Return what the device is configured with."""
    key = key_of(routed.files.name, Tool.ECPPACK.version)
    return cached(f"{key}.bit", lambda path: _pack(routed, path)).read_bytes()


def _pack(routed: Routed, path: Path) -> None:
    with zipfile.ZipFile(routed.files) as archive:
        archive.extract("configuration.txt", path.parent)
    arguments = ["--compress", "--input", "configuration.txt", "--bit", path.name]
    status = run_tool(Tool.ECPPACK, arguments, path.parent, "pack.log")
    if status:
        raise failed("ecppack", status, (path.parent / "pack.log").read_text("utf-8", "replace"))
