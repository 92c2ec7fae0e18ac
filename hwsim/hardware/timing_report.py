"""What nextpnr found out about a design's clocks: how fast, and through what the slowest path goes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CLOCK = re.compile(r"^(?:\$glbnet\$)?(.*?)(?:\$TRELLIS_IO_IN|\$SB_IO_IN(?:_\$glb_clk)?|_\$glb_clk)?$")
"""The name of a clock inside of what nextpnr makes of it."""

_ELEMENTS = (
    ("carry bit", r"FCO|COUT|CO"),
    ("LUT", r"F\d?|OFX\d?|Z|O|S\d?"),
    ("multiplier", r"P\d+"),
    ("RAM", r"DO.*|R?DATA.*"),
)
"""What a path goes through, by the pin at which it comes out."""

_ENDS = (
    ("clock enable", r"CE.*|CEN"),
    ("reset", r"LSR|SR|RST.*"),
    ("RAM", r"AD.*|DI[AB]\d+|WRE|WE.*|OCE.*|W[AD]\d|WADDR.*|WDATA.*"),
)
"""What a path ends at, by its pin; other pins are the data of a flip-flop, or of the cell that has one."""


@dataclass(frozen=True)
class Step:
    """One part of a path.

    Parameters
    ----------
    kind
        ``clk-to-q``, ``routing``, ``logic`` or ``setup``.
    delay_ns
        Of this part.
    net
        Of routing: its name, as far as it has one in the RTL; else None.
    pin
        Where the part ends.
    """

    kind: str
    delay_ns: float
    net: str | None
    pin: str


@dataclass(frozen=True)
class Path:
    """The slowest path of a clock."""

    clock: str
    steps: tuple[Step, ...]

    def delay_ns(self, *kinds: str) -> float:
        """Return the delay, or that of some kinds of steps."""
        return sum(step.delay_ns for step in self.steps if not kinds or step.kind in kinds)

    def words(self) -> str:
        """Say where it begins, what it goes through and where it ends, in one sentence."""
        routing = self.delay_ns("routing")
        nets = [step.net for step in self.steps if step.kind == "routing"]
        start = nets[0] if nets and nets[0] else "a register"
        named = [net for net, _ in itertools.groupby(net for net in nets[1:] if net and net != start)]
        through = [f"{count} {what}{'s' if count > 1 else ''}" for what, count in self._elements()]
        text = f"{self.delay_ns():.1f} ns, {routing:.1f} of it routing: from {start}"
        text += f" through {', '.join(through)}" if through else ""
        text += f" to {_kind(self.steps[-1].pin, _ENDS, 'a register')}"
        return text + (f" (nets: {', '.join(named)})" if named else "")

    def _elements(self) -> list[tuple[str, int]]:
        passed = [_kind(step.pin, _ELEMENTS, "cell") for step in self.steps if step.kind == "logic"]
        return [(what, len(list(group))) for what, group in itertools.groupby(passed)]


def _kind(pin: str, kinds: Sequence[tuple[str, str]], other: str) -> str:
    return next((what for what, pattern in kinds if re.fullmatch(pattern, pin)), other)


@dataclass(frozen=True)
class TimingReport:
    """Of a routed design.

    Parameters
    ----------
    fmax_mhz
        By clock.
    path
        The slowest one of the slowest clock, or None where no path begins and ends at it.
    used, available
        Parts of the device by nextpnr's names.
    """

    fmax_mhz: dict[str, float]
    path: Path | None
    used: dict[str, int]
    available: dict[str, int]


def read_report(document: Mapping[str, Any]) -> TimingReport:
    """Return the content of the file that nextpnr's option ``--report`` writes."""
    fmax = {clock_name(name): float(entry["achieved"]) for name, entry in document["fmax"].items()}
    paths = {
        clock_name(found["from"].partition(" ")[2]): found
        for found in document["critical_paths"]
        if found["from"] == found["to"] and found["from"].startswith(("posedge ", "negedge "))
    }
    slowest = min(fmax, key=lambda name: fmax[name], default=None)
    path = None if slowest not in paths else Path(str(slowest), tuple(_steps(paths[slowest]["path"])))
    utilization = document["utilization"]
    used, available = ({name: int(entry[key]) for name, entry in utilization.items()} for key in ("used", "available"))
    return TimingReport(fmax, path, used, available)


def _steps(path: Sequence[Mapping[str, Any]]) -> list[Step]:
    return [
        Step(part["type"], round(float(part["delay"]), 3), _net_name(part.get("net")), part["to"]["port"])
        for part in path
    ]


def clock_name(net: str) -> str:
    """Return a clock's name in the RTL.

    >>> clock_name("$glbnet$clk$TRELLIS_IO_IN"), clock_name("clk$SB_IO_IN_$glb_clk")
    ('clk', 'clk')
    """
    found = _CLOCK.match(net)
    return found[1] if found and found[1] else net


def _net_name(net: str | None) -> str | None:
    """Return a net's name without what tools added, or None if nothing of it is from the RTL.

    Yosys numbers equal names (``pe$12.sum``), and calls what it made itself by names with its own functions in them.
    """
    if net is None or net.startswith("$"):
        return None
    return re.sub(r"\$\d+", "", net).removeprefix("unit.")


def refusal(log: str) -> str | None:
    """Return what nextpnr did not find room for, from its log; None if that was not why it failed."""
    found = re.search(r"ERROR: .*(?:no (?:more )?B[Ee]Ls remaining|[Uu]nable to (?:find legal placement|place)).*", log)
    return None if found is None else found[0].removeprefix("ERROR: ").strip()


def failed(tool: str, status: int, log: str) -> RuntimeError:
    """Return the exception for a tool that failed for no reason of the user's: a signal, or the first error of its log."""
    if status < 0:
        return RuntimeError(f"{tool} was ended by signal {-status}")
    lines = [line for line in log.splitlines() if "ERROR" in line] or [f"exit status {status} without a message"]
    return RuntimeError(f"{tool} failed: {lines[0].strip()}")
