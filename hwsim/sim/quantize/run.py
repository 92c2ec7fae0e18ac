"""The job of `hwsim quantize`: quantize a float network, measure what that costs, and say where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from hwsim.data import Dataset
from hwsim.graph import Graph, InputScaling
from hwsim.load.catalog import LoadedModel
from hwsim.quant import Mode, Scheme, dequantized
from hwsim.quant.pipeline import Quantized, Repair, quantize_network
from hwsim.sim.described_model import model_info
from hwsim.sim.document import Accuracy, DataInfo, FloatAccuracy, Provenance, QuantizationInfo
from hwsim.sim.execute import Progress, execute, execute_float, in_order
from hwsim.sim.feed import Feed, spans
from hwsim.sim.network import Samples, calibration_samples, common_bits
from hwsim.sim.quantize.analysis import weighted
from hwsim.sim.quantize.document import (
    SCHEMA_VERSION,
    AnalysisInfo,
    LayerAnalysis,
    QuantizeDocument,
)
from hwsim.sim.quantize.engines import Engine, StaticEngine, engine_of
from hwsim.sim.quantize.layer_formats import float_layer, quantized_layer
from hwsim.sim.quantize.layers import analyze_layers
from hwsim.sim.quantize.mixed import Assigner, Cost, Curvatures, Measure, MixedSettings, mixed_info
from hwsim.sim.run import Stage, silent
from hwsim.sim.versions import versions
from hwsim.spec import require

CURVED_BATCH = 32
"""Images per batch where a loss is derived twice."""

ENGINE_BATCH = 8
"""Images per batch where every activation of it is kept."""


@dataclass(frozen=True)
class QuantizeSettings:
    """What `hwsim quantize` may be told; the defaults are those of the command line.

    Parameters
    ----------
    scheme
        Which integers.
    repairs
        Of the float network, and of its integers, in the order in which they are applied.
    mixed
        How bits are chosen for each layer on its own; None: the scheme's everywhere.
    calibration_images
        Samples that set ranges and that repairs look at.
    float_layers
        Names of layers that stay in float32, see `hwsim.quant.float_layers`.
    evaluated
        Samples to measure accuracy on; 0 for none.
    analyzed
        Samples to look for the causes of noise on; 0 for none.
    scaling
        How pixels become real inputs, where the model does not say.
    threads
        Worker threads of the evaluation.
    """

    scheme: Scheme = field(default_factory=Scheme)
    repairs: tuple[Repair, ...] = ()
    mixed: MixedSettings | None = None
    calibration_images: int = 256
    float_layers: tuple[str, ...] = ()
    evaluated: int = 0
    analyzed: int = 0
    scaling: InputScaling | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        require(self.calibration_images >= 1, "calibration_images", "1 or more", self.calibration_images)
        names = ", ".join(self.float_layers)
        static = self.scheme.mode is Mode.STATIC
        require(static or not names, "float layers", "left out with other modes than static", names)
        require(
            self.mixed is None or not names,
            "float layers",
            "left out with bits by layer, which count all layers",
            names,
        )
        require(self.evaluated >= 0, "images", "0 or more", self.evaluated)
        require(self.analyzed >= 0, "analyzed images", "0 or more", self.analyzed)
        require(self.threads in range(1, 257), "threads", "1 to 256", self.threads)


@dataclass(frozen=True, eq=False)
class QuantizeResult:
    """The document, and the network: of integers, or with a mode other than static of floats with integer weights."""

    document: QuantizeDocument
    graph: Graph


def quantize_model(
    model: LoadedModel, dataset: Dataset, settings: QuantizeSettings, *, command: str = "hwsim.sim.quantize.run",
    stage: Stage = silent, curvatures: Curvatures | None = None,
) -> QuantizeResult:  # fmt: skip
    """Quantize a model.

    Parameters
    ----------
    model
        Float, or quantized: then its dequantized network is quantized anew.
    dataset
        Samples that fit it: those of its training split calibrate, its own evaluate.
    settings
        How.
    command
        What to write into the provenance.
    stage
        Progress of long work.
    curvatures
        Of a loss, for bits by layer that `Measure.HESSIAN` chooses.

    Raises
    ------
    InputError
        Where model, data and settings do not fit together.
    """
    # One thread per BLAS call, as in a run.
    with threadpool_limits(limits=1, user_api="blas"):
        return _quantize(model, dataset, settings, command, stage, curvatures)


def _quantize(
    model: LoadedModel, dataset: Dataset, settings: QuantizeSettings, command: str, stage: Stage,
    curvatures: Curvatures | None,
) -> QuantizeResult:  # fmt: skip
    given, scheme = model.graph, settings.scheme
    if settings.scaling is not None:
        what = f"data set {dataset.name}: input mean and std"
        require(
            dataset.kind == "pixels", what, "left out for tensors, which are what the model takes", settings.scaling
        )
        given = replace(given, scaling=settings.scaling)
    real = dequantized(given)
    samples = calibration_samples(model, real, dataset, settings.calibration_images)
    assigner = None
    if settings.mixed is not None:
        measured = calibration_samples(model, real, dataset, min(settings.mixed.images, samples.images))
        feed = Feed(real, dataset.calibration_split(), model.graph.input.quantization)
        assigner = Assigner(settings.mixed, scheme, measured, _bound(curvatures, settings.mixed, feed, measured.images))
    made = quantize_network(real, samples, scheme, settings.repairs, assigner, settings.float_layers)
    engine = engine_of(made.graph, scheme)
    accuracy = None
    if settings.evaluated:
        accuracy = _accuracy(model, made, engine, dataset, settings, stage)
    analysis: AnalysisInfo | None = None
    analyzed: dict[str, LayerAnalysis] = {}
    if settings.analyzed:
        count = min(settings.analyzed, len(dataset))
        looked = Samples(Feed(real, dataset, model.graph.input.quantization), count, ENGINE_BATCH)
        progress = stage("analyzed images", count)
        analysis, analyzed = analyze_layers(made, engine, scheme, settings.repairs, looked, count, samples, progress)
    count = max(accuracy.n if accuracy else 0, analysis.images if analysis else 0)
    document = QuantizeDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, made.graph, "hwsim"),
        data=_data_info(dataset.calibration_split(), samples.images),
        evaluated=_data_info(dataset, count) if count else None,
        quantization=_quantization(made, scheme, samples.images),
        mode=_mode(scheme.mode),
        repairs=tuple(repair.name for repair in settings.repairs),
        mixed=None if assigner is None else mixed_info(assigner, made),
        accuracy=accuracy,
        layers=tuple(
            quantized_layer(made, node, scheme, analyzed.get(node.name))
            for node in weighted(made.real)
            if node.name not in made.floats
        ),
        float_layers=tuple(float_layer(made, node, scheme) for node in weighted(made.real) if node.name in made.floats),
        analysis=analysis,
        notes=_notes(model, settings, samples, dataset, evaluated=bool(count)),
        provenance=Provenance(command=command, seed=0, versions=versions()),
    )  # fmt: skip
    return QuantizeResult(document, made.graph)


def _bound(
    curvatures: Curvatures | None, mixed: MixedSettings, feed: Feed, images: int
) -> Callable[[Graph], Mapping[str, float]] | None:
    """Return how curved the loss of the labels is on the samples that sensitivities are measured on."""
    if mixed.by is not Measure.HESSIAN:
        return None
    require(curvatures is not None, "mixed by hessian", "given what derives the loss twice", curvatures)

    def found(graph: Graph) -> Mapping[str, float]:
        assert curvatures is not None
        parts = spans(images, CURVED_BATCH)
        labelled = ((feed.real(*span), feed.labels(graph, *span)) for span in parts)
        return curvatures(graph, labelled, outputs=mixed.budget.cost is Cost.BANDWIDTH)

    return found


def _quantization(made: Quantized, scheme: Scheme, images: int) -> QuantizationInfo:
    if made.assignment is not None:
        weights, activations = (common_bits(made.graph, weights=of) for of in (True, False))
    else:
        weights = scheme.weight_bits
        activations = None if scheme.mode is Mode.WEIGHT_ONLY else scheme.activation_bits
    return QuantizationInfo(
        scheme=scheme.described, weight_bits=weights, activation_bits=activations, calibration_images=images
    )


def _accuracy(
    model: LoadedModel, made: Quantized, engine: Engine, dataset: Dataset, settings: QuantizeSettings, stage: Stage
) -> Accuracy:
    count, stored = min(settings.evaluated, len(dataset)), model.graph.input.quantization
    feed = Feed(made.original, dataset, stored)
    progress = stage("quantized network", count)
    if isinstance(engine, StaticEngine):
        run = execute(
            engine.program, Feed(made.graph, dataset, stored), count, threads=settings.threads, progress=progress
        )
        predicted = run.predictions
    else:
        predicted = _predictions(engine, feed, count, settings.threads, progress)
    correct = int((predicted == feed.labels(made.original, 0, count)).sum())
    progress = stage("float network", count)
    exact, right = execute_float(made.original, feed, count, threads=settings.threads, progress=progress)
    source: Literal["float model", "dequantized model"] = (
        "dequantized model" if model.graph.quantized else "float model"
    )
    reference = FloatAccuracy(
        top1=right / count, correct=right, n=count, agree=int((exact == predicted).sum()), source=source
    )
    return Accuracy(top1=correct / count, correct=correct, n=count, float32=reference)


def _predictions(engine: Engine, feed: Feed, count: int, threads: int, progress: Progress) -> np.ndarray:
    def work(start: int, stop: int) -> np.ndarray:
        found: np.ndarray = engine.scores(feed.real(start, stop)).reshape(stop - start, -1).argmax(axis=1)
        return found

    parts = []
    for part in in_order(work, count, ENGINE_BATCH, threads):
        parts.append(part)
        progress(len(part))
    return np.concatenate(parts)


def _data_info(dataset: Dataset, count: int) -> DataInfo:
    return DataInfo(name=dataset.name, split=dataset.split, n=count, sha256=dataset.digest())


def _mode(mode: Mode) -> Literal["static", "dynamic", "weight-only"]:
    names: dict[Mode, Literal["static", "dynamic", "weight-only"]] = {
        Mode.STATIC: "static", Mode.DYNAMIC: "dynamic", Mode.WEIGHT_ONLY: "weight-only",
    }  # fmt: skip
    return names[mode]


def _notes(
    model: LoadedModel, settings: QuantizeSettings, samples: Samples, dataset: Dataset, *, evaluated: bool
) -> tuple[str, ...]:
    notes, mode = [], settings.scheme.mode
    if model.graph.quantized:
        notes.append(
            "The model is stored in integers: its dequantized network was quantized anew, and is what errors refer to."
        )
    if mode is Mode.WEIGHT_ONLY:
        notes.append("Activations are float32, and so is all arithmetic: it is not that of an integer accelerator.")
    if mode is Mode.DYNAMIC:
        notes.append(
            "Each layer with weights quantizes its input over each image's own range and sums integers; between them all is "
            "float32. The file holds the weights alone."
        )
    if mode is Mode.STATIC:
        notes.append("Accumulators of 48 bits, which nothing overflows; hwsim run measures narrower ones.")
    if settings.float_layers:
        notes.append(
            "Layers in float32 do not run on an array of integer multipliers, and there are no cycles of them: each reads and "
            "writes integers, and sums float32 products in ascending k, one rounding for each product and each sum, the bias "
            "last."
        )
    if evaluated and dataset.calibration_split().split == dataset.split:
        notes.append(
            f"The ranges come from the first {samples.images} of the samples that were evaluated: the data set has no training "
            "split."
        )
    return tuple(notes)
