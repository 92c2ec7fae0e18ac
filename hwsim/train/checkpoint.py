"""A training on disk: what an epoch left, so that one that was stopped goes on with the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.train.document import Epoch
from hwsim.train.network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a training is kept, and what there is to keep; all chance of an epoch is drawn from the seed and its number.

    Parameters
    ----------
    path
        A file.
    identity
        Of the training: a file with another one is left unread.
    network, optimizer, rates
        What an epoch changes.
    """

    path: Path
    identity: str
    network: TrainedNetwork
    optimizer: Any
    rates: Any

    def save(self, curve: list[Epoch]) -> None:
        """Replace the file; a training that is stopped while it is written leaves the last one."""
        import torch

        written = self.path.with_name(self.path.name + ".part")
        state = {
            "identity": self.identity,
            "parts": [part.state_dict() for part in (self.optimizer, self.rates)],
            "trained": self.network.trained(),
            "statistics": self.network.parameters.statistics(),
            "ranges": self.network.ranges.current,
            "curve": [epoch.model_dump() for epoch in curve],
        }
        torch.save(state, written)
        written.replace(self.path)

    def resume(self) -> list[Epoch]:
        """Take up the file, if there is one of this training; return the epochs behind it."""
        import torch

        if not self.path.exists():
            return []
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        if state["identity"] != self.identity:
            return []
        for part, values in zip((self.optimizer, self.rates), state["parts"], strict=True):
            part.load_state_dict(values)
        with torch.no_grad():
            for kind, values in self.network.trained().items():
                for value, stored in zip(values, state["trained"][kind], strict=True):
                    value.copy_(stored)
        self.network.parameters.restore_statistics(state["statistics"])
        self.network.ranges.current = {name: (low, high) for name, (low, high) in state["ranges"].items()}
        return [Epoch.model_validate(epoch) for epoch in state["curve"]]
