"""The core that examples by hand use."""

from __future__ import annotations

from typing import Any

from hwsim.spec import Arithmetic, BiasAt, Core, Reduction, Register

RAW = Arithmetic(Reduction(acc=Register.parse("16:wrap"), bias_at=BiasAt.END))
"""Without records: nothing but weights and activations comes in."""


def small(**fields: Any) -> Core:
    """Return a raw 2 x 3 core without records."""
    return Core(**({"rows": 2, "cols": 3, "arithmetic": RAW, "output": None, "pixels": 16} | fields))
