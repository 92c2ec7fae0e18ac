"""Single operators with random shapes and parameters against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the live comparison needs ai-edge-litert")

from litert.cases import CASES
from litert.comparison import assert_bit_exact
from litert.draw import Draw

pytestmark = pytest.mark.litert

MODELS_PER_CASE = 40
"""A difference in rounding shows in about one fully connected model in 30."""

INPUTS_PER_MODEL = 5


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", CASES)
def test_operator_equals_litert(name: str, dtype: str, tmp_path: Path) -> None:
    for seed in range(MODELS_PER_CASE):
        draw = Draw(np.random.default_rng([zlib.crc32(name.encode()), seed]), dtype)
        output = CASES[name](draw)
        path = draw.model.write(tmp_path / f"{name}-{dtype}-{seed}.tflite", [draw.source], [output])
        inputs = draw.rng.integers(draw.lo, draw.lo + 256, (INPUTS_PER_MODEL, *draw.input_shape[1:])).astype(dtype)
        inputs[0], inputs[1] = draw.lo, draw.lo + 255
        assert assert_bit_exact(path, inputs) >= 1
