"""The document of `hwsim time`: a network's shapes and formats on a machine."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwsim.graph import Graph
from hwsim.load.catalog import LoadedModel
from hwsim.memory.compression import Scheme as Compression
from hwsim.quant import Scheme, dequantized
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.described_model import model_info
from hwsim.sim.document import (
    SCHEMA_VERSION,
    LayerTimes,
    Provenance,
    QuantizationInfo,
    TimeDocument,
    TotalTimes,
)
from hwsim.sim.network import common_bits
from hwsim.sim.time.document import accelerator_info, layer_times, total_times, with_formats
from hwsim.sim.time.given import GivenTiles
from hwsim.sim.time.network import MODEL, TimedLayer, time_network
from hwsim.sim.time.outlier_layers import PLACES, check_outliers, with_places
from hwsim.spec import Accelerator, Fusion, Profile, require

FORMATS = "formats only, no values"
FORMATS_AND_OUTLIERS = "formats, and the places of outliers"
"""What is known of a network that is not quantized here."""


def time_model(
    model: LoadedModel, accelerator: Accelerator, *, weight_bits: int | None = None, activation_bits: int | None = None,
    outliers: OutlierRule | None = None, compression: Compression | None = None, tiles: GivenTiles | None = None,
    frames_per_second: float = 30.0, command: str = "hwsim.sim.time.run.time_model",
) -> TimeDocument:  # fmt: skip
    """Return the time of a model on a machine.

    Parameters
    ----------
    model
        Quantized or float.
    accelerator
        The machine.
    weight_bits, activation_bits
        As for `hwsim.sim.run.Settings`.
    outliers
        Which weights are kept apart; of the weights' values only this looks at any.
    compression
        How weights are stored, for a model that runs in its own integers.
    tiles
        How layers are cut, where that is given; see `hwsim.sim.time.given`.
    frames_per_second
        For the bandwidth.
    command
        What to write into the provenance.

    Raises
    ------
    InputError
        For an operator without a cost, buffers that are too small, or tiles that are none of a layer.
    """
    own = model.graph.quantized and all(given is None for given in (weight_bits, activation_bits, outliers))
    require(own or compression is None, "compression", "left out where formats are not the model's own", "given")
    graph = graph_of(model.graph, accelerator, weight_bits, activation_bits, outliers)
    lanes = check_outliers(graph, accelerator)
    timed = time_network(graph, accelerator, compression)
    layers = _layers(graph, timed, accelerator)
    machine = accelerator_info(accelerator)
    notes = (
        [f"No RTL of this machine can be made ({machine.not_built}); its cycles are the model's."]
        if machine.not_built
        else []
    )
    notes += [] if outliers is None else [*lanes, PLACES]
    if compression is not None:
        notes.append(_compressed(timed, compression))
    if tiles is not None:
        as_given = time_network(graph, accelerator, compression, tiles)
        searched, layers = layers, _layers(graph, as_given, accelerator)
        changed = [_figures(one) != _figures(other) for one, other in zip(layers, searched, strict=True)]
        if any(changed):
            timed = as_given
            notes.append(
                f"Tiles are given: layers that differ from what the search finds: {sum(changed)}; {_beside(layers, searched)} as "
                "the search has it."
            )
        else:
            layers = searched
    if accelerator.memory.fusion is Fusion.DEPTH_FIRST:
        notes.append(_depth_first(layers, graph, accelerator, compression))
    if accelerator.memory.prefetch_weights:
        notes.append(_prefetched(timed, graph, accelerator, compression, tiles))
    return TimeDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, graph, "model" if own else "hwsim"),
        quantization=QuantizationInfo(
            scheme="as stored in the model" if own else FORMATS if outliers is None else FORMATS_AND_OUTLIERS,
            weight_bits=common_bits(graph, weights=True),
            activation_bits=common_bits(graph, weights=False),
            calibration_images=0,
            outliers=None if outliers is None else str(outliers),
        ),
        accelerator=machine,
        time_model=MODEL,
        layers=layers,
        total=TotalTimes(**total_times(timed, accelerator, frames_per_second)),
        notes=tuple(notes),
        provenance=Provenance(
            command=command,
            seed=0,
            versions={
                "hwsim": importlib.metadata.version("hwsim"),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        ),
    )


def graph_of(
    graph: Graph, accelerator: Accelerator, weight_bits: int | None, activation_bits: int | None,
    outliers: OutlierRule | None,
) -> Graph:  # fmt: skip
    """Return a model's network as the time engine takes it: formats, and where weights are kept apart, their places."""
    if outliers is None:
        return with_formats(graph, weight_bits, activation_bits)
    power_of_two = accelerator.arithmetic.profile is Profile.POWER_OF_TWO
    formats = with_formats(graph, weight_bits or Scheme().weight_bits, activation_bits)
    return with_places(formats, dequantized(graph), outliers, power_of_two=power_of_two)


def total_time(
    graph: Graph, accelerator: Accelerator, *, weight_bits: int | None = None, activation_bits: int | None = None,
    frames_per_second: float = 30.0,
) -> TotalTimes:  # fmt: skip
    """Return what the document of `time_model` has under ``total``, without the rest of it: for many machines.

    Raises
    ------
    InputError
        For an operator without a cost, or buffers that are too small.
    """
    timed = time_network(with_formats(graph, weight_bits, activation_bits), accelerator)
    return TotalTimes(**total_times(timed, accelerator, frames_per_second))


def _layers(graph: Graph, timed: Sequence[TimedLayer], accelerator: Accelerator) -> tuple[LayerTimes, ...]:
    return tuple(LayerTimes(**layer_times(graph, layer, accelerator, index)) for index, layer in enumerate(timed))


def _figures(layer: LayerTimes) -> dict[str, object]:
    """Return all that a document says of a layer but the reason of its placement."""
    return layer.model_dump(exclude={"placement"})


def _beside(layers: Sequence[LayerTimes], others: Sequence[LayerTimes]) -> str:
    """Say what two ways to execute a network come to."""
    here, there = (
        f"{sum(layer.dram_bytes.total for layer in part)} DRAM bytes in {sum(layer.cycles for layer in part)} cycles"
        for part in (layers, others)
    )
    return f"the network moves {here}, and {there}"


def _depth_first(
    layers: Sequence[LayerTimes], graph: Graph, accelerator: Accelerator, compression: Compression | None
) -> str:
    """Say what executing layers together changes."""
    plain = replace(accelerator, memory=replace(accelerator.memory, fusion=Fusion.NONE))
    apart = _layers(graph, time_network(graph, plain, compression), plain)
    stacks = {layer.tiling.stack for layer in layers if layer.tiling is not None and layer.tiling.stack}
    return f"Layers executed depth first: {sum(map(len, stacks))}, in {len(stacks)} stacks; {_beside(layers, apart)} one by one."


def _prefetched(
    timed: Sequence[TimedLayer], graph: Graph, accelerator: Accelerator, compression: Compression | None, tiles: GivenTiles | None
) -> str:  # fmt: skip
    """Say what loading weights early changes."""
    plain = replace(accelerator, memory=replace(accelerator.memory, prefetch_weights=False))
    before, after = (
        sum(layer.time.cycles for layer in part) for part in (time_network(graph, plain, compression, tiles), timed)
    )
    early = sum(layer.time.prefetched_bytes for layer in timed)
    return (
        f"Weights that come while the layer before theirs computes: {early} bytes; {after} cycles instead of {before}."
    )


def evaluation_seconds(graph: Graph, accelerator: Accelerator, repeat: int, *, first: int = 1) -> list[float]:
    """Return the processor's time for each of some machines, in seconds.

    Parameters
    ----------
    graph
        With formats, see `hwsim.sim.time.document.with_formats`.
    accelerator
        What the machines are, but for their arrays: each is a row and a column larger than the one before, so that no result and
        no table of tilings of an earlier one is of use. What follows from the network alone is kept, as in any search.
    repeat
        How many.
    first
        By how many rows and columns the first is larger; past 4096 they begin at 1 again.
    """
    apart = replace(accelerator, rows=1, cols=1, datapath=replace(accelerator.datapath, requantizers=None))
    seconds = []
    for more in range(first, first + repeat):
        rows, cols = ((size + more - 1) % 4096 + 1 for size in (accelerator.rows, accelerator.cols))
        start = time.process_time()
        time_network(graph, replace(apart, rows=rows, cols=cols))
        seconds.append(time.process_time() - start)
    return seconds


def _compressed(timed: Sequence[TimedLayer], scheme: Compression) -> str:
    """Say how much smaller the weights are."""
    operands = [part for layer in timed if layer.workload.macs for part in layer.workload.operands]
    weights = [part for part in operands if part.role == "weights"]
    plain = sum(-(-part.elements * part.element_bits // 8) for part in weights)
    stored = sum(part.packed_bytes for part in weights)
    return f"Weights are stored as {scheme.name}: {stored} bytes instead of {plain}; where that is no smaller, as they are."
