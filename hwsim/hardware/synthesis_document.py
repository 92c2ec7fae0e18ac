"""The result of a synthesis as plain data, which is also what tables are made of."""

from __future__ import annotations

import zipfile
from dataclasses import asdict
from typing import Any, Final

from hwsim.cosim.sidecar import core_document
from hwsim.hardware.synthesis import Netlist, Options, Routed, tools_for, used_parts
from hwsim.hardware.timing_report import Path
from hwsim.spec import Core

SCHEMA_VERSION: Final = 1


def synthesis_document(
    core: Core, unit: str, options: Options, netlist: Netlist, routed: Routed | None
) -> dict[str, Any]:
    """Return a result for JSON: numbers, texts, lists and dictionaries; the same result gives the same document."""
    parts = used_parts(netlist, routed, options.target)
    return {
        "schema_version": SCHEMA_VERSION,
        "generator": "hwsim rtl synth",
        "core": core_document(core)["core"],
        "unit": unit,
        "target": options.target.name,
        "device": options.target.device,
        "options": {"seed": options.seed, "mhz": options.mhz, "dsp": options.dsp},
        "tools": {tool.distribution: tool.version for tool in tools_for(options)},
        "resources": {name: {"used": used, "available": available} for name, (used, available) in parts.items()},
        "cells": netlist.cells,
        "multiplications": netlist.mapped.lists(),
        "clocks": None if routed is None else {name: round(mhz, 2) for name, mhz in routed.report.fmax_mhz.items()},
        "critical_path": None if routed is None or routed.report.path is None else path_document(routed.report.path),
    }


def path_document(path: Path) -> dict[str, Any]:
    """Return the slowest path: in words, and step by step."""
    return {
        "clock": path.clock,
        "ns": round(path.delay_ns(), 3),
        "routing_ns": round(path.delay_ns("routing"), 3),
        "words": path.words(),
        "steps": [asdict(step) for step in path.steps],
    }


def synthesis_files(netlist: Netlist, routed: Routed | None) -> dict[str, bytes]:
    """Return what the tools wrote, by name: netlist, logs, and where it was routed report and configuration."""
    files: dict[str, bytes] = {}
    for archive in [netlist.files, *([] if routed is None else [routed.files])]:
        with zipfile.ZipFile(archive) as opened:
            files |= {name: opened.read(name) for name in opened.namelist()}
    return files
