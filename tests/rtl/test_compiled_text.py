"""On the way to machine code: wires that are cut, phrases that are rewritten, cells in machine integers, the cache."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled import needs_compiler, own_cache

from hwsim.hardware import build_cache, model
from hwsim.hardware.hasten import hasten
from hwsim.hardware.netlist import split_wires
from hwsim.spec import InputError

__all__ = ["own_cache"]

NETLIST = """\
attribute \\top 1
module \\gemm_core
  wire width 4 input 1 \\a
  wire input 2 \\clk
  wire width 8 output 3 \\y
  attribute \\init 8'10100011
  wire width 8 \\pair
  wire width 4 $sum
  cell $add $1
    parameter \\A_SIGNED 0
    connect \\A \\pair [7:4]
    connect \\B 4'1
    connect \\Y $sum
  end
  cell $sdff $2
    parameter \\CLK_POLARITY 1
    parameter \\SRST_POLARITY 1
    parameter \\SRST_VALUE 8'01100101
    parameter \\WIDTH 8
    connect \\CLK \\clk
    connect \\D { $sum \\a }
    connect \\Q \\pair
    connect \\SRST \\a [0]
  end
  connect \\y [3:0] \\pair [5:2]
  connect \\y [7:4] { 2'x \\a [3:2] }
end
"""

CUT = """\
attribute \\top 1
module \\gemm_core
  wire width 4 input 1 \\a
  wire input 2 \\clk
  wire width 4 $part\\y$0
  wire width 4 $part\\y$4
  wire width 8 output 3 \\y
  connect \\y { $part\\y$4 $part\\y$0 }
  attribute \\init 4'0011
  wire width 4 $part\\pair$0
  attribute \\init 4'1010
  wire width 4 $part\\pair$4
  wire width 4 $sum
  cell $add $1
    parameter \\A_SIGNED 0
    connect \\A $part\\pair$4 [3:0]
    connect \\B 4'0001
    connect \\Y $sum
  end
  cell $sdff $2$0
    parameter \\CLK_POLARITY 1
    parameter \\SRST_POLARITY 1
    parameter \\SRST_VALUE 4'0101
    parameter \\WIDTH 4
    connect \\CLK \\clk
    connect \\D \\a
    connect \\Q $part\\pair$0 [3:0]
    connect \\SRST \\a [0]
  end
  cell $sdff $2$4
    parameter \\CLK_POLARITY 1
    parameter \\SRST_POLARITY 1
    parameter \\SRST_VALUE 4'0110
    parameter \\WIDTH 4
    connect \\CLK \\clk
    connect \\D $sum
    connect \\Q $part\\pair$4 [3:0]
    connect \\SRST \\a [0]
  end
  connect $part\\y$0 [3:0] { $part\\pair$4 [1:0] $part\\pair$0 [3:2] }
  connect $part\\y$4 [3:0] { 2'xx \\a [3:2] }
end
"""

MODEL = """\
struct p_gemm__core : public module {
\twire<4> p_a;
\t/*output*/ wire<2> p_y;
\tmemory<9> memory_p_m { 16u };
\t\tprev_p_clk = p_clk;
\t\tif (p_a.commit(observer)) changed = true;
\t\tif (p_y.commit(observer)) changed = true;
\t\tif (memory_p_m.commit(observer)) changed = true;
\tp_a = wire<4>{0u};
\tbool converged = true;
\tbool posedge_p_clk = this->posedge_p_clk();
\t\tp_a.next = add_uu<4>(p_a.curr, p_y.curr);
\t\t\tmemory_p_m.update(tmp.index, p_a.curr.slice<3,0>().concat(p_b).val(), p_en.repeat<9>().val(), 0);
"""

HASTENED = """\
struct p_gemm__core : public module {
\tstruct Registers {
\t\tvalue<4> p_a;
\t};
\tRegisters now, then;
\t/*output*/ wire<2> p_y;
\tmemory<9> memory_p_m { 16u };
\t\tnow = then;
\t\tif (p_y.commit(observer)) changed = true;
\t\tif (memory_p_m.commit(observer)) changed = true;
\tnow.p_a = then.p_a = value<4>{0u};
\tbool converged = true;
\tconstexpr bool posedge_p_clk = true;
\t\tthen.p_a = add_uu<4>(now.p_a, p_y.curr);
\t\t\tif (const value<9> mask = p_en.repeat<9>().val(); mask) memory_p_m.update(tmp.index, \
now.p_a.slice<3,0>().concat(p_b).val(), mask, 0);
"""


def test_wires_are_cut_where_their_drivers_and_sources_meet() -> None:
    assert split_wires(NETLIST) == CUT


def test_bits_of_one_source_stay_together() -> None:
    """A sign that is repeated, or bits of one wire in another order, are no fields."""
    text = NETLIST.replace("{ $sum \\a }", "{ \\a [3] \\a [3] \\a [3] \\a [3] \\a }")
    assert "$part\\pair" not in split_wires(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [("  cell $add $1\n", "  process $p\n  cell $add $1\n"), ("4'1\n", "4'1 ; x\n"), ("\\a [0]\n", "\\a [0] %\n")],
)
def test_a_netlist_that_is_not_understood_is_refused(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=r"processes|no signal of RTLIL"):
        split_wires(NETLIST.replace(old, new))


def test_registers_are_gathered_and_writes_guarded() -> None:
    assert hasten(MODEL) == HASTENED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("converged = true", "converged = false", "one evaluation must settle a model"),
        ("this->posedge_p_clk()", "posedge(p_clk)", "must be in a model 1 times, not 0"),
        ("prev_p_clk = p_clk;", "", "must be in a model 1 times, not 0"),
        ("p_en.repeat<9>().val(), 0);", "p_en.repeat<9>().val());", "four arguments"),
    ],
)
def test_text_that_is_not_as_expected_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hasten(MODEL.replace(old, new))


MASK = "(Word(1) << (Bits % (sizeof(Word) * 8))) - 1;"
"""The bits of a machine word that belong to a value."""


def _comparisons(namespace: str, draws: int) -> str:
    """Return calls that compare cells of a namespace with CXXRTL's own, at random widths around those of machine words."""
    rng = np.random.default_rng(0)
    widths = [1, 2, 7, 16, 31, 32, 33, 48, 63, 64, 65, 79, 96, 127, 128, 129, 160]
    lines = []
    for _ in range(draws):
        y, a, b = (int(width) for width in rng.choice(widths, 3))
        cells = [f"{name}_{sign}" for name in ("add", "sub", "mul") for sign in ("ss", "uu")]
        lines += [f"bad += differ<{y}, {a}, {b}>(CELLS({namespace}, {cell}, {y}));" for cell in cells]
        cells = [f"{name}_{sign}" for name in ("eq", "ne", "lt", "le", "gt", "ge") for sign in ("ss", "uu")]
        lines += [f"bad += differ<1, {a}, {b}>(CELLS({namespace}, {cell}, 1));" for cell in cells]
        lines.append(f"bad += differ<{y}, {a}, {min(b, 9)}>(CELLS({namespace}, sshr_su, {y}));")
    return " ".join(lines)


def _cells_source() -> str:
    cells = (Path(model.__file__).parent / "cells.h").read_text("utf-8")
    assert cells.count(MASK) == 1
    wrong = cells.replace("cxxrtl_design", "wrong_cells").replace(MASK, MASK.replace("1)", "2)"))
    return f"""{cells}
{wrong}
#define CELLS(space, name, y) \\
    [](auto a, auto b) {{ return space::name<y>(a, b); }}, [](auto a, auto b) {{ return cxxrtl_yosys::name<y>(a, b); }}
static uint64_t state = 88172645463325252u;
static uint32_t draw() {{
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    const uint32_t kinds[] = {{0u, ~0u, uint32_t(state >> 32), uint32_t(state >> 32), 1u << (state & 31)}};
    return kinds[(state >> 8) % 5];
}}
template <size_t Bits> static cxxrtl::value<Bits> any() {{
    cxxrtl::value<Bits> result;
    for (auto &chunk : result.data) chunk = draw();
    result.data[cxxrtl::value<Bits>::chunks - 1] &= cxxrtl::value<Bits>::msb_mask;
    return result;
}}
template <size_t Y, size_t A, size_t B, class Ours, class Theirs> static int differ(Ours ours, Theirs theirs) {{
    int found = 0;
    for (int i = 0; i < 300; i++) {{
        cxxrtl::value<A> a = any<A>();
        cxxrtl::value<B> b = i % 4 ? any<B>() : a.template zcast<B>();
        cxxrtl::value<Y> mine = ours(a, b), other = theirs(a, b);
        found += mine != other;
    }}
    return found;
}}
extern "C" int compare() {{ int bad = 0; {_comparisons("cxxrtl_design", 12)} return bad; }}
extern "C" int compare_wrong() {{ int bad = 0; {_comparisons("wrong_cells", 4)} return bad; }}
"""


@needs_compiler
def test_cells_are_those_of_cxxrtl() -> None:
    """And a cell that does not cut its result to its width is not."""
    found = ctypes.CDLL(str(build_cache.shared_library(_cells_source(), [model.runtime_headers()])))
    assert found.compare() == 0
    assert found.compare_wrong() > 0


@pytest.fixture
def fresh_compiler(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No compiler is known yet, nor after the test."""
    build_cache.compiler.cache_clear()
    monkeypatch.setattr(build_cache, "compiler", build_cache.compiler.__wrapped__)
    return monkeypatch


def test_without_a_compiler_the_line_says_what_to_install(fresh_compiler: pytest.MonkeyPatch) -> None:
    fresh_compiler.delenv("CXX", raising=False)
    fresh_compiler.setenv("PATH", "")
    with pytest.raises(InputError, match=r"^compiled RTL needs a C\+\+ compiler .*apt install g\+\+$"):
        build_cache.compiler()
    fresh_compiler.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(InputError, match=r"^CXX must be the command of a C\+\+ compiler, not 'no-such-compiler -O2'$"):
        build_cache.compiler()


@needs_compiler
def test_cxx_is_the_compiler(fresh_compiler: pytest.MonkeyPatch) -> None:
    fresh_compiler.setenv("CXX", "c++ -fno-plt")
    assert build_cache.compiler() == ("c++", "-fno-plt")


@needs_compiler
def test_a_text_that_does_not_compile_leaves_nothing(own_cache: Path) -> None:
    with pytest.raises(InputError, match=r"failed: .*error"):
        build_cache.shared_library("int broken(", [])
    assert not list(own_cache.glob("*.so")) and not list(own_cache.glob(".making*"))


def test_parts_of_a_key_do_not_run_together() -> None:
    assert len({build_cache.key_of(*parts) for parts in (("a", "bc"), ("ab", "c"), ("abc",), (b"abc",))}) == 3


def test_several_processes_build_once(tmp_path: Path) -> None:
    """Each writes its number into a log when it builds; only one may, and all see the whole file."""
    code = f"""
import sys, time
from pathlib import Path
from hwsim.hardware import build_cache
def make(path):
    with Path({str(tmp_path / "log")!r}).open("a") as log:
        log.write(sys.argv[1])
    time.sleep(0.3)
    path.write_text("whole")
print(build_cache.cached("file", make).read_text(), end="")
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(i)], env=environment, stdout=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    assert [run.communicate(timeout=120)[0] for run in runs] == ["whole"] * 4
    assert len((tmp_path / "log").read_text()) == 1
