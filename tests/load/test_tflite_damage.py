"""Damaged TFLite files: always a graph or one clear line, never another exception, never memory out of proportion."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert", reason="the test models are written with ai-edge-litert's schema")

from hwsim.load.tflite import load_tflite, tensor_indices
from hwsim.load.tflite_file import MAX_NAME_BYTES
from hwsim.spec import InputError
from litert.builder import ModelBuilder
from litert.cases import CASES
from litert.draw import Draw

ROOT = Path(os.environ.get("HWSIM_DATA") or "")
SHARED_FILE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def small_models() -> tuple[bytes, ...]:
    """Return one small model per operator."""
    models = []
    for seed, case in enumerate(CASES.values()):
        draw = Draw(np.random.default_rng(seed), "int8")
        output = case(draw)
        models.append(draw.model.bytes([draw.source], [output]))
    return tuple(models)


def load(content: bytes, path: Path) -> None:
    """Load bytes; anything but a graph or `InputError` on one line fails."""
    path.write_bytes(content)
    for read in (load_tflite, tensor_indices):
        line = refusal(read, path)
        assert line is None or (line.startswith(f"{path}: ") and "\n" not in line and len(line) < 2000)


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """Return the text of the `InputError`, None where the file could be read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


@SHARED_FILE
@given(model=st.integers(0, len(CASES) - 1), cut=st.floats(0, 1, exclude_max=True))
def test_truncated(tmp_path: Path, model: int, cut: float) -> None:
    content = small_models()[model]
    load(content[: int(len(content) * cut)], tmp_path / "m.tflite")


@SHARED_FILE
@given(
    model=st.integers(0, len(CASES) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_changed_bytes(tmp_path: Path, model: int, changes: list[tuple[float, int]]) -> None:
    content = bytearray(small_models()[model])
    for place, value in changes:
        content[int(len(content) * place)] = value
    load(bytes(content), tmp_path / "m.tflite")


@SHARED_FILE
@given(
    model=st.integers(0, len(CASES) - 1),
    place=st.floats(0, 1, exclude_max=True),
    value=st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 2**24]),
)
def test_changed_words(tmp_path: Path, model: int, place: float, value: int) -> None:
    """Offsets, lengths and sizes that point far away or at themselves."""
    content = bytearray(small_models()[model])
    at = int(len(content) * place) & ~3
    content[at : at + 4] = value.to_bytes(4, "little")
    load(bytes(content), tmp_path / "m.tflite")


@SHARED_FILE
@given(content=st.binary(max_size=400))
def test_noise(tmp_path: Path, content: bytes) -> None:
    load(b"\x10\0\0\0TFL3" + content, tmp_path / "m.tflite")


def test_tables_that_share_one_long_name(tmp_path: Path) -> None:
    """2000 tensors that point at one name of 60 kB would be 120 MB of text."""
    count = 2000
    model = ModelBuilder()
    for index in range(count):
        model.tensor([1, 3], "float32", name="t" if index < count - 1 else "t" * 60_000)
    content = bytearray(model.bytes([0], [1]))
    # The vector of tensors follows its length; its offsets count from where they stand.
    words = np.frombuffer(bytes(content[: len(content) // 4 * 4]), "<u4")
    start = int(np.flatnonzero(words == count)[0]) + 1
    target = (start + count - 1) * 4 + int(words[start + count - 1])
    for index in range(count):
        at = (start + index) * 4
        content[at : at + 4] = (target - at).to_bytes(4, "little")
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="tensor names must be at most 33554432 bytes in all, not more"):
            load_tflite(path)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_NAME_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not os.environ.get("HWSIM_DATA"), reason="HWSIM_DATA is unset: no published models")
def test_published_model_cut_and_scratched(tmp_path: Path) -> None:
    content = (ROOT / "mlperf_tiny" / "resnet8_int8.tflite").read_bytes()
    path = tmp_path / "m.tflite"
    for cut in np.linspace(0, len(content) - 1, 60).astype(int):
        load(content[:cut], path)
    rng = np.random.default_rng(1)
    for _ in range(60):
        scratched = np.frombuffer(content, np.uint8).copy()
        # Most of the file is weights; its tables are at the ends.
        places = rng.integers(0, len(content), 20), rng.integers(len(content) - 8000, len(content), 20)
        for place in places:
            scratched[place] = rng.integers(0, 256, 20)
        load(scratched.tobytes(), path)
