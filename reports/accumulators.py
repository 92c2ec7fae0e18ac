"""Write ``reports/accumulators.md`` and its figures again: accuracy by accumulator width, order of summation and overflow.

    python reports/accumulators.py [--images N] [--resume] [--only PART ...]

Needs the data pack (HWSIM_DATA). Counts are kept in ``reports/accumulators/counts.json``, curve by curve and format by format
as they come; ``--resume`` continues from there what an earlier call with the same networks and images did not finish, and
``--only text`` writes the text and the figures from there. All parts take about half an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from accumulators_measure import SOURCES, Json, curves, fitting, static_table
from accumulators_text import write_text

from hwsim.spec import InputError, require

HERE = Path(__file__).resolve().parent

TEXT = "text"

Part = Callable[[Json], Iterator[Json]]
"""Yields its counts again and again as they grow, from those that are there already."""


def parts_of(images: int, threads: int) -> dict[str, Part]:
    """Return what can be measured here, by name; say what cannot."""
    parts: dict[str, Part] = {}
    for source in SOURCES:
        if source.missing():
            print(f"left out {source.title}: {source.missing()}")
            continue
        parts[f"curves:{source.key}"] = partial(curves, source, images, threads)
        if source.float_model:
            parts[f"static:{source.key}"] = partial(static_table, source, images, threads)
            parts[f"fitting:{source.key}"] = partial(fitting, source, images, threads)
    return parts


def main() -> None:
    """Measure what is asked for, keep it, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="test images; a set that has fewer gives all it has")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="keep what has been measured with as many images")
    parser.add_argument("--only", nargs="+", metavar="PART", help=f"curves:NETWORK, static:..., fitting:..., or {TEXT}")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of accumulators.md and accumulators/")
    given = parser.parse_args()
    require(given.images >= 1, "--images", "1 or more", given.images)
    parts = parts_of(given.images, given.threads)
    wanted = given.only or [*parts, TEXT]
    for name in wanted:
        if name not in (*parts, TEXT):
            raise InputError(f"part must be one of {', '.join((*parts, TEXT))}, not {name}")
    store = given.output / "accumulators" / "counts.json"
    counts: Json = json.loads(store.read_text("utf-8")) if store.exists() else {}
    store.parent.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if name != TEXT:
            for grown in parts[name](counts.get(name, {}) if given.resume else {}):
                counts[name] = grown
                store.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if TEXT in wanted:
        write_text(counts, given.output)


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"accumulators: {problem}")
