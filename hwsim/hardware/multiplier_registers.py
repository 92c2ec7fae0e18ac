"""Registers beside an ECP5 multiplier that move into it.

MULT18X18D has registers of its own at both factors and at its product, but Yosys 0.66 infers it without: a factor then
travels to the multiplier, through it, and on to a register of the fabric in one cycle. Here, between Yosys and nextpnr,

- registers that hold all of a product, and nothing reads the product before them, become its output register;
- registers that all of both factors come from become its input registers. The fabric keeps them only for what else they drive.
  One factor alone gains nothing: nextpnr 0.11 knows the times of both or none, so the one without would be a stage longer.

Both hold the same value in every cycle, from the configuration on: only registers that start at 0 move, without an enable, with
one clock and one synchronous reset (or none) per multiplier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Bit = int | str
"""A net's number, or the constant ``"0"``, ``"1"`` or ``"x"``."""

Cell = dict[str, Any]

MULTIPLIER, REGISTER = "MULT18X18D", "TRELLIS_FF"

_WIDTHS = {"A": 18, "B": 18, "P": 36}


def absorb(netlist: dict[str, Any]) -> int:
    """Move registers of a netlist that Yosys wrote (``write_json``, one flat module) into its multipliers.

    Parameters
    ----------
    netlist
        Changed in place. One without `MULTIPLIER` stays as it is.

    Returns
    -------
    int
        The multipliers that have registers now.
    """
    changed = 0
    for module in netlist["modules"].values():
        cells: dict[str, Cell] = module["cells"]
        fabric = _Fabric(cells, module.get("ports", {}))
        changed += sum([fabric.absorb(name, cell) for name, cell in cells.items() if cell["type"] == MULTIPLIER])
        for name in fabric.unread():
            del cells[name]
    return changed


class _Fabric:
    """The registers of a module, by what they read and write."""

    def __init__(self, cells: dict[str, Cell], ports: dict[str, Any]) -> None:
        self.registers = {name: cell for name, cell in cells.items() if cell["type"] == REGISTER}
        self.name_by_output = {cell["connections"]["Q"][0]: name for name, cell in self.registers.items()}
        self.readers: dict[Bit, set[tuple[str, str]]] = defaultdict(set)
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    for bit in bits:
                        self.readers[bit].add((name, port))
        for name, port in ports.items():
            for bit in port["bits"]:
                self.readers[bit].add(("", name))
        self.moved: set[str] = set()

    def absorb(self, name: str, multiplier: Cell) -> bool:
        """Move what can move into one multiplier; return whether anything could."""
        wires = multiplier["connections"]
        product = self._behind(wires, _pins("P", wires))
        factors = [self._in_front(wires, _pins(port, wires)) for port in "AB"]
        # The product first: its register saves most.
        control = self._control(product.values())
        stages = [("OUTPUT", product, "Q")] if control else []
        around = self._control([*factors[0].values(), *factors[1].values()]) if all(factors) else None
        if around and control in (None, around):
            stages += [("INPUTA", factors[0], "DI"), ("INPUTB", factors[1], "DI")]
            control = around
        if control is None:
            return False
        for stage, found, far in stages:
            for pin, register in found.items():
                bit = self.registers[register]["connections"][far][0]
                self.readers[wires[pin][0]].discard((name, pin))
                self.readers[bit] |= {(name, pin)} if far == "DI" else set()
                wires[pin] = [bit]
            multiplier["parameters"] |= {f"REG_{stage}_{line}": f"{line}0" for line in ("CLK", "CE", "RST")}
        self.moved |= set(product.values()) if stages[0][0] == "OUTPUT" else set()
        multiplier["parameters"]["RESETMODE"] = "SYNC"
        for pin, bit in zip(("CLK0", "RST0", "CE0"), (*control, "1"), strict=True):
            multiplier["port_directions"][pin] = "input"
            wires[pin] = [bit]
        return True

    def unread(self) -> set[str]:
        """Return the registers that nothing needs any more: moved, or read by nothing since, one after the other."""
        gone = set(self.moved)
        while more := {
            name
            for name, cell in self.registers.items()
            if name not in gone and not {reader for reader, _ in self.readers[cell["connections"]["Q"][0]]} - gone
        }:
            gone |= more
        return gone

    def _behind(self, wires: dict[str, list[Bit]], pins: list[str]) -> dict[str, str]:
        """Return the registers that hold a product by its pins, or nothing if it is read by anything else."""
        found = {}
        for pin in pins:
            readers = self.readers[wires[pin][0]]
            if not readers:
                continue
            if len(readers) > 1 or (reader := next(iter(readers)))[1] != "DI" or reader[0] not in self.registers:
                return {}
            found[pin] = reader[0]
        return found

    def _in_front(self, wires: dict[str, list[Bit]], pins: list[str]) -> dict[str, str]:
        """Return the registers that a factor comes from by its pins, or nothing if any of it comes from anything else.

        A pin at constant 0 stays as it is, as its register would.
        """
        found = {}
        for pin in pins:
            bit = wires[pin][0]
            register = self.name_by_output.get(bit)
            # One that another multiplier took as its product's is not there any more.
            if register is not None and register not in self.moved:
                found[pin] = register
            elif bit != "0":
                return {}
        return found

    def _control(self, names: Iterable[str]) -> tuple[Bit, Bit] | None:
        """Return clock and reset that registers share, or None if they do not, or are not plain."""
        controls = {self._control_of(self.registers[name]) for name in names}
        return controls.pop() if len(controls) == 1 else None

    @staticmethod
    def _control_of(register: Cell) -> tuple[Bit, Bit] | None:
        parameters, wires = register["parameters"], register["connections"]
        plain = (
            parameters.get("CEMUX", "CE").strip() == "1"
            and parameters.get("CLKMUX", "CLK") == "CLK"
            and parameters.get("LSRMUX", "LSR") == "LSR"
            and parameters.get("REGSET", "RESET") == "RESET"
            and parameters.get("SRMODE", "LSR_OVER_CE") == "LSR_OVER_CE"
        )
        return (wires["CLK"][0], wires.get("LSR", ["0"])[0]) if plain else None


def _pins(port: str, wires: dict[str, list[Bit]]) -> list[str]:
    return [f"{port}{i}" for i in range(_WIDTHS[port]) if f"{port}{i}" in wires]
