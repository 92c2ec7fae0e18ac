"""Small cores of every kind that `Core` accepts, drawn at random."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hwsim.spec import (
    BUILT_DATAFLOWS,
    Arithmetic,
    BiasAt,
    Core,
    Dataflow,
    Format,
    InputError,
    Overflow,
    Profile,
    Reduction,
    Register,
    ZeroPoints,
)


def random_core(rng: np.random.Generator, **fixed: Any) -> Core:
    """Draw a core; `fixed` fields of `Core` are as given."""
    while True:
        try:
            return Core(**(_draw(rng, fixed.get("dataflow")) | fixed))
        except InputError:
            continue


def _pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _register(rng: np.random.Generator, at_least: int) -> Register:
    bits = int(_pick(rng, at_least, at_least + 2, rng.integers(at_least, 49), 32))
    return Register(min(max(bits, 8, at_least), 48), _pick(rng, *Overflow))


def _draw(rng: np.random.Generator, dataflow: Dataflow | None) -> dict[str, Any]:
    dataflow = dataflow or _pick(rng, *BUILT_DATAFLOWS)
    stationary = dataflow is Dataflow.WEIGHT_STATIONARY
    rows, cols, lanes = int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(_pick(rng, 1, 1, 2, 3, 4))
    activation = Format(int(_pick(rng, 2, 3, 4, 8, 8, 16)), _pick(rng, True, False))
    weight_bits = int(_pick(rng, 2, 3, 4, 8, 8, 16))
    chain = _pick(rng, None, rows if stationary else int(rng.integers(1, 5)))
    least = activation.bits + weight_bits + 1
    arithmetic = Arithmetic(
        Reduction(
            acc=_register(rng, least),
            lanes=lanes,
            tree=_register(rng, least) if lanes > 1 and rng.random() < 0.5 else None,
            chain=chain,
            psum=None if chain is None else _register(rng, least),
            bias_at=_pick(rng, *BiasAt),
            zero_points=_pick(rng, *ZeroPoints),
        ),
        _pick(rng, Profile.TFLITE, Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.POWER_OF_TWO),
    )
    output = _pick(rng, None, Format(8), Format(int(_pick(rng, 2, 5, 16)), _pick(rng, True, False)))

    def bus(bits: int) -> int | None:
        unit = math.lcm(8, bits)
        return _pick(rng, None, unit, 2 * unit, 4 * unit, 64 * unit // math.gcd(64, unit))

    return {
        "dataflow": dataflow,
        "rows": rows,
        "cols": cols,
        "activation": activation,
        "weight_bits": weight_bits,
        "arithmetic": arithmetic,
        "output": output,
        "pixels": int(_pick(rng, 2, 3, 16, 40)),
        "weight_bus_bits": bus(weight_bits),
        "activation_bus_bits": bus(activation.bits),
        "result_bus_bits": bus(arithmetic.reduction.acc.bits if output is None else output.bits),
        "requantizers": _pick(rng, None, *(n for n in range(1, cols + 1) if cols % n == 0)),
        "max_left_shift": int(_pick(rng, 0, 1, 7, 30)),
        "outlier_lanes": int(rng.integers(0, 5)) if stationary else 0,
        "outlier_bits": int(_pick(rng, 2, 8, 16)),
        "count_events": bool(rng.random() < 0.8),
    }
