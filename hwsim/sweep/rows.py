"""A row of the results: one configuration, what it is and what was found out about it."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from hwsim.spec import require
from hwsim.spec.wilson import wilson
from hwsim.sweep.columns import OVERFLOWS, Record, table_types
from hwsim.sweep.metrics import TIME_METRICS
from hwsim.sweep.points import ROW_VERSION, Configuration
from hwsim.sweep.store import to_arrow

OK, STOPPED, FAILED, CRASHED = STATUSES = ("ok", "stopped", "failed", "crashed")
"""Of a row: all figures are there; successive halving needed no more images; there is a reason why not; the processes that tried
it died, which the next run tries again. The earlier is worth more, where a store has two rows of a key."""

DIED = "its processes died, each time it was tried (killed, or out of memory)"
"""The reason of what crashed."""


@dataclass(frozen=True)
class Counted:
    """Correct images and overflow events of the first `n` images, by column."""

    counts: Mapping[str, int]
    n: int


def row_of(
    configuration: Configuration, status: str, reason: str | None, times: Record, counted: Counted | None = None
) -> Record:
    """Return the row of a configuration.

    Parameters
    ----------
    configuration
        What it is of.
    status, reason
        One of `STATUSES`, and why where it is not ``ok``.
    times
        A record of the table ``times``; empty for what is no machine at all.
    counted
        What the values engine found; None where it was not asked, or has failed.
    """
    source = configuration.source
    row: Record = {
        "key": configuration.key, "status": status, "reason": reason, "model": source.name, "data": source.data,
        "images": configuration.images, **configuration.settings, "frames_per_second": configuration.frames_per_second,
        **{name: times.get(name) for name in TIME_METRICS}, **(configuration.cost if times else {}),
        "model_sha256": source.sha256, "data_sha256": source.data_sha256,
        "layers_sha256": None if configuration.layers is None else configuration.layers.sha256, "model_path": source.text,
        "input_mean": _numbers(source.mean), "input_std": _numbers(source.std),
        "stages": ",".join(map(str, configuration.stages)) or None,
        "hwsim_version": _version(), "schema_version": ROW_VERSION,
    }  # fmt: skip
    if counted is not None:
        counts, n = counted.counts, counted.n
        low, high = wilson(counts["correct"], n)
        row |= {
            "top1": counts["correct"] / n, "top1_low": low, "top1_high": high, "correct": counts["correct"], "n": n,
            **{name: counts[name] for name in OVERFLOWS}, "overflow_events": sum(counts[name] for name in OVERFLOWS),
        }  # fmt: skip
    return {name: row.get(name) for name in table_types("rows")}


def unite(records: Iterable[Record]) -> dict[str, Record]:
    """Return one row for each key: several writers may have finished the same one."""
    found: dict[str, Record] = {}
    for record in records:
        other = found.get(record["key"])
        if other is None or STATUSES.index(record["status"]) < STATUSES.index(other["status"]):
            found[record["key"]] = record
    return found


def canonical(rows: Iterable[Record]) -> list[Record]:
    """Return each row once, in the order of their keys: the same results in the same order, whoever found them when."""
    return sorted(unite(rows).values(), key=lambda row: str(row["key"]))


def exported(rows: Sequence[Record], ending: str) -> bytes:
    """Return rows as a file, ``.csv`` or ``.parquet``; the same rows give the same bytes."""
    require(ending in (".csv", ".parquet"), "--export", "a file ending in .csv or .parquet", repr(ending))
    if ending == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(to_arrow("rows", canonical(rows)), buffer, compression="zstd")
        return buffer.getvalue()
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(table_types("rows")), lineterminator="\n")
    writer.writeheader()
    writer.writerows(canonical(rows))
    return stream.getvalue().encode()


def check_export(path: Path) -> None:
    """Raise `InputError` for a name that says no format."""
    require(path.suffix in (".csv", ".parquet"), "--export", "a file ending in .csv or .parquet", path)


@functools.cache
def _version() -> str:
    return importlib.metadata.version("hwsim")


def _numbers(values: tuple[float, ...] | None) -> str | None:
    return None if values is None else ",".join(f"{value:g}" for value in values)
