"""Write ``reports/training.md`` again: what training in the machine's integers gives over quantization after training.

    python reports/training.py [--only KEY ...] [--checkpoints FOLDER] [--text]

Needs PyTorch (``pip install 'hwsim[train]'``) and, for CIFAR-10, the data pack (HWSIM_DATA). Every training is stored in
``reports/training.json`` when it is done; ``--text`` writes the page from what is stored.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

from training_bits import KEY, measure_bits
from training_measure import CASES, CIFAR_IMAGES, Json, measure
from training_text import page

HERE = Path(__file__).resolve().parent
STORE = HERE / "training.json"


def say(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    keys = [*(case.key for case in CASES), KEY]
    parser.add_argument("--only", nargs="+", choices=keys, metavar="KEY", help=f"measure these: {', '.join(keys)}")
    parser.add_argument("--text", action="store_true", help="measure nothing")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="keep every epoch there, and go on from it")
    wanted = parser.parse_args()
    stored: Json = json.loads(STORE.read_text("utf-8")) if STORE.exists() else {}
    jobs: dict[str, Callable[[], Json]] = {
        case.key: functools.partial(measure, case, say, wanted.checkpoints) for case in CASES
    }
    jobs[KEY] = lambda: measure_bits(CIFAR_IMAGES, say)
    for key, job in jobs.items() if not wanted.text else ():
        if wanted.only is None or key in wanted.only:
            stored[key] = job()
            in_order = {key: stored[key] for key in keys if key in stored}
            STORE.write_text(json.dumps(in_order, indent=1) + "\n", "utf-8")
    (HERE / "training.md").write_text(page(stored), "utf-8")
    print("wrote reports/training.md")


if __name__ == "__main__":
    main()
