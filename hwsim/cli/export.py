"""``hwsim export``: a network, and a machine, in the files of other tools."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.inputs import open_inputs
from hwsim.cli.options import (
    DEFAULT_ACCELERATOR,
    QUANTIZATION,
    AcceleratorOption,
    ActivationBitsOption,
    DataOption,
    ModelArgument,
    RequantizeOption,
    WeightBitsOption,
    rounding_as,
    scaling_of,
)
from hwsim.cli.terminal import check_parent, console
from hwsim.cosim.files import write_files
from hwsim.graph import Graph
from hwsim.interchange import scalesim_config, scalesim_topology, timeloop_problem, zigzag_workload
from hwsim.load import load_model
from hwsim.scalesim import topology_text
from hwsim.scalesim.config import config_text
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.sim.network import prepare_network
from hwsim.sim.time_document import with_formats
from hwsim.spec import Accelerator, Profile, require


class Form(enum.Enum):
    """What ``--as`` names."""

    WORKLOADS = "workloads"
    ONNX_QDQ = "onnx-qdq"
    QONNX = "qonnx"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class _Quantization:
    """How to quantize a network here, and how it then rounds."""

    weight_bits: int | None
    activation_bits: int | None
    data: str | None
    calibration_images: int
    mean: str | None
    std: str | None
    requantize: Profile | None

    @property
    def anew(self) -> bool:
        return self.weight_bits is not None or self.activation_bits is not None


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    form: Annotated[Form, typer.Option("--as", help="What to write; see docs/export.md.")] = Form.WORKLOADS,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    word_bits: Annotated[
        int | None, typer.Option("--word-bits", help="Width of a word of the weight memories (default 32 or more).")
    ] = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    data: DataOption = None,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", help="Samples that set ranges.", rich_help_panel=QUANTIZATION)
    ] = 256,
    input_mean: Annotated[
        str | None, typer.Option("--input-mean", help="real = (pixel - mean) / std.", rich_help_panel=QUANTIZATION)
    ] = None,
    input_std: Annotated[
        str | None, typer.Option("--input-std", help="One number or one per channel.", rich_help_panel=QUANTIZATION)
    ] = None,
    requantize: RequantizeOption = None,
) -> None:
    """Write a model for other tools.

    workloads: its layers for SCALE-Sim (with the machine), Timeloop and ZigZag.

    onnx-qdq, qonnx: the quantized model as ONNX.

    weights: memories of its weights (npy, bin, hex), and its requantization as JSON.
    """
    require(form is Form.WEIGHTS or word_bits is None, "--word-bits", "left out without --as weights", word_bits)
    require(calibration_images >= 1, "--calibration-images", "1 or more", calibration_images)
    machine = load_accelerator(accelerator)
    check_parent(output, "--output")
    if form is Form.WORKLOADS:
        _workloads(model, output, machine, weight_bits, activation_bits)
        return
    wanted = _Quantization(weight_bits, activation_bits, data, calibration_images, input_mean, input_std, requantize)
    graph, profile = _quantized(model, machine, accelerator, wanted)
    files = _files(graph, form, profile, word_bits)
    paths = write_files(output, files)
    console.print(f"{len(paths)} file{'s' if len(paths) > 1 else ''} in {output}: {form.value}", highlight=False)


def _workloads(
    model: str, output: Path, machine: Accelerator, weight_bits: int | None, activation_bits: int | None
) -> None:
    # It brings ONNX's library, which is loaded on use.
    from hwsim.export import file_name

    graph = with_formats(load_model(model).graph, weight_bits, activation_bits)
    workloads = [
        node.op.workload(node.name, graph.inputs_of(node), graph.outputs_of(node), machine.arithmetic)
        for node in graph.nodes
    ]
    products = [workload for workload in workloads if workload.macs]
    require(bool(products), "model", "one with sums of products", graph.name)
    topology = scalesim_topology(workloads)
    config = scalesim_config(machine)
    name = file_name(graph.name)
    files = {
        f"scalesim/{name}.csv": topology_text(topology.layers),
        f"scalesim/{config.run_name}.cfg": config_text(config),
        f"zigzag/{name}.yaml": zigzag_workload(workloads, machine.arithmetic.reduction.acc.bits),
        **{
            f"timeloop/{number:03}_{file_name(workload.name)}.yaml": timeloop_problem(workload)
            for number, workload in enumerate(products)
        },
    }
    write_files(output, {path: text.encode() for path, text in files.items()})
    console.print(f"{len(files)} files in {output}: scalesim, timeloop and zigzag", highlight=False)
    for note in topology.notes:
        console.print(f"SCALE-Sim     {note}", highlight=False)


def _quantized(model: str, machine: Accelerator, accelerator: str, wanted: _Quantization) -> tuple[Graph, Profile]:
    """Return the integer network, quantized here where it is not or where bits are asked for, and how it rounds."""
    loaded = load_model(model)
    machine = rounding_as(machine, accelerator, wanted.requantize, loaded.graph, anew=wanted.anew)
    profile = wanted.requantize or machine.arithmetic.profile
    if loaded.graph.quantized and not wanted.anew:
        return loaded.graph, profile
    loaded, dataset = open_inputs(model, wanted.data)
    network = prepare_network(
        loaded, dataset, weight_bits=wanted.weight_bits, activation_bits=wanted.activation_bits,
        calibration_images=wanted.calibration_images, scaling=scaling_of(wanted.mean, wanted.std), profile=profile,
    )  # fmt: skip
    return network.integer, profile


def _files(graph: Graph, form: Form, profile: Profile, word_bits: int | None) -> dict[str, bytes]:
    from hwsim.export import file_name, onnx_qdq, onnx_qonnx, parameters, weight_files

    if form is Form.WEIGHTS:
        return {"parameters.json": parameters(graph, profile), **weight_files(graph, word_bits)}
    writer, ending = (onnx_qonnx, "qonnx") if form is Form.QONNX else (onnx_qdq, "qdq")
    return {f"{file_name(graph.name)}_{ending}.onnx": writer(graph).SerializeToString(deterministic=True)}
