"""`hwsim narrow`: the narrowest registers that a network can live with, order by order, in one document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from hwsim.data import Dataset
from hwsim.load.catalog import LoadedModel
from hwsim.sim.described_model import model_info
from hwsim.sim.document import DataInfo, Provenance
from hwsim.sim.feed import Feed
from hwsim.sim.layer_registers import layer_registers_text
from hwsim.sim.narrow.document import SCHEMA_VERSION, NarrowDocument, Point, Row
from hwsim.sim.narrow.order import Order
from hwsim.sim.narrow.runs import Runs
from hwsim.sim.narrow.search import Choice, OrderSearch, Report, Wanted
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.sim.run import Settings
from hwsim.sim.time.document import accelerator_info
from hwsim.sim.time.outlier_layers import check_outliers
from hwsim.sim.versions import versions
from hwsim.spec import Reduction, require

Repeat = Callable[[Reduction, str], str]
"""Returns the command that runs the network on a reduction, with a file of registers by layer or an empty text."""


@dataclass(frozen=True)
class Narrowed:
    """The document, and the files of registers that its commands read, by name."""

    document: NarrowDocument
    registers: dict[str, str] = field(default_factory=dict)


def narrow(
    model: LoadedModel, dataset: Dataset, settings: Settings, orders: Sequence[Order], wanted: Wanted, *,
    repeat: Repeat = lambda _reduction, _file: "", command: str = "hwsim.sim.narrow.run", tell: Report = lambda _text: None,
) -> Narrowed:  # fmt: skip
    """Search a model's registers.

    Parameters
    ----------
    model
        Quantized or float; a float model is quantized first.
    dataset
        Samples and labels that fit it.
    settings
        Options of a run; of the machine the rounding, bias and zero points, and the accumulator behind chains.
    orders, wanted
        What to search.
    repeat
        Writes the command of a row.
    command
        What to write into the provenance.
    tell
        Told of every network that is tried.

    Returns
    -------
    Narrowed
        The same for the same inputs, byte for byte.
    """
    require(len({order.text for order in orders}) == len(orders) > 0, "orders", "each given once", len(orders))
    with threadpool_limits(limits=1, user_api="blas"):
        machine = settings.accelerator
        arithmetic = machine.arithmetic
        network = prepare_network(
            model, dataset, weight_bits=settings.weight_bits, activation_bits=settings.activation_bits,
            calibration_images=settings.calibration_images, scaling=settings.scaling, profile=arithmetic.profile,
            scheme=outlier_scheme(settings.outliers, settings.weight_bits),
        )  # fmt: skip
        check_outliers(network.integer, machine)
        feed = Feed(network.integer, dataset, model.graph.input.quantization)
        count = min(len(dataset), settings.images or len(dataset))
        tell(f"{count} images without overflow")
        tall = machine.rows if machine.datapath.outlier_lanes else None
        runs = Runs(network.integer, arithmetic, feed, count, threads=settings.threads, outlier_rows=tall)
        rows: list[Row] = []
        points: list[Point] = []
        files: dict[str, str] = {}
        for order in orders:
            search = OrderSearch(runs, arithmetic.reduction, order, wanted, tell)
            search.search()
            rows += [_with_command(choice, files, repeat) for choice in search.choices]
            points += search.points
    document = NarrowDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, network.integer, network.quantized_by),
        data=DataInfo(name=dataset.name, split=dataset.split, n=count, sha256=dataset.digest()),
        quantization=network.info,
        accelerator=accelerator_info(machine),
        exact_correct=runs.exact.correct,
        loss_points=wanted.loss_points,
        least_correct=wanted.least_correct(runs.exact),
        rows=tuple(rows),
        points=tuple(points),
        runs=runs.runs,
        provenance=Provenance(command=command, seed=0, versions=versions()),
    )
    return Narrowed(document, files)


def _with_command(choice: Choice, files: dict[str, str], repeat: Repeat) -> Row:
    row, name = choice.row, ""
    if row.bits is None:
        order, permitted = row.order.replace(":", "-"), row.permitted.replace(", ", "-")
        name = f"{order}-{row.overflow}-{permitted}.toml"
        files[name] = layer_registers_text(choice.layers, choice.machine)
    return row.model_copy(update={"registers": name, "command": repeat(choice.machine, name)})
