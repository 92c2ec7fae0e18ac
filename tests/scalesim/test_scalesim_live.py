"""SCALE-Sim 3.0.0 itself beside `hwsim.scalesim`: the three report files, character for character."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from scalesim_nets import NETS, reduced

from hwsim.scalesim import Config, Layer, parse_topology, simulate, topology_text
from hwsim.scalesim.config import config_text
from hwsim.scalesim.reports import REPORTS

pytestmark = pytest.mark.slow  # installs the tool with its 20 dependencies; about five minutes, all of them the tool's

PACKAGES = ("scalesim==3.0.0", "numpy==2.1.3")
"""With newer versions of NumPy that release dies in any run; it states no bound."""

DRIVER = """
import sys
from scalesim.scale_sim import scalesim

topology, layout, out, *configs = sys.argv[1:]
for config in configs:
    run = scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout=layout)
    run.run_scale(top_path=out)
"""
"""Its command line writes gigabytes of traces, whatever it is told."""


@pytest.fixture(scope="module")
def tool(pytestconfig: pytest.Config) -> Path:
    """Return the Python of an environment with SCALE-Sim in it, made on first use and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("scalesim-3.0.0") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            pytest.skip(f"SCALE-Sim cannot be installed: {answer.stderr.strip().splitlines()[-1:]}")
        (folder / "complete").touch()
    return python


def compare(tool: Path, folder: Path, network: Sequence[Layer], configs: Sequence[Config]) -> None:
    """Run both on a network, with several configurations, and compare all files."""
    text = topology_text(network)
    (folder / "layers.csv").write_text(text, "utf-8")
    (folder / "layout.csv").write_text("unused,\n", "utf-8")
    for config in configs:
        (folder / f"{config.run_name}.cfg").write_text(config_text(config), "utf-8")
    files = [f"{config.run_name}.cfg" for config in configs]
    command = [str(tool), "-c", DRIVER, "layers.csv", "layout.csv", "out", *files]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for config in configs:
        results = simulate(parse_topology(text, "layers.csv"), config)
        for name, report in REPORTS.items():
            written = (folder / "out" / config.run_name / name).read_text("utf-8")
            assert report(results) == written, (config, name)


MACHINES = [
    Config(f"{rows}x{cols}_{kib}_{dataflow}", rows, cols, kib, kib, kib, dataflow)  # type: ignore[arg-type]
    for (rows, cols), kib, dataflow in itertools.product(((8, 8), (12, 14), (32, 16)), (1, 8), ("os", "ws", "is"))
]
"""Three shapes of arrays and two sizes of buffers: 1 KiB is full many times in most layers, 8 KiB in some."""


@pytest.mark.parametrize("net", NETS)
def test_reduced_networks_on_every_machine(net: str, tool: Path, tmp_path: Path) -> None:
    """An eighth of the pixels in each direction and of the channels: what the tool does in minutes, not in days."""
    compare(tool, tmp_path, reduced(net), MACHINES)


@pytest.mark.parametrize(("net", "dataflow"), [("alexnet", "ws"), ("mobilenet", "os"), ("resnet18", "os")])
def test_complete_networks(net: str, dataflow: str, tool: Path, tmp_path: Path) -> None:
    """128 x 128 elements, buffers of 256 KiB; each layer that occurs several times once. A minute each for the tool."""
    named = [Layer(f"L{number}", *sizes) for number, sizes in enumerate(dict.fromkeys(NETS[net]))]
    compare(tool, tmp_path, named, [Config("complete", 128, 128, 256, 256, 256, dataflow)])  # type: ignore[arg-type]


def test_odd_layers_on_odd_machines(tool: Path, tmp_path: Path) -> None:
    """Windows beyond the image, one element, one line, strides above the kernel, a depthwise layer by its name."""
    odd = [
        Layer("stride", 7, 9, 1, 2, 3, 5, 3), Layer("line", 1, 15, 1, 2, 1, 7), Layer("one", 1, 1, 1, 1, 3, 20, 3),
        Layer("tall", 13, 7, 1, 4, 1, 20, 2), Layer("window", 6, 6, 6, 6, 2, 3), Layer("gap", 8, 15, 3, 1, 17, 33, 3),
        Layer("depthwise_DP", 9, 9, 3, 3, 5, 1, 2),
    ]  # fmt: skip
    machines = [
        Config(f"{rows}x{cols}_{dataflow}", rows, cols, 1, 2, 3, dataflow)  # type: ignore[arg-type]
        for (rows, cols), dataflow in itertools.product(((1, 7), (5, 3), (64, 2)), ("os", "ws", "is"))
    ]
    compare(tool, tmp_path, odd, machines)
