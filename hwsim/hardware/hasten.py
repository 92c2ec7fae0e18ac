"""Makes the C++ that Yosys writes faster for a core that is evaluated once per clock edge.

The model computes the same values; each change is a rewriting of whole phrases of the generated text, and what is not found as
expected is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_REGISTER = re.compile(r"^\twire<(\d+)> (\w+);\n", re.MULTILINE)
_MEMORY = re.compile(r"^\tmemory<(\d+)> (\w+) ", re.MULTILINE)
_UPDATE = re.compile(r"^(\t+)(\w+)\.update\((.*)\);$", re.MULTILINE)


def hasten(text: str) -> str:
    """Return a faster model with the same ports.

    - The edge is a constant: whoever evaluates the model means a clock edge.
    - Registers are two structures, before and after the edge, so that a commit is one copy that asks no questions.
    - A memory's word is put together only when it is written.

    Raises
    ------
    ValueError
        Where the text is not as expected: of another version of Yosys, or of a design that one evaluation does not settle.
    """
    if "bool converged = true;" not in text:
        raise ValueError("one evaluation must settle a model; this one has a wire that feeds back to itself")
    text = _replaced(text, r"bool posedge_p_clk = this->posedge_p_clk\(\);", "constexpr bool posedge_p_clk = true;", 1)
    text = _gather_registers(text)
    memories = {name: width for width, name in _MEMORY.findall(text)}
    return _UPDATE.sub(lambda found: _guarded(found, memories), text)


def _replaced(text: str, pattern: str, replacement: str | Callable[[re.Match[str]], str], count: int) -> str:
    text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    if found != count:
        raise ValueError(f"{pattern!r} must be in a model {count} times, not {found}")
    return text


def _gather_registers(text: str) -> str:
    widths = {name: width for width, name in _REGISTER.findall(text)}
    fields = "".join(f"\t\tvalue<{width}> {name};\n" for name, width in widths.items())
    structure = f"\tstruct Registers {{\n{fields}\t}};\n\tRegisters now, then;\n"
    text = _REGISTER.sub("", text)
    text = _replaced(text, r"^struct p_\w+ : public module \{\n", lambda found: found[0] + structure, 1)

    def access(found: re.Match[str]) -> str:
        if found[1] not in widths:
            return found[0]
        return f"{'now' if found[2] == 'curr' else 'then'}.{found[1]}"

    text = re.sub(r"\b(\w+)\.(curr|next)\b", access, text)

    def commit(found: re.Match[str]) -> str:
        return "" if found[1] in widths else found[0]

    text = re.sub(r"^\t\tif \((\w+)\.commit\(observer\)\) changed = true;\n", commit, text, flags=re.MULTILINE)
    text = _replaced(text, r"^\t\tprev_p_clk = p_clk;\n", "\t\tnow = then;\n", 1)

    def reset(found: re.Match[str]) -> str:
        name = found[1]
        return f"\tnow.{name} = then.{name} = value<" if name in widths else found[0]

    return re.sub(r"^\t(\w+) = wire<", reset, text, flags=re.MULTILINE)


def _guarded(found: re.Match[str], memories: dict[str, str]) -> str:
    tabs, name, arguments = found.groups()
    index, word, mask, priority = _split(arguments)
    width = memories[name]
    return f"{tabs}if (const value<{width}> mask = {mask}; mask) {name}.update({index}, {word}, mask, {priority});"


def _split(arguments: str) -> list[str]:
    """Return the four arguments of a call; every bracket of the generated text has its pair, "<" and ">" too."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(arguments):
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and depth == 0:
            parts.append(arguments[start:position].strip())
            start = position + 1
    parts.append(arguments[start:].strip())
    if len(parts) != 4 or depth:
        raise ValueError(f"a write to a memory must have four arguments, not {arguments!r}")
    return parts
