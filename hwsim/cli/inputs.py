"""What commands that run a network begin with: the model, its data, and the cores of this machine."""

from __future__ import annotations

import os

from hwsim.data import DATASETS, Dataset, open_dataset
from hwsim.load import LoadedModel, load_model
from hwsim.models.catalog import BUNDLED
from hwsim.spec import InputError


def open_inputs(model: str, data: str | None) -> tuple[LoadedModel, Dataset]:
    """Return a model and a data set; without a name of data, those that a bundled model was made for."""
    loaded = load_model(model)
    return loaded, open_dataset(data or _own_data(model, loaded), image_size=_image_size(loaded))


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _own_data(name: str, loaded: LoadedModel) -> str:
    """A bundled model says what it was made for; another one cannot be guessed."""
    for bundled in BUNDLED:
        if bundled.path == loaded.path:
            return str(bundled.dataset)
    raise InputError(
        f"--data must be given for {name}: {', '.join(source.name for source in DATASETS)}, a folder or a .npz file"
    )


def _image_size(loaded: LoadedModel) -> tuple[int, int] | None:
    shape = loaded.graph.input.shape
    return (shape[1], shape[2]) if len(shape) == 4 else None
