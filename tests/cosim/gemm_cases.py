"""Small cores with odd widths and random GEMMs for them, for tests of what stands beside the hardware."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.cosim.golden import GemmCase, Outliers
from hwsim.spec import Arithmetic, BiasAt, Core, Dataflow, Format, Profile, Reduction, Register, ZeroPoints

OS = Dataflow.OUTPUT_STATIONARY
END, FOLD = BiasAt.END, ZeroPoints.FOLD


def gemm_core(acc: str, rows: int, cols: int, profile: Profile = Profile.TFLITE, **given: Any) -> Core:
    """Return a core; registers are texts, fields of the reduction stand beside those of the core."""
    names = ("lanes", "tree", "chain", "psum", "bias_at", "zero_points")
    fields = {name: given.pop(name) for name in names if name in given}
    registers = {name: Register.parse(fields[name]) for name in ("tree", "psum") if name in fields}
    reduction = Reduction(**fields | registers | {"acc": Register.parse(acc)})
    return Core(rows=rows, cols=cols, arithmetic=Arithmetic(reduction, profile), **({"pixels": 7} | given))


CORES: dict[str, Core] = {
    "weight stationary": gemm_core("16:saturate", 3, 5),
    "chain, lanes, tree": gemm_core(
        "19:wrap", 3, 2, Profile.TFLITE_SINGLE, lanes=4, tree="17:saturate", chain=3, psum="18:wrap",
        activation=Format(8, signed=False), output=Format(8, signed=False), activation_bus_bits=16, requantizers=1,
    ),
    "outliers": gemm_core("13:saturate", 4, 3, weight_bits=2, activation=Format(4), outlier_lanes=2, outlier_bits=9),
    "outliers in chains": gemm_core(
        "19:saturate", 2, 3, lanes=3, chain=2, psum="17:saturate", outlier_lanes=1, zero_points=FOLD, bias_at=END,
    ),
    "one of everything": gemm_core("24:wrap", 1, 1, outlier_lanes=3, pixels=2, result_bus_bits=32, output=Format(16)),
    "odd widths": gemm_core(
        "13:saturate", 2, 3, activation=Format(7), weight_bits=5, weight_bus_bits=40, activation_bus_bits=56,
        output=Format(3, signed=False), result_bus_bits=24, max_left_shift=7,
    ),
    "output stationary": gemm_core("17:saturate", 4, 3, dataflow=OS, chain=3, psum="17:saturate", lanes=2),
    "output stationary, raw": gemm_core(
        "9:saturate", 3, 2, dataflow=OS, activation=Format(3, signed=False), weight_bits=6, output=None, weight_bus_bits=24,
        zero_points=FOLD,
    ),
    "no records": gemm_core("48:wrap", 2, 2, output=None, bias_at=END, result_bus_bits=48, activation=Format(12)),
    "power of two": gemm_core("33:wrap", 2, 4, Profile.POWER_OF_TWO, activation=Format(16), bias_at=END, dataflow=OS),
}  # fmt: skip


def random_case(core: Core, seed: int, shape: tuple[int, int, int] | None = None) -> GemmCase:
    """Draw a GEMM, a few tiles each way; with outlier lanes more outliers than fit into some K tiles.

    With an odd seed operands are the ends of their formats, so that sums overflow.
    """
    rng = np.random.default_rng(seed)
    m, k, n = shape or (
        int(rng.integers(1, 3 * core.tile_pixels)), int(rng.integers(1, 3 * core.tile_products + 2)),
        int(rng.integers(1, 3 * core.cols)),
    )  # fmt: skip

    def draw(number: Format, size: tuple[int, ...]) -> Any:
        if seed % 2:
            return rng.choice([number.lo, number.hi], size)
        return rng.integers(number.lo, number.hi, size, endpoint=True)

    reduction, output = core.arithmetic.reduction, core.output or Format(8)
    multiplier = rng.integers(1 << 30, 1 << 31, n)
    if core.arithmetic.profile is Profile.POWER_OF_TWO:
        multiplier[:] = 1 << 30
    outliers = None
    if core.outlier_lanes:
        entries = int(rng.integers(0, 2 * core.outlier_lanes * -(-k // core.tile_products) + 3))
        value = draw(Format(core.outlier_bits), (entries,))
        outliers = Outliers(rng.integers(0, k, entries), rng.integers(0, n, entries), value)
    lo, hi = np.sort(draw(output, (2,))).tolist()
    return GemmCase(
        draw(core.activation, (m, k)), draw(core.weight, (k, n)), draw(reduction.acc.format, (n,)) // 2,
        multiplier, rng.integers(-9, core.max_left_shift + 1, n), lo, hi,
        int(draw(core.activation, ())), int(draw(output, ())),
        core.arithmetic.profile is Profile.TFLITE and bool(rng.integers(2)), outliers,
    )  # fmt: skip
