"""What every test folder shares: the data folder, the skips of tests whose tool is missing, one cache per process."""

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

# Two processes that fill one numba cache at a time can leave an index that names the code of another signature.
# hwsim.kernels.jit reads this variable when it is first imported, which is after this file.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    _cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ["XDG_CACHE_HOME"] = str(_cache / "hwsim" / f"tests-{_worker}")


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
