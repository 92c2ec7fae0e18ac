"""``hwsim export``: a network and a machine in the files of other tools."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import (
    DEFAULT_ACCELERATOR,
    AcceleratorOption,
    ActivationBitsOption,
    ModelArgument,
    WeightBitsOption,
)
from hwsim.cli.terminal import check_parent, console, write_whole
from hwsim.interchange import scalesim_config, scalesim_topology, timeloop_problem, zigzag_workload
from hwsim.load import load_model
from hwsim.scalesim import topology_text
from hwsim.scalesim.config import config_text
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.sim.time_document import with_formats
from hwsim.spec import InputError, require


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
) -> None:
    """Write a model's layers for SCALE-Sim (with the machine), Timeloop and ZigZag. No tensor value is looked at."""
    machine = load_accelerator(accelerator)
    check_parent(output, "--output")
    graph = with_formats(load_model(model).graph, weight_bits, activation_bits)
    workloads = [
        node.op.workload(node.name, graph.inputs_of(node), graph.outputs_of(node), machine.arithmetic)
        for node in graph.nodes
    ]
    products = [workload for workload in workloads if workload.macs]
    require(bool(products), "model", "one with sums of products", graph.name)
    topology = scalesim_topology(workloads)
    config = scalesim_config(machine)
    name = _file_name(graph.name)
    files = {
        f"scalesim/{name}.csv": topology_text(topology.layers),
        f"scalesim/{config.run_name}.cfg": config_text(config),
        f"zigzag/{name}.yaml": zigzag_workload(workloads, machine.arithmetic.reduction.acc.bits),
        **{
            f"timeloop/{number:03}_{_file_name(workload.name)}.yaml": timeloop_problem(workload)
            for number, workload in enumerate(products)
        },
    }
    for path, text in files.items():
        _write(output / path, text)
    console.print(f"{len(files)} files in {output}: scalesim, timeloop and zigzag", highlight=False)
    for note in topology.notes:
        console.print(f"SCALE-Sim     {note}", highlight=False)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--output must be a folder that can be written, not {path.parent} ({error.strerror})"
        ) from None
    write_whole(path, text, "--output")


def _file_name(text: str) -> str:
    """Return a name from a model as one of a file; it comes from an untrusted file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:60] or "layer"
