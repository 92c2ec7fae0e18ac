"""Fit what a core takes of an FPGA: ``reports/sweep_cost_model.json``, and the numbers in ``hwsim/sweep/fpga_cost.py``.

    python reports/sweep_cost_model.py [--synthesize]

Cores of 2 to 8 rows and columns, of few and many bits, are synthesized for ECP5 with Yosys (no place and route, so LUTs are
those of the netlist) and counted; a minute or two each, once, as results are kept in the user's cache. Without ``--synthesize``
only what is stored is fitted, and what the model says of cores that it was not fitted to is printed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.hardware.synthesis import Options, harnessed, synthesize
from hwsim.hardware.synthesis_targets import ECP5
from hwsim.spec import Arithmetic, Core, Reduction, Register
from hwsim.sweep.fpga_cost import LUTS, dsps_of, features

HERE = Path(__file__).resolve().parent
STORED = HERE / "sweep_cost_model.json"


@dataclass(frozen=True)
class Design:
    """A core, by what cores of the fit differ in."""

    rows: int
    cols: int
    weight_bits: int
    acc: str

    @property
    def core(self) -> Core:
        """The core."""
        arithmetic = Arithmetic(Reduction(Register.parse(self.acc)))
        return Core(
            name=f"{self.rows}x{self.cols}", rows=self.rows, cols=self.cols, weight_bits=self.weight_bits,
            arithmetic=arithmetic,
        )  # fmt: skip


DESIGNS = (
    Design(2, 2, 8, "32:wrap"),
    Design(2, 4, 4, "16:saturate"),
    Design(4, 2, 6, "24:wrap"),
    Design(4, 4, 8, "16:saturate"),
    Design(4, 4, 4, "32:wrap"),
    Design(3, 5, 2, "20:saturate"),
    Design(6, 3, 8, "24:saturate"),
    Design(8, 8, 8, "32:wrap"),
)


@dataclass(frozen=True)
class Fit:
    """Costs of the features, and errors of the LUTs of each core when it is left out of the fit, as shares."""

    costs: dict[str, float]
    errors: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest error."""
        return max(map(abs, self.errors))

    @property
    def typical(self) -> float:
        """The mean of all."""
        return float(np.mean(np.abs(self.errors)))


def synthesized(design: Design) -> dict[str, Any]:
    """Return what Yosys makes of a core."""
    netlist = synthesize(harnessed(design.core, "core"), Options(ECP5))
    return {**{part.name: getattr(design, part.name) for part in fields(design)}, "cells": netlist.cells}


def counted(stored: dict[str, Any], resource: str) -> int:
    """Return the LUTs or DSPs of a stored netlist."""
    return ECP5.resource(resource).count(stored["cells"])


def fit(stored: list[dict[str, Any]]) -> Fit:
    """Fit costs to LUTs, least squares of errors as shares; and again without each core."""
    cores = [Design(*(one[part.name] for part in fields(Design))).core for one in stored]
    counts = np.array([list(features(core).values()) for core in cores], np.float64)
    shares = counts / np.array([[counted(one, "lut")] for one in stored])
    errors = []
    for left_out in range(len(stored)):
        others = np.arange(len(stored)) != left_out
        errors.append(float(shares[left_out] @ _least_squares(shares[others]) - 1))
    costs = (float(f"{cost:.4g}") for cost in _least_squares(shares))
    return Fit(dict(zip(features(cores[0]), costs, strict=True)), tuple(errors))


def _least_squares(shares: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.linalg.lstsq(shares, np.ones(len(shares)), rcond=None)[0]
    return found


def main(arguments: list[str]) -> None:
    """Fit, and synthesize where asked to."""
    stored = json.loads(STORED.read_text("utf-8"))["designs"] if STORED.exists() else []
    if "--synthesize" in arguments:
        stored = [synthesized(design) for design in DESIGNS]
        STORED.write_text(
            json.dumps({"schema_version": 1, "target": ECP5.device, "designs": stored}, indent=1) + "\n", "utf-8"
        )
    found = fit(stored)
    for one, error in zip(stored, found.errors, strict=True):
        design = Design(*(one[part.name] for part in fields(Design)))
        dsps = counted(one, "dsp"), dsps_of(design.core)
        print(f"{design}: {counted(one, 'lut')} LUTs, left out {error:+.1%}; {dsps[0]} DSPs, counted {dsps[1]}")
    print(
        f"costs {found.costs} (in the code {LUTS}); left out {found.typical:.1%} in the mean, {found.largest:.1%} at most"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
