"""What accumulators a network needs: proven for every input, observed on a data set, and certified."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.certify.document import Certificate
from hwsim.data import Dataset
from hwsim.graph import Graph
from hwsim.kernels.monitor import Closer, Monitor
from hwsim.load.catalog import LoadedModel
from hwsim.quant import dequantized
from hwsim.sim.analyze.certificate import prove_layers, write_certificate
from hwsim.sim.analyze.document import SCHEMA_VERSION, AnalysisDocument, AnalysisTotal, AnalyzedLayer
from hwsim.sim.analyze.layers import Proof, describe
from hwsim.sim.described_model import model_info
from hwsim.sim.document import DataInfo, Provenance, QuantizationInfo
from hwsim.sim.execute import Progress, in_order
from hwsim.sim.feed import Feed
from hwsim.sim.fitted import fitted
from hwsim.sim.network import Network, common_bits
from hwsim.sim.program import Program
from hwsim.sim.run import Settings, Stage, network_of
from hwsim.sim.time.document import accelerator_info
from hwsim.sim.time.outlier_layers import check_outliers
from hwsim.sim.versions import versions
from hwsim.spec import InputError


@dataclass(frozen=True)
class Analysis:
    """The document, and the certificate of the same network and machine."""

    document: AnalysisDocument
    certificate: Certificate


@dataclass(frozen=True)
class Prepared:
    """An integer network, how it came about, and whether the model's makers or hwsim quantized it."""

    graph: Graph
    info: QuantizationInfo
    own: bool


def prepare(model: LoadedModel, dataset: Dataset | None, settings: Settings) -> Prepared:
    """Return the integer network of a model; one that is quantized already needs no data.

    Raises
    ------
    InputError
        Where a float model has no data to set ranges by.
    """
    given = (settings.weight_bits, settings.activation_bits, settings.outliers)
    stored = model.graph.quantized and all(part is None for part in given)
    if dataset is None:
        if not stored:
            raise InputError("--data must be given where hwsim quantizes the model: its samples set the ranges")
        info = QuantizationInfo(
            scheme="as stored in the model", weight_bits=common_bits(model.graph, weights=True),
            activation_bits=common_bits(model.graph, weights=False), calibration_images=0,
        )  # fmt: skip
        network = Network(model.graph, dequantized(model.graph), "dequantized model", "model", info)
        if settings.accumulator_aware:
            network = fitted(
                network, settings.accelerator.arithmetic, model.sha256, outlier_tile=settings.accelerator.outlier_tile
            )
    else:
        network = network_of(model, dataset, settings)
    return Prepared(network.integer, network.info, own=stored)


def analyze(
    model: LoadedModel, dataset: Dataset | None, settings: Settings, *, observe: bool = True,
    command: str = "hwsim.sim.analyze.run", stage: Stage | None = None,
) -> Analysis:  # fmt: skip
    """Analyze the accumulators of a model.

    Parameters
    ----------
    model
        Quantized or float; a float model is quantized first.
    dataset
        Samples that fit it, to set ranges by and to observe; None proves only.
    settings
        The machine and the options, those of a run.
    observe
        Run the samples (`settings.images` of them, or all); otherwise prove only.
    command
        What to write into the provenance.
    stage
        Progress of long work.

    Returns
    -------
    Analysis
        The same for the same inputs, byte for byte.

    Raises
    ------
    InputError
        Where model, data and machine do not fit together.
    """
    prepared = prepare(model, dataset, settings)
    graph = prepared.graph
    machine = settings.accelerator
    check_outliers(graph, machine)
    program = Program(graph, machine.arithmetic, outlier_tile=machine.outlier_tile)
    proofs = prove_layers(program)
    data, monitors = None, {}
    if dataset is not None and observe:
        count = min(len(dataset), settings.images or len(dataset))
        feed = Feed(graph, dataset, model.graph.input.quantization)
        progress = stage("observed images", count) if stage is not None else None
        monitors = watch(program, proofs, feed, count, threads=settings.threads, progress=progress)
        data = DataInfo(name=dataset.name, split=dataset.split, n=count, sha256=dataset.digest())
    layers = tuple(
        describe(proof, graph, monitors.get(proof.node.name), data.n if data is not None else 0) for proof in proofs
    )
    document = AnalysisDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, prepared.graph, "model" if prepared.own else "hwsim"),
        data=data,
        quantization=prepared.info,
        accelerator=accelerator_info(machine),
        layers=layers,
        total=_total(layers),
        provenance=Provenance(command=command, seed=0, versions=versions()),
    )
    certificate = write_certificate(
        graph, model.sha256, proofs, machine.arithmetic.reduction, outlier_tile=machine.outlier_tile
    )
    return Analysis(document, certificate)


def watch(
    program: Program, proofs: list[Proof], feed: Feed, count: int, *, threads: int, progress: Progress | None = None
) -> dict[str, Monitor]:
    """Run the first `count` samples on the golden kernels and look closely at every layer; return the counters by layer."""
    looks = {proof.node.name: Closer(proof.output[0] * proof.output[1]) for proof in proofs}

    def fresh(base: int = 0) -> dict[str, Monitor]:
        return {proof.node.name: Monitor(proof.unit.channels, looks[proof.node.name], base) for proof in proofs}

    def look(start: int, stop: int) -> dict[str, Monitor]:
        monitors = fresh(start)
        program.run(feed.integers(start, stop), monitors=monitors)
        return monitors

    total = fresh()
    for monitors in in_order(look, count, 1, threads):
        for name, monitor in monitors.items():
            total[name].merge(monitor)
        if progress is not None:
            progress(1)
    return total


def _total(layers: tuple[AnalyzedLayer, ...]) -> AnalysisTotal:
    observed = [layer.acc.observed_bits for layer in layers if layer.acc.observed_bits is not None]
    seen = [layer.observed for layer in layers if layer.observed is not None]
    return AnalysisTotal(
        layers=len(layers),
        proven_layers=sum(layer.no_overflow for layer in layers),
        any_order_bits=max((layer.acc.any_order_bits for layer in layers), default=1),
        proven_bits=max((layer.acc.proven_bits for layer in layers), default=1),
        observed_bits=max(observed, default=None),
        events=sum(layer.events for layer in layers),
        struck=sum(layer.struck for layer in seen),
        cancelled=sum(layer.cancelled for layer in seen),
    )
