"""Builds `mac.v` in Icarus Verilog and runs `bench_mac.py` in it: ``python examples/verilog_mac/run.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cocotb_tools.runner import get_results, get_runner

HERE = Path(__file__).resolve().parent


def run(verilog: Path, folder: Path) -> tuple[bool, str]:
    """Return whether the bench passed on a Verilog file, and the simulator's log."""
    log = folder / "bench.log"
    runner = get_runner("icarus")
    runner.build(sources=[verilog], hdl_toplevel="mac", build_dir=folder, timescale=("1ns", "1ps"), always=True)
    # By default cocotb rewrites the assertions of every module that a bench imports, which costs seconds in numba.
    environment = {"COCOTB_REWRITE_ASSERTION_FILES": "bench_*.py"}
    results = folder / "results.xml"
    try:
        runner.test(
            hdl_toplevel="mac", test_module="bench_mac", build_dir=folder, results_xml=str(results), seed=1,
            extra_env=environment, log_file=log,
        )  # fmt: skip
    except SystemExit:  # Under pytest the runner exits where a bench fails.
        return False, log.read_text("utf-8")
    tests, failed = get_results(results)
    return tests > 0 and failed == 0, log.read_text("utf-8")


def main() -> int:
    """Run the bench on `mac.v`, or on the file that is given."""
    sys.path.insert(0, str(HERE))
    verilog = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "mac.v"
    with tempfile.TemporaryDirectory() as folder:
        passed, log = run(verilog, Path(folder))
    sys.stdout.write(f"{verilog.name}: equal to the kernel\n" if passed else log)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
