"""The pieces of a sweep that run by themselves: a configuration's values on some images, and the times of some configurations.

A job is small, frozen and carries all that it needs, so that any process on any machine can do it; its result is rows of a table
of the store. What a job has loaded (networks, data, prepared integers) stays in the process for the next one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from hwsim.data import Dataset, open_dataset
from hwsim.data.slice import DatasetSlice
from hwsim.load import LoadedModel, load_model
from hwsim.sim.document import TotalTimes
from hwsim.sim.feed import Feed
from hwsim.sim.narrow.runs import Runs
from hwsim.sim.network import Calibrations, Network
from hwsim.sim.program import Program
from hwsim.sim.run import network_of, program_of
from hwsim.sim.time.outlier_layers import check_outliers
from hwsim.sim.time.run import total_time
from hwsim.spec import Accelerator, InputError, require
from hwsim.sweep.columns import OVERFLOWS, Record
from hwsim.sweep.layer_files import LayerFile
from hwsim.sweep.metrics import time_metrics
from hwsim.sweep.parameters import FORMATS, Setting
from hwsim.sweep.points import Configuration, ModelSource, digest
from hwsim.sweep.quantization import network_machine, settings_of_run
from hwsim.sweep.sharing import count, runs_from


@dataclass(frozen=True)
class ValuesJob:
    """Images ``start..stop-1`` of a quantized network in one arithmetic.

    `group` has the machines of all jobs of that network and these images, if there are several; see `hwsim.sweep.sharing`.
    """

    key: str
    source: ModelSource
    quantization: tuple[tuple[str, Setting], ...]
    machine: Accelerator
    start: int
    stop: int
    group: tuple[Accelerator, ...] = ()
    layers: LayerFile | None = None

    table = "values"

    @property
    def name(self) -> str:
        """Name of its file; the same work has the same."""
        return f"{self.key}-{self.start}-{self.stop}"

    @property
    def affinity(self) -> str:
        """What a process has to prepare first: jobs that share it had better share a process."""
        return digest(self.source.sha256, self.source.data_sha256, self.quantization, str(self.network_machine))

    @property
    def network_machine(self) -> Accelerator:
        """The machine as quantization sees it."""
        return network_machine(self.machine, dict(self.quantization))

    @property
    def batch(self) -> str:
        """What it shares more with jobs of the same affinity by: its images."""
        return str(self.start)

    @property
    def images(self) -> int:
        """Images that it runs."""
        return self.stop - self.start

    @property
    def points(self) -> int:
        """Configurations that it times: none."""
        return 0

    def run(self) -> list[Record]:
        """Return its one row."""
        row: Record = {"key": self.key, "start": self.start, "stop": self.stop, "error": None}
        try:
            # As `hwsim.sim.run.run` does; see there.
            with threadpool_limits(limits=1, user_api="blas"):
                return [{**row, **self._counts()}]
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a point, it is the point's and not the sweep's
            return [{**row, **self._nothing(), "error": reason_of(error)}]

    def _counts(self) -> Record:
        network, program = _program(self.source, self.quantization, self.machine, self.layers)
        feed = _feed(self.source, network, self.start, self.stop)
        found = count(
            program, feed, self.images, self.machine, self.group,
            lambda: _runs(
                self.source, self.quantization, self.network_machine, self.group[0], self.start, self.stop
            ),
        )  # fmt: skip
        return {"correct": found.correct, **dict(zip(OVERFLOWS, found.events, strict=True))}

    def _nothing(self) -> Record:
        return dict.fromkeys(("correct", *OVERFLOWS))


@dataclass(frozen=True)
class TimePoint:
    """A network on a machine: in formats, or quantized as `prepared_for` has it, where the time depends on its weights."""

    key: str
    quantization: tuple[tuple[str, Setting], ...]
    machine: Accelerator
    prepared_for: Accelerator | None


@dataclass(frozen=True)
class TimesJob:
    """Times of one network on several machines."""

    source: ModelSource
    machines: tuple[TimePoint, ...]
    frames_per_second: float

    table = "times"

    @property
    def name(self) -> str:
        """Name of its file; the same work has the same."""
        return digest([point.key for point in self.machines])

    @property
    def affinity(self) -> str:
        """What a process has to prepare first."""
        return self.source.sha256

    @property
    def batch(self) -> str:
        """Nothing more: neighbours in line share most."""
        return ""

    @property
    def images(self) -> int:
        """Images that it runs: none."""
        return 0

    @property
    def points(self) -> int:
        """Configurations that it times."""
        return len(self.machines)

    def run(self) -> list[Record]:
        """Return a row for each machine."""
        return [self._row(point) for point in self.machines]

    def _row(self, point: TimePoint) -> Record:
        try:
            return {"key": point.key, **time_metrics(self._total(point), point.machine), "error": None}
        except Exception as error:  # noqa: BLE001 - as above
            return {"key": point.key, "error": reason_of(error)}

    def _total(self, point: TimePoint) -> TotalTimes:
        rate = self.frames_per_second
        if point.prepared_for is not None:
            require(
                self.source.data is not None, "data", "given with a scheme or outliers, which calibrate", "left out"
            )
            network = _network(self.source, point.quantization, point.prepared_for)
            check_outliers(network.integer, point.machine)
            return total_time(network.integer, point.machine, frames_per_second=rate)
        formats: dict[str, Any] = {name: dict(point.quantization)[name] for name in FORMATS}
        return total_time(_model(self.source).graph, point.machine, frames_per_second=rate, **formats)


Job = ValuesJob | TimesJob


def time_point(configuration: Configuration) -> TimePoint:
    """Return what the time engine is asked for a configuration."""
    machine = network_machine(configuration.machine, configuration.options) if configuration.prepared else None
    return TimePoint(configuration.time_key, configuration.quantization, configuration.time_machine, machine)


def reason_of(error: BaseException) -> str:
    """Return in one line why a point failed; what is no error of the user's is named by its type."""
    if isinstance(error, OSError | MemoryError):
        # Not the point's: a full disk, a lost file, too many processes. It must not be stored as if it were.
        raise error
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


@functools.lru_cache(maxsize=8)
def _model(source: ModelSource) -> LoadedModel:
    return load_model(source.path)


@functools.lru_cache(maxsize=4)
def _dataset(source: ModelSource) -> Dataset:
    assert source.data_path is not None
    return open_dataset(source.data_path, image_size=source.image_size)


@functools.lru_cache(maxsize=2)
def _network(source: ModelSource, quantization: tuple[tuple[str, Setting], ...], machine: Accelerator) -> Network:
    """Return the integer network, which all machines share that `network_machine` makes equal."""
    settings = settings_of_run(dict(quantization), machine, source.mean, source.std)
    return network_of(_model(source), _dataset(source), settings, _calibrations(source))


@functools.lru_cache(maxsize=4)
def _calibrations(_source: ModelSource) -> Calibrations:
    """Return what the process has calibrated of a float network: all its quantizations share it."""
    return {}


@functools.lru_cache(maxsize=2)
def _program(
    source: ModelSource, quantization: tuple[tuple[str, Setting], ...], machine: Accelerator, layers: LayerFile | None
) -> tuple[Network, Program]:
    options = dict(quantization)
    network = _network(source, quantization, network_machine(machine, options))
    settings = settings_of_run(options, machine, source.mean, source.std)
    return network, program_of(network, settings if layers is None else replace(settings, layers=layers.tables))


@functools.lru_cache(maxsize=1)
def _runs(
    source: ModelSource, quantization: tuple[tuple[str, Setting], ...], machine: Accelerator, first: Accelerator, start: int,
    stop: int,
) -> Runs:  # fmt: skip
    """Return the runs of a network on some images; only the latest, as they keep activations."""
    network = _network(source, quantization, machine)
    return runs_from(network.integer, first, _feed(source, network, start, stop), stop - start)


def _feed(source: ModelSource, network: Network, start: int, stop: int) -> Feed:
    dataset = DatasetSlice(_dataset(source), start, stop)
    return Feed(network.integer, dataset, _model(source).graph.input.quantization)


def chunks(stages: Sequence[int], images: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of images that jobs are cut into: at the ends of stages, and in pieces of about `size` between."""
    ends = sorted({0, *stages, images})
    found = []
    for low, high in itertools.pairwise(ends):
        pieces = -(-(high - low) // size)
        edges = [low + (high - low) * i // pieces for i in range(pieces + 1)]
        found += list(itertools.pairwise(edges))
    return found
