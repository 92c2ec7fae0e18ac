"""Write ``reports/bandwidth.md`` again: what quantization saves of the memory's traffic, for real networks and real tensors.

    python reports/bandwidth.py [--images N] [--networks NAME ...] [--resume] [--only PART ...]

Needs the data pack (HWSIM_DATA) for all but the digits networks; what is missing is named on the page. Numbers are kept in
``reports/bandwidth/found.json``, network by network as they come; ``--resume`` measures only networks that are not there, or
whose file, images or schemes are others, and ``--only text`` writes the page from there. A few minutes, most of them for the
largest network.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bandwidth_measure import CALIBRATION, SOURCES, Found, Source, is_current, measure
from bandwidth_text import write_text
from pydantic import TypeAdapter

from hwsim.spec import InputError, require

HERE = Path(__file__).resolve().parent

PARTS = ("measure", "text")

FOUND = TypeAdapter(Found)


class Store:
    """What has been measured, and what could not be and why, by network, in a file.

    Parameters
    ----------
    path
        The file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.found: dict[str, Found] = {
            name: FOUND.validate_python(one) for name, one in known.get("found", {}).items()
        }
        self.left_out: dict[str, str] = known.get("left_out", {})

    def put(self, name: str, found: Found | str) -> None:
        """Keep what was found, or why nothing was: numbers of before stay."""
        if isinstance(found, Found):
            self.found[name] = found
            self.left_out.pop(name, None)
        elif name not in self.found:
            self.left_out[name] = found
        order = [source.name for source in SOURCES]
        self.found, self.left_out = (
            {name: part[name] for name in order if name in part} for part in (self.found, self.left_out)
        )
        said = {"found": {name: FOUND.dump_python(one, mode="json") for name, one in self.found.items()},
                "left_out": self.left_out}  # fmt: skip
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def look(source: Source, images: int, store: Store, resume: bool) -> None:
    """Measure a network, unless it is known."""
    reason = source.missing()
    if reason:
        print(f"left out {source.name}: {reason}", flush=True)
        store.put(source.name, reason)
        return
    model = source.load()
    known = store.found.get(source.name)
    if resume and known is not None and is_current(known, model, images):
        print(f"{source.name}: known", flush=True)
        return
    store.put(source.name, measure(source, model, images))
    print(f"{source.name}: measured", flush=True)


def main() -> None:
    """Measure what is asked for, keep it, and write."""
    names = [source.name for source in SOURCES]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=4, help=f"real inputs of each network, at most {CALIBRATION}")
    parser.add_argument("--networks", nargs="+", default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--resume", action="store_true", help="keep what has been measured of the same file and images")
    parser.add_argument("--only", nargs="+", default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of bandwidth.md and bandwidth/")
    given = parser.parse_args()
    require(given.images in range(1, CALIBRATION + 1), "--images", f"from 1 to {CALIBRATION}", given.images)
    for option, words, allowed in (("--networks", given.networks, names), ("--only", given.only, PARTS)):
        for word in words:
            require(word in allowed, option, f"one of {', '.join(allowed)}", repr(word))
    store = Store(given.output / "bandwidth" / "found.json")
    if "measure" in given.only:
        for source in SOURCES:
            if source.name in given.networks:
                look(source, given.images, store, given.resume)
    if "text" in given.only:
        require(bool(store.found), "--only", "measure as long as nothing is measured", "text")
        write_text(list(store.found.values()), store.left_out, given.output)


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"bandwidth: {problem}")
