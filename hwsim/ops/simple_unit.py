"""A unit made of one function, for operators that sum no products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwsim.graph import Array, Unit
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.table import Step


class SimpleUnit(Unit):
    """Runs a function of the node's inputs that returns its only output; `step` does the same."""

    def __init__(self, function: Callable[..., Array], step: Step | None = None) -> None:
        self.function, self.step = function, step

    def run(self, inputs: Sequence[Array], monitor: Monitor | None = None) -> list[Array]:
        return [self.function(*inputs)]
