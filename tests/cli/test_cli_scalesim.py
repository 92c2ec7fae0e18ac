"""``hwsim scalesim`` as a user calls it."""

from __future__ import annotations

from pathlib import Path

from command import Command

from hwsim.scalesim import Config
from hwsim.scalesim.config import config_text

TOPOLOGY = "Layer, M, N, K,\nfirst, 33, 17, 100,\nsecond, 8, 9, 10,\n"


def write(folder: Path, dataflow: str = "ws") -> tuple[Path, Path]:
    config, topology = folder / "machine.cfg", folder / "layers.csv"
    config.write_text(config_text(Config("run_1", 8, 5, 1, 1, 1, dataflow)), "utf-8")  # type: ignore[arg-type]
    topology.write_text(TOPOLOGY, "utf-8")
    return config, topology


def test_a_table_and_the_three_reports(hwsim: Command) -> None:
    """The first layer's row is that of SCALE-Sim 3.0.0, see tests/scalesim."""
    answer = hwsim("scalesim", *write(hwsim.folder), "-o", "out")
    assert answer.code == 0, answer
    assert "2,703" in answer.out and "partial sums" in answer.out
    reports = sorted(path.name for path in (hwsim.folder / "out" / "run_1").iterdir())
    assert reports == ["BANDWIDTH_REPORT.csv", "COMPUTE_REPORT.csv", "DETAILED_ACCESS_REPORT.csv"]
    rows = (hwsim.folder / "out" / "run_1" / "COMPUTE_REPORT.csv").read_text("utf-8").splitlines()
    assert rows[1].startswith("0, 2777, 2703, 0, 51.886792452830186, ")
    assert len(rows) == 3


def test_without_a_folder_nothing_is_written(hwsim: Command) -> None:
    files = write(hwsim.folder, "os")
    answer = hwsim("scalesim", *files)
    assert answer.code == 0, answer
    assert "partial sums" not in answer.out
    assert sorted(path.name for path in hwsim.folder.iterdir()) == ["layers.csv", "machine.cfg"]


def test_broken_files_are_one_line(hwsim: Command) -> None:
    config, topology = write(hwsim.folder)
    topology.write_text(TOPOLOGY.replace("10,", "ten,"), "utf-8")
    message = hwsim.refused("scalesim", config, topology, "-o", "out")
    assert message == f"{topology}: line 3: K must be an integer from 1 to 1073741824, not 'ten'"
    assert "no such file" in hwsim.refused("scalesim", hwsim.folder / "none.cfg", topology)
