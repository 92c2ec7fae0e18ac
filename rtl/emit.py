"""From a unit to plain Verilog."""

from __future__ import annotations

import re

from amaranth.back import verilog
from amaranth.lib import wiring

from hwsim.spec import require


def to_verilog(component: wiring.Component, name: str) -> str:
    """Return a unit as one Verilog-2005 text; the top module is `name`, the same unit gives the same text.

    A stream `s` becomes the ports ``s__payload``, ``s__valid`` and ``s__ready``. A payload is one vector: the first
    field, and in an array element 0, in the lowest bits. Units with registers get the ports ``clk`` and ``rst``
    (synchronous, active high).

    Raises
    ------
    InputError
        If `name` is no Verilog identifier.
    """
    require(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is not None, "name", "a Verilog identifier", repr(name))
    # Without source locations: they would put this machine's paths into the text.
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return text
