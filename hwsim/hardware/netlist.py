"""Cuts the wires and registers of a flat RTLIL netlist into what belongs together.

A structure of Amaranth is one wire, of which registers drive some bits and logic others. CXXRTL takes a wire as a whole: it sees
feedback where one field follows from another, and then needs several evaluations per cycle. Cut where its drivers meet, and its
registers where what they store comes from different wires, a core is settled after one evaluation, and the fields need
not be put together and taken apart again in every cycle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

OUTPUTS = {"\\Y", "\\Q", "\\RD_DATA", "\\DATA"}
"""Ports of Yosys' cells that drive what is connected to them; the last one belongs to ports that read a memory."""

REGISTERS = {"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"}
"""Cells that store a vector, each bit by itself."""

_WIRE = re.compile(r"  wire (?P<options>.*?)(?P<name>[\\$]\S+)$")
_INIT = re.compile(r"  attribute \\init (?P<constant>\d+'[01x]+|-?\d+)$")
_CELL = re.compile(r"  cell (?P<kind>\S+) (?P<name>\S+)$")
_TOKEN = re.compile(r"[{}]|\[\d+(?::\d+)?\]|\d+'[01xz-]+|-?\d+|[\\$]\S+")


@dataclass(frozen=True)
class _Chunk:
    """Bits of a wire; or a constant, whose name is its bits, the highest first."""

    name: str
    offset: int
    width: int
    constant: bool = False

    def slice(self, low: int, width: int) -> _Chunk:
        if self.constant:
            top = len(self.name) - low
            return _Chunk(self.name[top - width : top], 0, width, constant=True)
        return _Chunk(self.name, self.offset + low, width)


Chunks = list[_Chunk]
"""A signal, the lowest bits first."""


@dataclass
class _Wires:
    """Width of each wire, and the positions at which it is cut."""

    widths: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, set[int]] = field(default_factory=dict)

    def cut(self, chunk: _Chunk, *positions: int) -> None:
        """Cut a chunk's wire at positions within the chunk."""
        inner = {chunk.offset + position for position in positions} - {0, self.widths.get(chunk.name, 0)}
        if inner and not chunk.constant:
            self.cuts.setdefault(chunk.name, set()).update(inner)

    def parts(self, name: str) -> Iterator[_Chunk]:
        """Yield the wires that a cut wire becomes, from the lowest bit, with their offset in it."""
        for low, high in pairwise([0, *sorted(self.cuts[name]), self.widths[name]]):
            yield _Chunk(f"$part{name}${low}", low, high - low)

    def resolve(self, chunks: Chunks) -> Chunks:
        """Return a signal in terms of the wires after the cut."""
        found = []
        for chunk in chunks:
            if chunk.constant or chunk.name not in self.cuts:
                found.append(chunk)
                continue
            end = chunk.offset + chunk.width
            for part in self.parts(chunk.name):
                low, high = max(chunk.offset, part.offset), min(end, part.offset + part.width)
                if low < high:
                    found.append(_Chunk(part.name, low - part.offset, high - low))
        return found


def split_wires(text: str) -> str:
    """Return a netlist in which no wire has two drivers, with the same ports and behaviour.

    Parameters
    ----------
    text
        RTLIL of one module without processes, as Yosys writes it.

    Raises
    ------
    ValueError
        For a line that is not understood.
    """
    lines = text.splitlines()
    wires = _find_cuts(lines)
    written: list[str] = []
    cell: list[str] = []
    init = ""
    for line in lines:
        if found := _INIT.match(line):
            init = _bits(found["constant"])
        elif found := _WIRE.match(line):
            written += _declaration(line, found["name"], found["options"], init, wires)
            init = ""
        elif _CELL.match(line) or cell:
            cell.append(line)
            if line == "  end":
                written += _cell(cell, wires)
                cell = []
        elif line.startswith("  connect "):
            target, source = _two_signals(line, wires)
            written.append(f"  connect {_text(wires.resolve(target), wires)} {_text(wires.resolve(source), wires)}")
        else:
            written.append(line)
    return "\n".join([*written, ""])


def _find_cuts(lines: list[str]) -> _Wires:
    wires = _Wires()
    for line in lines:
        if line.startswith("  process "):
            raise ValueError("a netlist must have no processes")
        if found := _WIRE.match(line):
            width = re.search(r"width (\d+)", found["options"])
            wires.widths[found["name"]] = int(width[1]) if width else 1
    kind = ""
    stored: Chunks = []
    for line in lines:
        if found := _CELL.match(line):
            kind = found["kind"]
        elif line.startswith("  connect "):
            _cut_at_ends(_two_signals(line, wires)[0], wires)
        elif line.startswith("    connect "):
            _, port, signal = line.split(None, 2)
            if port in OUTPUTS:
                target = _signal(_tokens(signal), wires)
                _cut_at_ends(target, wires)
                # Yosys writes ports in alphabetical order, so D is known by now.
                if kind in REGISTERS:
                    _cut_between_sources(target, stored, wires)
            elif port == "\\D":
                stored = _signal(_tokens(signal), wires)
    return wires


def _cut_at_ends(target: Chunks, wires: _Wires) -> None:
    for chunk in target:
        wires.cut(chunk, 0, chunk.width)


def _cut_between_sources(target: Chunks, source: Chunks, wires: _Wires) -> None:
    """Cut what a register drives where two neighbouring bits that it stores come from different wires."""
    position, edges = 0, []
    for low, high in pairwise(source):
        position += low.width
        if low.constant != high.constant or (not low.constant and low.name != high.name):
            edges.append(position)
    start = 0
    for chunk in target:
        wires.cut(chunk, *(edge - start for edge in edges if start < edge < start + chunk.width))
        start += chunk.width


def _declaration(line: str, name: str, options: str, init: str, wires: _Wires) -> list[str]:
    if name not in wires.cuts:
        return [*([f"  attribute \\init {len(init)}'{init}"] if init else []), line]
    lines = []
    parts = list(wires.parts(name))
    for part in parts:
        bits = init[len(init) - part.offset - part.width : len(init) - part.offset]
        if bits.strip("x"):
            lines.append(f"  attribute \\init {part.width}'{bits}")
        lines.append(f"  wire width {part.width} {part.name}")
    if "output " in options:
        joined = " ".join(part.name for part in reversed(parts))
        lines += [line, f"  connect {name} {{ {joined} }}"]
    return lines


def _cell(lines: list[str], wires: _Wires) -> list[str]:
    """Return a cell with its signals after the cut; a register for each wire that it drives."""
    header = _CELL.match(lines[0])
    assert header is not None
    signals = {}
    for line in lines[1:-1]:
        word, name, value = line.split(None, 2)
        if word == "connect":
            signals[name] = wires.resolve(_signal(_tokens(value), wires))
    driven = signals.get("\\Q", [])
    if header["kind"] not in REGISTERS or len(driven) == 1:
        return [_with(line, signals, wires) for line in lines]
    written, low = [], 0
    for part in driven:
        own = signals | {"\\Q": [part], "\\D": _slice(signals["\\D"], low, part.width)}
        written.append(f"{lines[0]}${low}")
        for line in lines[1:]:
            word, name, value = (*line.split(None, 2), "", "")[:3]
            if name == "\\WIDTH":
                written.append(f"    parameter \\WIDTH {part.width}")
            elif name == "\\SRST_VALUE":
                bits = _bits(value)
                top = len(bits) - low
                written.append(f"    {word} {name} {part.width}'{bits[top - part.width : top]}")
            else:
                written.append(_with(line, own, wires))
        low += part.width
    return written


def _with(line: str, signals: dict[str, Chunks], wires: _Wires) -> str:
    """Return a line of a cell, what it connects replaced."""
    if not line.startswith("    connect "):
        return line
    port = line.split(None, 2)[1]
    return f"    connect {port} {_text(signals[port], wires)}"


def _slice(chunks: Chunks, low: int, width: int) -> Chunks:
    found, start = [], 0
    for chunk in chunks:
        first, last = max(low, start), min(low + width, start + chunk.width)
        if first < last:
            found.append(chunk.slice(first - start, last - first))
        start += chunk.width
    return found


def _bits(constant: str) -> str:
    """Return the bits of a constant, the highest first."""
    width, _, bits = constant.partition("'")
    if not bits:
        # A plain number has 32 bits.
        return format(int(constant) & 0xFFFFFFFF, "032b")
    # What is left out at the top is like the top bit where that is undefined, and 0 elsewhere.
    return bits.rjust(int(width), bits[0] if bits[0] in "xz-" else "0")


def _tokens(text: str) -> list[str]:
    """Return the tokens of signals, the last one first."""
    if _TOKEN.sub("", text).strip():
        raise ValueError(f"no signal of RTLIL: {text!r}")
    return _TOKEN.findall(text)[::-1]


def _signal(tokens: list[str], wires: _Wires) -> Chunks:
    """Take one signal off the tokens."""
    token = tokens.pop()
    if token == "{":
        parts = []
        while tokens[-1] != "}":
            parts.append(_signal(tokens, wires))
        tokens.pop()
        return [chunk for part in reversed(parts) for chunk in part]
    if token[0] not in "\\$":
        bits = _bits(token)
        return [_Chunk(bits, 0, len(bits), constant=True)]
    if tokens and tokens[-1][0] == "[":
        high, _, low = tokens.pop()[1:-1].partition(":")
        offset = int(low or high)
        return [_Chunk(token, offset, int(high) - offset + 1)]
    return [_Chunk(token, 0, wires.widths[token])]


def _two_signals(line: str, wires: _Wires) -> tuple[Chunks, Chunks]:
    tokens = _tokens(line.split(None, 1)[1])
    return _signal(tokens, wires), _signal(tokens, wires)


def _text(chunks: Chunks, wires: _Wires) -> str:
    texts = [_chunk_text(chunk, wires) for chunk in chunks]
    return texts[0] if len(texts) == 1 else f"{{ {' '.join(reversed(texts))} }}"


def _chunk_text(chunk: _Chunk, wires: _Wires) -> str:
    if chunk.constant:
        return f"{chunk.width}'{chunk.name}"
    # The parts of cut wires have no entry; a slice of all of their bits is harmless.
    if chunk.width == wires.widths.get(chunk.name):
        return chunk.name
    high = chunk.offset + chunk.width - 1
    return f"{chunk.name} [{high}]" if chunk.width == 1 else f"{chunk.name} [{high}:{chunk.offset}]"
