"""Vectors: the same bytes again, listed as they are, and right in the emitted core without Python in the loop."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gemm_core_configurations import named

from hwsim.cosim.golden import GemmCase, Outliers, golden
from hwsim.cosim.sidecar import read_core
from hwsim.cosim.vectors import MANIFEST, readmemh, vector_files, write_vectors
from hwsim.hardware.emit import core_verilog, module_name
from hwsim.spec import Core, InputError

HERE = Path(__file__).parent
NAMES = ["ws_outliers_w2", "os_acc32_narrow_buses", "ws_chain_lanes_tree", "ws_odd_widths_raw"]


@pytest.mark.parametrize("name", NAMES)
def test_same_arguments_same_bytes(name: str) -> None:
    core = named(name)
    assert vector_files(core, cases=5, seed=3) == vector_files(core, cases=5, seed=3)
    assert vector_files(core, cases=5, seed=3) != vector_files(core, cases=5, seed=4)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_lists_every_file_and_the_arrays_are_the_kernels(name: str, tmp_path: Path) -> None:
    core, folder = named(name), tmp_path / "vectors"
    write_vectors(core, folder, cases=5, seed=3)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {MANIFEST, *manifest["files"]}
    for path, entry in manifest["files"].items():
        assert entry["sha256"] == hashlib.sha256((folder / path).read_bytes()).hexdigest()
    assert read_core(folder / "core.json") == core
    assert len(manifest["cases"]) == 5
    for described in manifest["cases"]:
        arrays = {path.stem: np.load(path) for path in (folder / described["path"]).glob("*.npy")}
        for array, entry in ((arrays[name], manifest["files"][f"{described['path']}/{name}.npy"]) for name in arrays):
            assert (list(array.shape), str(array.dtype)) == (entry["shape"], entry["dtype"])
        results, events = golden(core, rebuilt(described, arrays))
        assert np.array_equal(results, arrays["expected"])
        assert np.array_equal(events, arrays["events"])


def rebuilt(described: dict[str, int], arrays: dict[str, np.ndarray]) -> GemmCase:
    none = np.zeros(described["n"], np.int64)
    outliers = [arrays[f"outliers_{field}"] for field in ("k", "column", "value")] if "outliers_k" in arrays else None
    case = GemmCase(
        arrays["activations"], arrays["weights"], arrays["bias"], arrays.get("multiplier", none), arrays.get("shift", none),
        described["lo"], described["hi"], described["activation_zero_point"], described["output_zero_point"],
        bool(described["single"]), None if outliers is None else Outliers(*outliers),
    )  # fmt: skip
    assert case.shape == (described["m"], described["k"], described["n"])
    return case


def test_beats_are_written_highest_byte_first() -> None:
    assert readmemh(np.array([[0x34, 0x12], [0xFF, 0x00]], np.uint8)) == b"1234\n00ff\n"


def test_an_earlier_folder_is_replaced_and_another_is_not_touched(tmp_path: Path) -> None:
    core, folder = named("os_acc32_narrow_buses"), tmp_path / "vectors"
    write_vectors(core, folder, cases=4, seed=1)
    write_vectors(core, folder, cases=2, seed=1)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(vector_files(core, cases=2, seed=1))
    assert not (folder / "case_003").exists()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(
        InputError, match=r"--output must be empty or hold earlier vectors, not .* \(it has notes\.txt\)"
    ):
        write_vectors(core, folder, cases=3, seed=1)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="--output must be a folder, not the file"):
        write_vectors(core, folder / "notes.txt", cases=1, seed=1)
    for options, message in (
        ({"cases": 0, "seed": 1}, "--cases must be"),
        ({"cases": 1, "seed": -1}, "--seed must be"),
    ):
        with pytest.raises(InputError, match=message):
            write_vectors(core, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def replay(core: Core, verilog: str, vectors: Path, folder: Path) -> str:
    """Run the vectors in Icarus; return the last line of what the bench says."""
    source, program = folder / "core.v", folder / "replay.vvp"
    source.write_text(verilog, "utf-8")
    widths = {
        "WEIGHT_BITS": core.weight_packing.bus_bits, "ACTIVATION_BITS": core.activation_packing.bus_bits,
        "RESULT_BITS": core.result_packing.bus_bits, "OUTLIER_BITS": core.outlier_bus_bits,
    }  # fmt: skip
    defines = [f"-DDUT={module_name(core)}", *(["-DOUTLIERS"] if core.outlier_lanes else [])]
    parameters = [f"-Preplay.{name}={bits}" for name, bits in widths.items()]
    build = ["iverilog", "-g2012", "-o", program, "-s", "replay", *defines, *parameters, HERE / "replay.v", source]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    jobs = folder / "jobs.txt"
    jobs.write_text("".join(f"{path.parent}\n" for path in sorted(vectors.rglob("counts.hex"))))
    done = subprocess.run(
        ["vvp", program, f"+list={jobs}"], check=True, capture_output=True, text=True, timeout=300
    ).stdout  # fmt: skip
    return done.splitlines()[-1]


@pytest.mark.rtl
@pytest.mark.parametrize("name", NAMES)
def test_verilog_replays_the_vectors(name: str, tmp_path: Path) -> None:
    core, vectors = named(name), tmp_path / "vectors"
    write_vectors(core, vectors, cases=12, seed=2)
    beats = sum(len(path.read_text().split()) for path in vectors.rglob("results.hex"))
    assert beats > 40
    assert replay(core, core_verilog(core), vectors, tmp_path) == f"{beats} beats compared, 0 errors"


@pytest.mark.rtl
def test_one_wrong_bit_in_the_vectors_is_seen(tmp_path: Path) -> None:
    core, vectors = named("ws_odd_widths_raw"), tmp_path / "vectors"
    write_vectors(core, vectors, cases=3, seed=2)
    path = max(vectors.rglob("results.hex"))
    first, *others = path.read_text().split()
    changed = f"{int(first, 16) ^ 1:0{len(first)}x}"
    path.write_text("\n".join([changed, *others]) + "\n")
    assert replay(core, core_verilog(core), vectors, tmp_path).endswith(" beats compared, 1 errors")
