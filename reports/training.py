"""Write ``reports/training.md`` again: what training in the machine's integers gives over quantization after training.

    python reports/training.py [--only KEY ...] [--text]

Needs PyTorch (``pip install 'hwsim[train]'``) and, for CIFAR-10, the data pack (HWSIM_DATA). Every training is stored in
``reports/training.json`` when it is done; ``--text`` writes the page from what is stored.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from training_measure import CASES, Json, measure
from training_text import page

HERE = Path(__file__).resolve().parent
STORE = HERE / "training.json"


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    keys = [case.key for case in CASES]
    parser.add_argument("--only", nargs="+", choices=keys, metavar="KEY", help=f"measure these: {', '.join(keys)}")
    parser.add_argument("--text", action="store_true", help="measure nothing")
    wanted = parser.parse_args()
    stored: Json = json.loads(STORE.read_text("utf-8")) if STORE.exists() else {}
    for case in CASES if not wanted.text else ():
        if wanted.only is None or case.key in wanted.only:
            stored[case.key] = measure(case, lambda line: print(line, file=sys.stderr, flush=True))
            in_order = {key: stored[key] for key in keys if key in stored}
            STORE.write_text(json.dumps(in_order, indent=1) + "\n", "utf-8")
    (HERE / "training.md").write_text(page(stored), "utf-8")
    print("wrote reports/training.md")


if __name__ == "__main__":
    main()
