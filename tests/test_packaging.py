"""The wheel, in a clean environment: it brings names of hwsim only, and everything that a run needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel from a copy of the sources: what older builds left in the checkout must not get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("hwsim", "models", "rtl"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


def test_wheel_holds_the_sources_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"hwsim", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}

    expected = set()
    for prefix, folder in (("hwsim", "hwsim"), ("hwsim/models", "models"), ("hwsim/rtl", "rtl")):
        for path in (ROOT / folder).rglob("*"):
            data = path.name in ("model.onnx", "recipe.json", "py.typed") or path.parent.name == "templates"
            if path.suffix == ".py" or (data and path.is_file()):
                expected.add(f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}")
    assert {name for name in names if name.startswith("hwsim/")} == expected


def test_wheel_states_its_licence_and_its_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode("utf-8")
        licence = archive.read(name.replace("METADATA", "licenses/LICENSE")).decode("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "License-Expression: Apache-2.0\n" in metadata
    assert f"Requires-Python: {project['requires-python']}\n" in metadata
    assert licence == (ROOT / "LICENSE").read_text("utf-8")


def test_clean_environment_runs_a_bundled_model(python: Path, tmp_path: Path) -> None:
    hwsim = python.with_name("hwsim")
    assert "run" in _run(hwsim, "--help", cwd=tmp_path)
    _run(hwsim, "run", "digits_cnn", "--data", "digits", "--images", "7", "--report", "report", "--json", "run.json",
         cwd=tmp_path)  # fmt: skip
    document = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert document["accuracy"]["n"] == 7
    assert (tmp_path / "report" / "report.html").is_file()


def test_clean_environment_has_every_bundled_model_and_no_foreign_name(python: Path, tmp_path: Path) -> None:
    script = """
import importlib.metadata, importlib.util
from hwsim.models.catalog import BUNDLED
assert BUNDLED and all(model.path.is_file() and model.recipe() for model in BUNDLED)
files = importlib.metadata.files("hwsim")
print(*sorted({file.parts[0] for file in files if file.parts[0] != ".." and ".dist-info" not in file.parts[0]}))
print(*(name for name in ("models", "rtl", "tests", "reports") if importlib.util.find_spec(name)))
"""
    assert _run(python, "-I", "-c", script, cwd=tmp_path) == "hwsim\n\n"
