"""A model in the files of other tools, for `hwsim.export` and ``hwsim export``."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hwsim.api.inputs import Data, Model, loaded_model, open_inputs
from hwsim.api.machine import Machine, machine_of, rounding_as
from hwsim.graph import Graph, InputScaling
from hwsim.interchange import scalesim_config, scalesim_topology, timeloop_problem, zigzag_workload
from hwsim.quant.outliers import OutlierRule
from hwsim.scalesim import topology_text
from hwsim.scalesim.config import config_text
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.sim.time.document import with_formats
from hwsim.spec import Accelerator, Profile, require


class Form(enum.Enum):
    """What is written."""

    WORKLOADS = "workloads"
    ONNX_QDQ = "onnx-qdq"
    QONNX = "qonnx"
    WEIGHTS = "weights"


@dataclass(frozen=True)
class Quantizing:
    """How to quantize a network here, and how it then rounds."""

    weight_bits: int | None
    activation_bits: int | None
    data: Data | None
    calibration_images: int
    scaling: InputScaling | None
    requantize: Profile | None
    outliers: OutlierRule | None = None

    @property
    def anew(self) -> bool:
        """Whether a model that is quantized already is quantized again."""
        return any(given is not None for given in (self.weight_bits, self.activation_bits, self.outliers))


@dataclass(frozen=True)
class ExportFiles:
    """Contents by name, which may be a path with ``/``, and what another tool will not see of the model."""

    files: dict[str, bytes]
    notes: tuple[str, ...] = ()


def export_files(
    model: Model, form: Form, machine: Machine, quantizing: Quantizing, word_bits: int | None, *,
    outlier_encoding: str = "smallest", data_field: str = "data"
) -> ExportFiles:  # fmt: skip
    """Return a model, quantized where it is not or where bits are asked for, in the files of a form.

    `outlier_encoding` is of the weight memories; `data_field` is what errors call the data.

    Raises
    ------
    InputError
        For what cannot be said in that form.
    """
    accelerator = machine_of(machine)
    if form is not Form.WEIGHTS:
        # No other tool's file has a place for weights in two widths.
        require(
            quantizing.outliers is None, "outliers", f"left out with {form.value}, which has no place for them",
            quantizing.outliers,
        )  # fmt: skip
    if form is Form.WORKLOADS:
        graph = with_formats(loaded_model(model).graph, quantizing.weight_bits, quantizing.activation_bits)
        return _workloads(graph, accelerator)
    # It brings ONNX's library, which is loaded on use.
    from hwsim.export import file_name, onnx_qdq, onnx_qonnx, parameters, weight_files

    graph, profile = _quantized(model, accelerator, machine, quantizing, data_field)
    if form is Form.WEIGHTS:
        return ExportFiles(
            {"parameters.json": parameters(graph, profile), **weight_files(graph, word_bits, outlier_encoding)}
        )
    writer, ending = (onnx_qonnx, "qonnx") if form is Form.QONNX else (onnx_qdq, "qdq")
    return ExportFiles({f"{file_name(graph.name)}_{ending}.onnx": writer(graph).SerializeToString(deterministic=True)})


def _workloads(graph: Graph, accelerator: Accelerator) -> ExportFiles:
    from hwsim.export import file_name

    workloads = [
        node.op.workload(node.name, graph.inputs_of(node), graph.outputs_of(node), accelerator.arithmetic)
        for node in graph.nodes
    ]
    products = [workload for workload in workloads if workload.macs]
    require(bool(products), "model", "one with sums of products", graph.name)
    topology = scalesim_topology(workloads)
    config = scalesim_config(accelerator)
    name = file_name(graph.name)
    files = {
        f"scalesim/{name}.csv": topology_text(topology.layers),
        f"scalesim/{config.run_name}.cfg": config_text(config),
        f"zigzag/{name}.yaml": zigzag_workload(workloads, accelerator.arithmetic.reduction.acc.bits),
        **{
            f"timeloop/{number:03}_{file_name(workload.name)}.yaml": timeloop_problem(workload)
            for number, workload in enumerate(products)
        },
    }
    return ExportFiles({path: text.encode() for path, text in files.items()}, tuple(topology.notes))


def _quantized(
    model: Model, accelerator: Accelerator, machine: Machine, wanted: Quantizing, data_field: str
) -> tuple[Graph, Profile]:  # fmt: skip
    """Return the integer network and how it rounds."""
    loaded = loaded_model(model)
    accelerator = rounding_as(accelerator, machine, wanted.requantize, loaded.graph, anew=wanted.anew)
    profile = wanted.requantize or accelerator.arithmetic.profile
    if loaded.graph.quantized and not wanted.anew:
        return loaded.graph, profile
    loaded, dataset = open_inputs(loaded, wanted.data, field=data_field)
    network = prepare_network(
        loaded, dataset, weight_bits=wanted.weight_bits, activation_bits=wanted.activation_bits,
        calibration_images=wanted.calibration_images, scaling=wanted.scaling, profile=profile,
        scheme=outlier_scheme(wanted.outliers, wanted.weight_bits),
    )  # fmt: skip
    return network.integer, profile
