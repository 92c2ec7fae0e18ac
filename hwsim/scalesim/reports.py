"""SCALE-Sim 3's report files, character by character as it writes them: cycles as floats, percent unrounded, trailing commas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwsim.scalesim.model import LayerResult

OPERANDS = ("IFMAP", "FILTER", "OFMAP")
MEMORIES = ("SRAM", "DRAM")

COMPUTE_COLUMNS = (
    "LayerID", "Total Cycles (incl. prefetch)", "Total Cycles", "Stall Cycles", "Overall Util %", "Mapping Efficiency %",
    "Compute Util %",
)  # fmt: skip
COMPUTE_HEADER = ", ".join(COMPUTE_COLUMNS) + ","
BANDWIDTH_HEADER = ", ".join(
    ["LayerID", *(f"Avg {operand} {memory} BW" for memory in MEMORIES for operand in OPERANDS)]
) + ","  # fmt: skip
ACCESS_HEADER = ", ".join(
    ["LayerID"]
    + [
        f"{memory} {operand} {column}"
        for memory in MEMORIES
        for operand, accesses in (("IFMAP", "Reads"), ("Filter", "Reads"), ("OFMAP", "Writes"))
        for column in ("Start Cycle", "Stop Cycle", accesses)
    ]
) + ","  # fmt: skip


def compute_report(results: Sequence[LayerResult]) -> str:
    """Return ``COMPUTE_REPORT.csv``. There are no stall cycles in the mode that is reproduced."""
    return _csv(
        COMPUTE_HEADER,
        (
            (
                result.cycles_with_prefetch, result.cycles, 0, result.utilization_percent,
                result.mapping_efficiency_percent, result.compute_utilization_percent,
            )
            for result in results
        ),
    )  # fmt: skip


def bandwidth_report(results: Sequence[LayerResult]) -> str:
    """Return ``BANDWIDTH_REPORT.csv``: words per cycle, of SRAM over all cycles, of DRAM over those between its accesses."""
    return _csv(
        BANDWIDTH_HEADER,
        (
            (*(access.words / result.cycles for access in result.sram), *(access.bandwidth for access in result.dram))
            for result in results
        ),
    )


def detailed_access_report(results: Sequence[LayerResult]) -> str:
    """Return ``DETAILED_ACCESS_REPORT.csv``: first cycle, last cycle and words by memory and operand."""
    return _csv(
        ACCESS_HEADER,
        (
            tuple(
                value
                for access in (*result.sram, *result.dram)
                for value in (float(access.start_cycle), float(access.stop_cycle), access.words)
            )
            for result in results
        ),
    )


REPORTS = {
    "COMPUTE_REPORT.csv": compute_report,
    "BANDWIDTH_REPORT.csv": bandwidth_report,
    "DETAILED_ACCESS_REPORT.csv": detailed_access_report,
}
"""By file name."""


def _csv(header: str, rows: Iterable[Sequence[float]]) -> str:
    lines = [header, *(f"{number}, {', '.join(map(str, row))}," for number, row in enumerate(rows))]
    return "".join(f"{line}\n" for line in lines)
