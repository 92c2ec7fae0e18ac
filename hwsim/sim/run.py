"""The main job: run a quantized network bit-accurately over a data set, and say what it did and what it moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from hwsim.data import Dataset
from hwsim.dataflow.passes import NOTHING
from hwsim.graph import Graph, InputScaling
from hwsim.load.catalog import LoadedModel
from hwsim.memory.compression import Scheme as Compression
from hwsim.quant import Scheme
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.described_model import model_info
from hwsim.sim.document import (
    SCHEMA_VERSION,
    Accuracy,
    DataInfo,
    FloatAccuracy,
    Provenance,
    RunDocument,
)
from hwsim.sim.execute import Execution, Progress, execute, execute_float
from hwsim.sim.feed import Feed
from hwsim.sim.fitted import fitted
from hwsim.sim.layer_registers import LayerTable, reductions_of
from hwsim.sim.layers import describe_layers, total_of
from hwsim.sim.network import Calibrations, Network, outlier_scheme, prepare_network
from hwsim.sim.observe import observe, observed_images
from hwsim.sim.program import Program
from hwsim.sim.time.bandwidth import dense_bits, measured_bits
from hwsim.sim.time.document import accelerator_info
from hwsim.sim.time.network import MODEL, time_network
from hwsim.sim.time.outlier_layers import check_outliers
from hwsim.sim.versions import versions
from hwsim.spec import PRESETS, Accelerator, operand_format, require

Stage = Callable[[str, int], Progress]
"""Told the name and length of a stage of the run; returns what to call with finished images."""


def silent(_name: str, _length: int) -> Progress:
    """A `Stage` that tells nobody."""
    return lambda _done: None


@dataclass(frozen=True)
class Settings:
    """What a run may be told; the defaults are those of the command line.

    Parameters
    ----------
    accelerator
        The machine.
    images
        Samples to run, None for all.
    weight_bits, activation_bits
        2..16; None keeps a quantized model's own, and means 8 for a float model.
    calibration_images
        Samples that set activation ranges, where hwsim quantizes.
    observed
        Most samples to observe closely (running sums, noise, histograms).
    scaling
        How pixels become real inputs, where the model does not say.
    frames_per_second
        Frame rate for the bandwidth.
    reference
        Also run the float network on every sample.
    threads
        Worker threads.
    layers
        Registers of single layers, in place of the machine's.
    accumulator_aware
        Fit the weights to the machine's registers, so that no input overflows them.
    scheme
        How to quantize; None is the default scheme, and keeps a quantized model's own integers. Bits given apart take the place
        of its.
    outliers
        Which weights are kept apart, in more bits.
    activation_compression
        How activations are stored in the DRAM, where that is smaller: measured on the observed images. Values do not change.
    """

    accelerator: Accelerator = field(default_factory=lambda: PRESETS[0])
    images: int | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None
    calibration_images: int = 256
    observed: int = 64
    scaling: InputScaling | None = None
    frames_per_second: float = 30.0
    reference: bool = True
    threads: int = 1
    layers: Mapping[str, LayerTable] = field(default_factory=dict)
    accumulator_aware: bool = False
    outliers: OutlierRule | None = None
    scheme: Scheme | None = None
    activation_compression: Compression | None = None

    def __post_init__(self) -> None:
        for name, bits in (("weight_bits", self.weight_bits), ("activation_bits", self.activation_bits)):
            if bits is not None:
                operand_format(bits, field=name)
        require(self.images is None or self.images >= 1, "images", "1 or more", self.images)
        require(self.calibration_images >= 1, "calibration_images", "1 or more", self.calibration_images)
        require(self.observed >= 1, "observed", "1 or more", self.observed)
        require(self.threads in range(1, 257), "threads", "1 to 256", self.threads)
        require(0 < self.frames_per_second < 1e9, "frames per second", "positive and below 1e9", self.frames_per_second)


def run(
    model: LoadedModel, dataset: Dataset, settings: Settings, *, command: str = "hwsim.sim.run", stage: Stage = silent
) -> RunDocument:
    """Run a model on a data set.

    Parameters
    ----------
    model
        Quantized or float; a float model is quantized first.
    dataset
        Samples and labels that fit it.
    settings
        The machine and the options.
    command
        What to write into the provenance.
    stage
        Progress of long work.

    Returns
    -------
    RunDocument
        The same for the same inputs, byte for byte.

    Raises
    ------
    InputError
        Where model, data and machine do not fit together.
    """
    # One thread per BLAS call: the batches are what is spread over the cores, and sums do not depend on their number.
    with threadpool_limits(limits=1, user_api="blas"):
        return _run(model, dataset, settings, command, stage)


def _run(model: LoadedModel, dataset: Dataset, settings: Settings, command: str, stage: Stage) -> RunDocument:
    accelerator = settings.accelerator
    network = network_of(model, dataset, settings)
    own = reductions_of(settings.layers, accelerator.arithmetic.reduction)
    program = program_of(network, settings)
    stored = model.graph.input.quantization
    feed = Feed(network.integer, dataset, stored)
    real_feed = Feed(network.real, dataset, stored)
    count = min(len(dataset), settings.images or len(dataset))
    macs = total_macs(network.integer)
    # Before the work: a machine that cannot hold a tile, or an outlier, says so at once.
    lanes = check_outliers(network.integer, accelerator)
    code = settings.activation_compression
    require(
        code is None or not accelerator.memory.direct, "compression of activations",
        "left out on a machine without buffers", code and code.name,
    )  # fmt: skip
    timed = time_network(network.integer, accelerator)

    execution = execute(program, feed, count, threads=settings.threads, progress=stage("integer network", count))
    float32 = None
    if settings.reference:
        progress = stage("float network", count)
        float32 = _float_accuracy(network, real_feed, execution, settings.threads, progress)
    looked = observed_images(macs, count, settings.observed)
    observation = observe(
        program,
        network.real,
        feed,
        real_feed,
        looked,
        threads=settings.threads,
        progress=stage("observed images", looked),
    )
    notes = _notes(network, dataset, len(own)) + lanes
    if code is not None:
        progress = stage("compressed images", looked)
        sizes = measured_bits(program, feed, looked, code, threads=settings.threads, progress=progress)
        timed = time_network(network.integer, accelerator, stored=sizes)
        notes += (_compressed(network.integer, sizes, code, looked),)
    layers = describe_layers(network, program, timed, accelerator, execution, observation)
    return RunDocument(
        schema_version=SCHEMA_VERSION,
        model=model_info(model, network.integer, network.quantized_by),
        data=DataInfo(name=dataset.name, split=dataset.split, n=count, sha256=dataset.digest()),
        quantization=network.info,
        accelerator=accelerator_info(accelerator),
        time_model=MODEL,
        accuracy=Accuracy(top1=execution.correct / count, correct=execution.correct, n=count, float32=float32),
        layers=layers,
        total=total_of(layers, timed, accelerator, settings.frames_per_second),
        notes=notes,
        provenance=Provenance(command=command, seed=0, versions=versions()),
    )


def network_of(
    model: LoadedModel, dataset: Dataset, settings: Settings, calibrations: Calibrations | None = None
) -> Network:
    """Return the integer network of a run; of the data it depends on what it calibrates on.

    Of the machine only its rounding matters, where weights are not fitted to its registers. `calibrations`: see
    `prepare_network`.
    """
    network = prepare_network(
        model, dataset, weight_bits=settings.weight_bits, activation_bits=settings.activation_bits,
        calibration_images=settings.calibration_images, scaling=settings.scaling,
        profile=settings.accelerator.arithmetic.profile,
        scheme=outlier_scheme(settings.outliers, settings.weight_bits, settings.scheme), calibrations=calibrations,
    )  # fmt: skip
    if not settings.accumulator_aware:
        return network
    machine = settings.accelerator
    return fitted(network, machine.arithmetic, model.sha256, outlier_tile=machine.outlier_tile)


def program_of(network: Network, settings: Settings) -> Program:
    """Return the network of a run, prepared for its arithmetic."""
    machine = settings.accelerator
    own = reductions_of(settings.layers, machine.arithmetic.reduction)
    return Program(network.integer, machine.arithmetic, own, outlier_tile=machine.outlier_tile)


def total_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of a network for one image."""
    sizes = (node.op.gemm(graph.inputs_of(node), graph.outputs_of(node)) for node in graph.nodes)
    return sum(m * k * n * groups for m, k, n, groups in sizes)


def _float_accuracy(
    network: Network, feed: Feed, execution: Execution, threads: int, progress: Progress
) -> FloatAccuracy:
    count = execution.n
    predictions, correct = execute_float(network.real, feed, count, threads=threads, progress=progress)
    agree = int(np.count_nonzero(predictions == execution.predictions))
    return FloatAccuracy(top1=correct / count, correct=correct, n=count, agree=agree, source=network.real_source)


def _compressed(graph: Graph, sizes: Mapping[str, int], code: Compression, images: int) -> str:
    """Say how much smaller activations are in the DRAM."""
    names = [*graph.inputs, *(name for node in graph.nodes if node.op.kind not in NOTHING for name in node.outputs)]
    plain = {name: dense_bits(graph, name) for name in names}
    stored = sum(sizes.get(name, plain[name]) for name in names)
    return (
        f"Activations are stored as {code.name}, measured on {images} images: the mean of all tensors of an image is "
        f"{-(-stored // 8)} bytes instead of {-(-sum(plain.values()) // 8)}; a tile moves its share, pointers to tiles are not "
        "counted, and tensors that do not shrink are stored as they are."
    )


def _notes(network: Network, dataset: Dataset, own: int) -> tuple[str, ...]:
    notes = []
    if own:
        notes.append(
            f"Layers with registers of their own: {own}. Values follow them; times and bytes are those of the machine's."
        )
    if network.real_source == "dequantized model":
        notes.append(
            "The model is stored in integers, so its float network is the dequantized one: its real weights, with no rounding "
            "between layers."
        )
    if network.quantized_by == "hwsim" and dataset.calibration_split().split == dataset.split:
        notes.append(
            f"The ranges come from the first {network.info.calibration_images} of the samples that were evaluated: the data "
            "set has no training split."
        )
    return tuple(notes)
