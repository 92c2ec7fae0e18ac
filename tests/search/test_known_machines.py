"""Presets of known machines: the instruction itself, FBGEMM's documented behaviour, and arithmetic by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hwsim.kernels.reduce import reduce_panel
from hwsim.sim.analyze.extremes import extremes
from hwsim.spec import PRESETS, Reduction, bits_for

Int64 = npt.NDArray[np.int64]

PROGRAM = r"""
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads rows, columns, products (a multiple of 32), u8 [rows][products], s8 [columns][products]; writes int32 sums. */
int main(void) {
    int32_t size[3];
    if (fread(size, 4, 3, stdin) != 3) return 1;
    int m = size[0], n = size[1], k = size[2];
    uint8_t *a = malloc((size_t)m * k);
    int8_t *w = malloc((size_t)n * k);
    if (fread(a, k, m, stdin) != (size_t)m || fread(w, k, n, stdin) != (size_t)n) return 1;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            __m256i sums = _mm256_setzero_si256();
            for (int p = 0; p < k; p += 32) {
                __m256i x = _mm256_loadu_si256((const __m256i *)(a + (size_t)i * k + p));
                __m256i y = _mm256_loadu_si256((const __m256i *)(w + (size_t)j * k + p));
                __m256i pairs = _mm256_maddubs_epi16(x, y);
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
            int32_t lanes[8], sum = 0;
            _mm256_storeu_si256((__m256i *)lanes, sums);
            for (int l = 0; l < 8; l++) sum += lanes[l];
            fwrite(&sum, 4, 1, stdout);
        }
    return 0;
}
"""


def preset(name: str) -> Reduction:
    return next(machine for machine in PRESETS if machine.name == name).arithmetic.reduction


def operands(rng: np.random.Generator, rows: int, channels: int, products: int) -> tuple[Int64, Int64]:
    """Return uint8 [rows, products] and int8 [channels, products]: random, with rows and channels of the extremes."""
    activations = rng.integers(0, 256, (rows, products))
    weights = rng.integers(-128, 128, (channels, products))
    activations[0], weights[0], weights[1] = 255, -128, 127
    activations[1], weights[2] = rng.choice([0, 255], products), rng.choice([-128, 127], products)
    return activations, weights


@pytest.fixture(scope="module")
def instruction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program above, compiled here."""
    compiler = shutil.which("cc")
    flags = Path("/proc/cpuinfo")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    if not flags.exists() or " avx2 " not in flags.read_text("utf-8"):
        pytest.skip("this processor has no AVX2")
    folder = tmp_path_factory.mktemp("vpmaddubsw")
    (folder / "sums.c").write_text(PROGRAM, "utf-8")
    subprocess.run([compiler, "-O1", "-mavx2", "-o", folder / "sums", folder / "sums.c"], check=True)
    return folder / "sums"


def test_the_vpmaddubsw_preset_equals_the_instruction(instruction: Path) -> None:
    rng = np.random.default_rng(1)
    for rows, channels, products in ((5, 7, 32), (3, 11, 288), (4, 3, 1600)):
        activations, weights = operands(rng, rows, channels, products)
        text = np.array([rows, channels, products], "<i4").tobytes()
        text += activations.astype("u1").tobytes() + weights.astype("i1").tobytes()
        out = subprocess.run([instruction], input=text, capture_output=True, check=True).stdout
        expected = np.frombuffer(out, "<i4").reshape(rows, channels)
        found = reduce_panel(activations, weights.T, None, preset("x86-vpmaddubsw"))
        assert np.array_equal(found, expected)
        assert not np.array_equal(expected, activations @ weights.T)


def test_the_vpmaddubsw_preset_by_hand() -> None:
    """255 * 127 * 2 = 64770 > 32767; 255 * -128 * 2 = -65280 < -32768; the third pair, 1 * 2 + 3 * 4 = 14, fits."""
    activations = np.array([[255, 255, 255, 255, 1, 3, 9]])
    weights = np.array([[127], [127], [-128], [-128], [2], [4], [-5]])
    found = reduce_panel(activations, weights, None, preset("x86-vpmaddubsw"))
    assert found.item() == 32767 - 32768 + 14 - 45


def clip_16bit(value: int) -> int:
    return max(-32768, min(32767, value))


def acc16(activations: list[int], weights: list[int], brow: int) -> int:
    """What FBGEMM's ``matmul_u8i8acc16_ref`` is documented to compute: pairs, 16-bit sums, a spill every `brow` products."""
    total, narrow = 0, 0
    for k in range(0, len(activations), 2):
        pair = sum(a * w for a, w in zip(activations[k : k + 2], weights[k : k + 2], strict=True))
        narrow = clip_16bit(narrow + clip_16bit(pair))
        if k % brow == brow - 2:
            total, narrow = total + narrow, 0
    return total + narrow


@pytest.mark.parametrize("spread", [128, 64, 8])
def test_the_acc16_preset_equals_fbgemms_behaviour(spread: int) -> None:
    """At full weights nearly every sum saturates; at 7 bits some do; at 4 bits (8 * 255 * 32 = 65280) few."""
    rng = np.random.default_rng(spread)
    reduction = preset("fbgemm-acc16")
    assert reduction.chain is not None
    for products in (1, 2, 31, 32, 33, 577):
        activations, weights = operands(rng, 6, 5, products)
        weights = np.clip(weights, -spread, spread - 1)
        found = reduce_panel(activations, weights.T, None, reduction)
        expected = [[acc16(a, w, 2 * reduction.chain) for w in weights.tolist()] for a in activations.tolist()]
        assert found.tolist() == expected


def test_what_the_notes_of_the_machines_say_of_their_widths() -> None:
    """Gemmini: 16 * 128 * 128 = 2**18 fits 20 bits. NVDLA: 34 bits hold fewer than 2**19 products of 2**14."""
    ones = np.full((16, 1), -128)
    gemmini = extremes(ones, np.zeros(1, np.int64), -128, 127, preset("gemmini-16x16"))["psum"]
    assert int(gemmini.high[0]) == 2**18 < 2**19
    assert preset("nvdla-small").acc.bits == bits_for(0, (2**19 - 1) * 2**14)
    tpu = preset("tpu-psum16")
    assert tpu.psum is not None and tpu.psum.format.hi < 2 * 255 * 127
    assert reduce_panel(np.array([[255, 255]]), np.array([[127], [127]]), None, tpu).item() == 2 * 255 * 127 - 2**16


def test_an_exact_tree_of_16_is_the_sum() -> None:
    activations, weights = operands(np.random.default_rng(3), 4, 6, 77)
    found = reduce_panel(activations, weights.T, None, preset("adder-tree-16x16"))
    assert np.array_equal(found, activations @ weights.T)
