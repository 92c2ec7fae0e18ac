"""The job of `hwsim train`: integers of a float network, trained on the machine that will run them."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from hwsim.data import Dataset
from hwsim.export import single_scales
from hwsim.graph import Graph
from hwsim.load.catalog import LoadedModel
from hwsim.quant import dequantized
from hwsim.sim.described_model import model_info
from hwsim.sim.document import Accuracy, DataInfo, FloatAccuracy, Provenance, QuantizationInfo
from hwsim.sim.execute import execute, execute_float
from hwsim.sim.feed import Feed
from hwsim.sim.fitted import fitted
from hwsim.sim.network import Network, Samples, calibration_samples
from hwsim.sim.program import Program
from hwsim.sim.run import Stage, silent
from hwsim.sim.time.document import accelerator_info
from hwsim.sim.versions import versions
from hwsim.spec import InputError, require
from hwsim.train.checkpoint import Checkpoint
from hwsim.train.document import (
    SCHEMA_VERSION,
    DistillationInfo,
    Epoch,
    Reached,
    TrainDocument,
    TrainingInfo,
)
from hwsim.train.extra import Value, low_precision, reproducible, require_torch
from hwsim.train.network import TrainedNetwork, scheme_for
from hwsim.train.operators import require_trainable
from hwsim.train.optimizers import optimizer_of, rates_of
from hwsim.train.ranges import FollowedRanges
from hwsim.train.samples import TrainingSet
from hwsim.train.settings import Distillation, Fitting, Gradients, TrainSettings

ReportEpoch = Callable[[Epoch], None]
"""Told every epoch when it is over."""


@dataclass(frozen=True, eq=False)
class TrainResult:
    """The document, and the trained integer network."""

    document: TrainDocument
    graph: Graph


def _unheard(_epoch: Epoch) -> None:
    pass


def train_model(
    model: LoadedModel, dataset: Dataset, settings: TrainSettings, *, command: str = "hwsim.train.run",
    stage: Stage = silent, report: ReportEpoch = _unheard, checkpoint: Path | None = None,
) -> TrainResult:  # fmt: skip
    """Train the integers of a float network.

    Parameters
    ----------
    model
        Float, or quantized: then its dequantized network is trained.
    dataset
        Its training split (itself where it has none) trains; its own samples evaluate.
    settings
        How.
    command
        What to write into the provenance.
    stage
        Progress of long work.
    report
        Told every epoch when it is over.
    checkpoint
        A file that is replaced after every epoch; a training that was stopped goes on from it.

    Returns
    -------
    TrainResult
        The same for the same inputs and versions, byte for byte: one thread computes all of it.

    Raises
    ------
    InputError
        Where PyTorch is missing, where model, data and settings do not fit together, or where the loss diverges.
    """
    require_torch()
    # One thread per BLAS call, as in a run.
    with threadpool_limits(limits=1, user_api="blas"), reproducible(settings.seed):
        return _Training(model, dataset, settings, stage, report, checkpoint).run(command)


class _Training:
    """A training: what it is given, and its steps in order."""

    def __init__(
        self, model: LoadedModel, dataset: Dataset, settings: TrainSettings, stage: Stage, report: ReportEpoch,
        checkpoint: Path | None,
    ) -> None:  # fmt: skip
        given = model.graph
        if settings.scaling is not None:
            what = f"data set {dataset.name}: input mean and std"
            require(
                dataset.kind == "pixels", what, "left out for tensors, which are what the model takes", settings.scaling
            )
            given = replace(given, scaling=settings.scaling)
        self.model, self.dataset, self.settings, self.stage, self.report = model, dataset, settings, stage, report
        self.checkpoint = checkpoint
        self.real = dequantized(given)
        require_trainable(self.real)
        source = dataset.calibration_split()
        self.stored = model.graph.input.quantization
        self.set = TrainingSet(source, settings.images, settings.augmentation)
        images = min(settings.calibration_images, len(self.set))
        self.samples: Samples = calibration_samples(model, self.real, dataset, images)
        ranges = FollowedRanges(self.real, self.samples, scheme_for(settings))
        self.network = TrainedNetwork(self.real, ranges, settings)

    def run(self, command: str) -> TrainResult:
        network, settings = self.network, self.settings
        count = min(len(self.dataset), settings.evaluated or len(self.dataset))
        feed = Feed(self.real, self.dataset, self.stored)
        progress = self.stage("float network", count)
        floats, right = execute_float(self.real, feed, count, threads=1, progress=progress)
        exact = FloatAccuracy(
            top1=right / count, correct=right, n=count, agree=0,
            source="dequantized model" if self.model.graph.quantized else "float model",
        )  # fmt: skip
        before = self._reached(self._deployed(), exact, floats, "integers before")
        network.parameters.restore_norms(network.reference.statistics(self.samples))
        if settings.learn_steps:
            network.learn_steps(self.samples)
        curve = self._epochs()
        final = self._deployed()
        after = self._reached(final, exact, floats, "integers trained")
        document = self._document(command, before, after, tuple(curve))
        return TrainResult(document, final)

    def _epochs(self) -> list[Epoch]:
        settings, network = self.settings, self.network
        optimizer = optimizer_of(network.trained(), settings)
        rates = rates_of(optimizer, settings, len(self.set) // min(settings.batch, len(self.set)))
        curve: list[Epoch] = []
        kept = (
            None
            if self.checkpoint is None
            else Checkpoint(self.checkpoint, self._identity(), network, optimizer, rates)
        )
        if kept is not None:
            curve += kept.resume()
        for number in range(len(curve) + 1, settings.epochs + 1):
            learn = number <= settings.frozen_after
            if learn and number > 1:
                network.ranges.measure(network.parameters.real())
            epoch = self._epoch(number, optimizer, rates, learn=learn)
            curve.append(epoch)
            if kept is not None:
                kept.save(curve)
            self.report(epoch)
        return curve

    def _identity(self) -> str:
        """Return what decides a training: a checkpoint of another one is not this one's."""
        return repr((self.settings, self.model.sha256, self.set.dataset.digest()))

    def _epoch(self, number: int, optimizer: Any, rates: Any, *, learn: bool) -> Epoch:
        settings, network = self.settings, self.network
        random = np.random.default_rng((settings.seed, number))
        progress = self.stage(f"epoch {number}", len(self.set))
        losses, penalties, right, seen = 0.0, 0.0, 0, 0
        for batch in self.set.batches(settings.batch, random):
            made, size = network.made(), len(batch)
            feed = Feed(made.integer, batch, self.stored)
            labels = feed.labels(made.integer, 0, size)
            scores = network.forward(made, feed.integers(0, size), learn=learn)
            loss = self._loss(scores, labels, batch)
            total = loss
            if settings.fitting is Fitting.PENALTY:
                excess = network.penalty(made)
                penalties += excess.item() * size
                total = loss + settings.penalty * excess
            if not math.isfinite(total.item()):
                raise InputError(f"learning_rate must keep the loss finite, not {settings.learning_rate}")
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            rates.step()
            if network.steps is not None:
                network.steps.keep_positive()
            if settings.fitting is Fitting.PROJECTION:
                network.confine(made)
            if learn:
                network.learn_ranges(made)
            losses, seen = losses + loss.item() * size, seen + size
            right += int((scores.detach().numpy().argmax(axis=1) == labels).sum())
            progress(size)
        penalty = penalties / seen if settings.fitting is Fitting.PENALTY else None
        return Epoch(epoch=number, loss=losses / seen, penalty=penalty, top1=right / seen, frozen=not learn)

    def _loss(self, scores: Value, labels: np.ndarray, batch: Dataset) -> Value:
        import torch
        from torch.nn import functional

        hard = functional.cross_entropy(scores, torch.from_numpy(labels.astype(np.int64)))
        soft = self.settings.distillation
        if soft is None:
            return hard
        with low_precision(self.settings.gradients is Gradients.BFLOAT16):
            teacher = self.network.reference.evaluate(Feed(self.real, batch, self.stored).real(0, len(batch))).float()
        return (1 - soft.weight) * hard + soft.weight * soft_loss(scores, teacher, soft)

    def _deployed(self) -> Graph:
        """Return the integers of the parameters as they are; fitted to the registers, with the verifier's word that they fit."""
        settings, network = self.settings, self.network
        integer = network.quantized()
        if settings.fitting is None:
            return integer
        as_network = Network(integer, network.parameters.real(), "float model", "hwsim", self._quantization())
        return single_scales(fitted(as_network, settings.accelerator.arithmetic, self.model.sha256).integer)

    def _reached(self, integer: Graph, exact: FloatAccuracy, floats: np.ndarray, name: str) -> Reached:
        program = Program(integer, self.settings.accelerator.arithmetic)
        feed = Feed(integer, self.dataset, self.stored)
        found = execute(program, feed, exact.n, threads=1, progress=self.stage(name, exact.n))
        reference = exact.model_copy(update={"agree": int((found.predictions == floats).sum())})
        accuracy = Accuracy(top1=found.correct / found.n, correct=found.correct, n=found.n, float32=reference)
        return Reached(accuracy=accuracy, overflow_events=sum(monitor.events for monitor in found.monitors.values()))

    def _quantization(self) -> QuantizationInfo:
        scheme = scheme_for(self.settings)
        edges = self.settings.edge_bits
        same = edges is None
        return QuantizationInfo(
            scheme=scheme.described, weight_bits=scheme.weight_bits if same or edges == scheme.weight_bits else None,
            activation_bits=scheme.activation_bits if same or edges == scheme.activation_bits else None,
            calibration_images=self.samples.images,
        )  # fmt: skip

    def _document(self, command: str, before: Reached, after: Reached, curve: tuple[Epoch, ...]) -> TrainDocument:
        source, settings = self.set.dataset, self.settings
        return TrainDocument(
            schema_version=SCHEMA_VERSION,
            model=model_info(self.model, self.real, "hwsim"),
            data=_data_info(source, len(self.set)),
            evaluated=_data_info(self.dataset, after.accuracy.n),
            quantization=self._quantization(),
            accelerator=accelerator_info(settings.accelerator),
            training=_training_info(settings, self.network),
            curve=curve,
            before=before,
            after=after,
            certified=settings.fitting is not None,
            notes=self._notes(),
            provenance=Provenance(command=command, seed=settings.seed, versions=_versions()),
        )

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.set.dataset.split == self.dataset.split:
            notes.append("The data set has no training split: it was trained on the samples that were evaluated.")
        if self.model.graph.quantized:
            notes.append("The model is stored in integers: its dequantized network was trained.")
        return tuple(notes)


def soft_loss(scores: Value, teacher: Value, soft: Distillation) -> Value:
    """Return ``T**2 * KL(softmax(teacher / T) || softmax(scores / T))``, the mean over samples, see `Distillation`."""
    from torch.nn import functional

    t = soft.temperature
    student, target = (functional.log_softmax(values / t, 1) for values in (scores, teacher))
    return t * t * functional.kl_div(student, target, log_target=True, reduction="batchmean")


def _training_info(settings: TrainSettings, network: TrainedNetwork) -> TrainingInfo:
    soft, fitting = settings.distillation, settings.fitting
    kind: Literal["penalty", "projection"] | None = None if fitting is None else fitting.value
    return TrainingInfo(
        epochs=settings.epochs, learning_rate=settings.learning_rate, optimizer=settings.optimizer.title,
        batch=settings.batch, warm_up=settings.warm_up, weight_decay=settings.weight_decay,
        learned_steps=settings.learn_steps, gradients=settings.gradients.value, frozen_after=settings.frozen_after,
        batch_norms=sum(layer.norm is not None for layer in network.parameters.layers.values()),
        weight_bits=settings.scheme.weight_bits, activation_bits=settings.scheme.activation_bits,
        edge_bits=settings.edge_bits,
        distillation=None if soft is None else DistillationInfo(weight=soft.weight, temperature=soft.temperature),
        fitting=kind, penalty=settings.penalty if fitting is Fitting.PENALTY else None,
        saturated=settings.saturated.value, shift_pixels=settings.augmentation.shift,
        mirror=settings.augmentation.mirror,
    )  # fmt: skip


def _data_info(dataset: Dataset, count: int) -> DataInfo:
    return DataInfo(name=dataset.name, split=dataset.split, n=count, sha256=dataset.digest())


def _versions() -> dict[str, str]:
    return {**versions(), "torch": importlib.metadata.version("torch")}
