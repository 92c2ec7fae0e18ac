"""Write ``reports/quantization.md`` again: what ranges, schemes and repairs give, and whether the targets are reached.

    python reports/quantization.py [--images N] [--target-images N] [--networks NAME ...] [--resume] [--only PART ...]

Needs the data pack (HWSIM_DATA). Every point is kept in ``reports/quantization.json`` as it comes; ``--resume`` continues
from there what an earlier call with the same networks and images did not finish, and ``--only text`` writes the text from
there. All parts of all networks take about an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from quantization_measure import NETWORKS, PARTS, TARGETS, Json, measure
from quantization_text import page

from hwsim.spec import InputError, require

HERE = Path(__file__).resolve().parent

TEXT = "text"


def main() -> None:
    """Measure what is asked for, keep it, and write."""
    names = [network.name for network in NETWORKS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="test images of the tables")
    parser.add_argument("--target-images", type=int, default=10_000, help="test images of the targets")
    parser.add_argument("--networks", nargs="+", default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--resume", action="store_true", help="keep what has been measured with as many images")
    parser.add_argument(
        "--only", nargs="+", default=[*PARTS, TEXT], metavar="PART", help=f"of {', '.join(PARTS)}, {TEXT}"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder of quantization.md and quantization.json")
    given = parser.parse_args()
    for option in ("images", "target_images"):
        require(getattr(given, option) >= 1, f"--{option.replace('_', '-')}", "1 or more", getattr(given, option))
    for name in given.networks:
        require(name in names, "--networks", f"one of {', '.join(names)}", repr(name))
    for part in given.only:
        require(part in (*PARTS, TEXT), "--only", f"one of {', '.join((*PARTS, TEXT))}", repr(part))
    store = given.output / "quantization.json"
    counts: Json = json.loads(store.read_text("utf-8")) if store.exists() else {}
    for part in (part for part in PARTS if part in given.only):
        images = given.target_images if part == TARGETS else given.images
        for network in (network for network in NETWORKS if network.name in given.networks):
            if network.missing():
                print(f"left out {network.name}: HWSIM_DATA has no {network.file}")
                continue
            known = counts.setdefault(part, {})
            for grown in measure(network, part, images, known if given.resume else {}):
                known[network.name] = grown
                store.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if TEXT in given.only:
        (given.output / "quantization.md").write_text(page(counts), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"quantization: {problem}")
