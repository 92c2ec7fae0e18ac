"""The models and sets of a space, opened once to know what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.sim.feed import require_match
from hwsim.sim.network import common_bits
from hwsim.spec import Accelerator, InputError
from hwsim.sweep.points import ModelSource
from hwsim.sweep.space import ModelTable, Space, model_name


def open_sources(space: Space) -> dict[str, ModelSource]:
    """Return the models by name.

    Raises
    ------
    InputError
        Where a file is missing, or data do not fit a model.
    """
    return {model_name(entry): _source(space, entry) for entry in space.models}


def open_base(space: Space) -> Accelerator:
    """Return the machine that parameters change."""
    return load_accelerator(space.path(space.accelerator))


def _source(space: Space, entry: ModelTable) -> ModelSource:
    path = space.path(entry.model)
    loaded = load_model(path)
    graph = loaded.graph
    # Other processes have other folders of their own.
    if Path(path).is_file():
        path = str(Path(path).absolute())
    found = ModelSource(
        model_name(entry), entry.model, path, loaded.sha256, graph.quantized, graph.profile,
        mean=entry.input_mean, std=entry.input_std,
        weight_bits=common_bits(graph, weights=True), activation_bits=common_bits(graph, weights=False),
    )  # fmt: skip
    if entry.data is None:
        return found
    where = space.path(entry.data)
    shape = graph.input.shape
    size = (shape[1], shape[2]) if len(shape) == 4 else None
    dataset = open_dataset(where, image_size=size)
    try:
        require_match(graph, dataset)
    except InputError as error:
        raise InputError(f"models: {found.name}: {error}") from None
    located = str(Path(where).absolute()) if "/" in where else where
    return replace(
        found, data=entry.data, data_path=located, data_sha256=dataset.digest(), image_size=size, samples=len(dataset)
    )
