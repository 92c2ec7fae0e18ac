"""What every test folder shares: the data folder, and the skips of tests whose tool is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

_TOOLS = {
    "litert": (
        importlib.util.find_spec("ai_edge_litert") is not None,
        "ai-edge-litert is not installed: pip install 'hwsim[compare]'",
    ),
    "rtl": (
        shutil.which("iverilog") is not None,
        "Icarus Verilog (iverilog) is not installed: apt install iverilog",
    ),
}
"""By marker: whether its tests can run here, and why not."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (present, reason) in _TOOLS.items():
        if not present and item.get_closest_marker(marker):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of downloaded data sets and models; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("HWSIM_DATA")
    if not folder:
        pytest.skip("HWSIM_DATA is unset: no downloaded data")
    return Path(folder)
