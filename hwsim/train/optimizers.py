"""Who takes the steps of training, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwsim.train.extra import Value
from hwsim.train.settings import Optimizer, TrainSettings

MOMENTUM = 0.9
"""Of `Optimizer.SGD`."""


def optimizer_of(trained: Mapping[str, list[Value]], settings: TrainSettings) -> Any:
    """Return what changes parameters, which are given by kind: `TrainedNetwork.trained`."""
    import torch

    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [
        {"params": trained["weights"], "weight_decay": decay, "lr": rate},
        {"params": trained["others"], "weight_decay": 0.0, "lr": rate},
    ]
    if settings.optimizer is Optimizer.SGD:
        steps = [{"params": trained["steps"], "weight_decay": 0.0, "lr": rate}] if trained["steps"] else []
        return torch.optim.SGD([*groups, *steps], rate, momentum=MOMENTUM)
    # What Adam moves by does not depend on the gradient's size: a step's rate is in shares of what it begins at.
    own = ((size, rate * float(size.detach().mean())) for size in trained["steps"])
    groups += [{"params": [size], "weight_decay": 0.0, "lr": share} for size, share in own]
    # Without decay it is Adam.
    return torch.optim.AdamW(groups, rate)


def rates_of(optimizer: Any, settings: TrainSettings, steps: int) -> Any:
    """Return what sets the learning rate before each step, of so many in an epoch."""
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

    rising = round(settings.warm_up * steps)
    falling = CosineAnnealingLR(optimizer, settings.epochs * steps - rising)
    if not rising:
        return falling
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / (rising + 1), 1.0, rising), falling], [rising])
