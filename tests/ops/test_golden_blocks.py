"""The golden path cuts an image into blocks of windows: their size must not show."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.graph import Quantization, Tensor
from hwsim.kernels.monitor import Monitor
from hwsim.ops import Conv2D, Window, products
from hwsim.spec import Arithmetic, Format, Reduction, Register


@pytest.mark.parametrize("elements", [1, 100, 10_000])
def test_outputs_counters_and_the_first_event_do_not_depend_on_the_block(
    monkeypatch: pytest.MonkeyPatch, elements: int
) -> None:
    """One block of all 35 windows against blocks of 1 and 3 (100 // 27) of them."""
    rng = np.random.default_rng(7)
    source = Tensor("x", (1, 7, 9, 3), Quantization(Format(8), np.array(0.1), np.array(3)))
    weights = Tensor(
        "w", (5, 3, 3, 3), Quantization(Format(8), np.full(5, 0.01), np.zeros(5, np.int64), 0),
        rng.integers(-127, 128, (5, 3, 3, 3)).astype(np.int8),
    )  # fmt: skip
    result = Tensor("y", (1, 5, 7, 5), Quantization(Format(8), np.array(0.5), np.array(0)))
    arithmetic = Arithmetic(Reduction(Register.parse("15:saturate")))
    images = rng.integers(-128, 128, (2, 7, 9, 3)).astype(np.int8)

    def run() -> tuple[np.ndarray, Monitor]:
        monitor = Monitor(5, observe=True)
        (out,) = Conv2D(Window((3, 3))).prepare([source, weights], [result], arithmetic).run([images], monitor)
        return out, monitor

    whole, seen = run()
    assert seen.events > 0
    monkeypatch.setattr(products, "PANEL_ELEMENTS", elements)
    parts, again = run()
    assert np.array_equal(parts, whole)
    for field in ("counts", "low", "high", "first"):
        assert np.array_equal(getattr(again, field), getattr(seen, field)), field
