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
from hwsim.memory.compression import Scheme
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
from hwsim.sim.time.network import MODEL, TimedLayer, time_network
from hwsim.spec import Accelerator, require


def time_model(
    model: LoadedModel, accelerator: Accelerator, *, weight_bits: int | None = None, activation_bits: int | None = None,
    compression: Scheme | None = None, frames_per_second: float = 30.0, command: str = "hwsim.sim.time.run.time_model",
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
    compression
        How weights are stored, for a model that runs in its own integers.
    frames_per_second
        For the bandwidth.
    command
        What to write into the provenance.

    Raises
    ------
    InputError
        For an operator without a cost, or buffers that are too small.
    """
    own = model.graph.quantized and weight_bits is None and activation_bits is None
    require(own or compression is None, "compression", "left out where formats are not the model's own", "given")
    graph = with_formats(model.graph, weight_bits, activation_bits)
    timed = time_network(graph, accelerator, compression)
    layers = tuple(LayerTimes(**layer_times(graph, layer, accelerator, index)) for index, layer in enumerate(timed))
    machine = accelerator_info(accelerator)
    notes = (
        [f"No RTL of this machine can be made ({machine.not_built}); its cycles are the model's."]
        if machine.not_built
        else []
    )
    if compression is not None:
        notes.append(_compressed(timed, compression))
    return TimeDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, graph, "model" if own else "hwsim"),
        quantization=QuantizationInfo(
            scheme="as stored in the model" if own else "formats only, no values",
            weight_bits=common_bits(graph, weights=True),
            activation_bits=common_bits(graph, weights=False),
            calibration_images=0,
        ),
        accelerator=machine,
        time_model=MODEL,
        layers=layers,
        total=TotalTimes(**total_times(layers, timed, accelerator, frames_per_second)),
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


def _compressed(timed: Sequence[TimedLayer], scheme: Scheme) -> str:
    """Say how much smaller the weights are."""
    operands = [part for layer in timed if layer.workload.macs for part in layer.workload.operands]
    weights = [part for part in operands if part.role == "weights"]
    plain = sum(-(-part.elements * part.element_bits // 8) for part in weights)
    stored = sum(part.packed_bytes for part in weights)
    return f"Weights are stored as {scheme.name}: {stored} bytes instead of {plain}; where that is no smaller, as they are."
