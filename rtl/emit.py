"""From a unit to plain Verilog."""

from __future__ import annotations

import re

from amaranth.back import verilog
from amaranth.lib import wiring

from hwsim.spec import require

_ALWAYS_FLAG = re.compile(r"^( *)reg (\\\$auto\$verilog_backend\S+ ) *= 0;$", re.MULTILINE)
"""What Yosys puts into every combinational block to have it evaluated at time 0."""


def to_verilog(component: wiring.Component, name: str) -> str:
    """Return a unit as one Verilog-2005 text; the top module is `name`, the same unit gives the same text.

    A stream `s` becomes the ports ``s__payload``, ``s__valid`` and ``s__ready``. A payload is one vector: the first
    field, and in an array element 0, in the lowest bits. Units with registers get the ports ``clk`` and ``rst``
    (synchronous, active high). It means the same as Verilog and as SystemVerilog.

    Raises
    ------
    InputError
        If `name` is no Verilog identifier.
    """
    require(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is not None, "name", "a Verilog identifier", repr(name))
    # Without source locations: they would put this machine's paths into the text.
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return _settled(text)


def _settled(verilog: str) -> str:
    """Make every combinational block run at time 0 in simulators that read the text as SystemVerilog, too.

    Yosys counts on a change of a register that is declared with a value. In Verilog that is a change at time 0; in
    SystemVerilog (``iverilog -g2012``) the register has the value before anything runs, and outputs of blocks whose inputs
    do not change either stay undefined. An ``initial`` block means the same in both.
    """
    return _ALWAYS_FLAG.sub(r"\1reg \2;\n\1initial \2= 0;", verilog)
