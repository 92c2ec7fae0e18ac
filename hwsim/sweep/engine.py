"""From configurations to rows: what the store lacks is cut into jobs, and each distinct one is done once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwsim.sweep.columns import OVERFLOWS, Record
from hwsim.sweep.jobs import Job, TimesJob, ValuesJob, chunks, time_point
from hwsim.sweep.meter import Meter, Silence
from hwsim.sweep.parameters import settings_of
from hwsim.sweep.points import Configuration, digest
from hwsim.sweep.pool import Pool
from hwsim.sweep.rows import CRASHED, DIED, FAILED, OK, STOPPED, Counted, row_of, unite
from hwsim.sweep.sharing import in_order
from hwsim.sweep.store import Store

TIMES_PER_JOB = 24
"""Machines that are timed at a time: about a quarter of a second of work, so that little is lost and files are not too many."""

IMAGES_PER_JOB = 2500

FLUSH_SECONDS = 2.0
"""Most seconds that finished rows wait for a file."""

FASTEST = ("clock_hz", "dram_bytes_per_cycle", "dram_latency_cycles")
"""Parameters that machines of a job differ in first: the search of tiles does not depend on them."""


Verdict = Callable[[Mapping[str, tuple[int, int]], int], Mapping[str, str]]
"""Told the (correct, n) of configurations by key after a stage, and the number of the stage: whom to stop, and why."""


@dataclass
class _Counts:
    """What is known of one values key: pieces by range, or why there is nothing to know."""

    pieces: dict[tuple[int, int], Record] = field(default_factory=dict)
    error: str | None = None

    def add(self, record: Record) -> None:
        self.pieces[record["start"], record["stop"]] = record
        if record["error"] is not None:
            self.error = record["error"]

    def total(self, ranges: Iterable[tuple[int, int]]) -> dict[str, int] | None:
        """Return the sums over ranges, None where one is missing."""
        found = [self.pieces.get(span) for span in ranges]
        if any(record is None or record["error"] is not None for record in found):
            return None
        return {name: sum(record[name] for record in found if record is not None) for name in ("correct", *OVERFLOWS)}


class Engine:
    """Evaluates configurations with one store and one pool.

    Parameters
    ----------
    store
        Where results are, and go.
    pool
        What does the jobs.
    meter
        Told of the progress.
    """

    def __init__(self, store: Store, pool: Pool, meter: Meter | None = None) -> None:
        self._store, self._pool, self._meter = store, pool, meter or Silence()
        self._rows = unite(store.read("rows"))
        self._values: dict[str, _Counts] = {}
        for record in store.read("values"):
            self._values.setdefault(record["key"], _Counts()).add(record)
        self._times: dict[str, Record] = {record["key"]: record for record in store.read("times")}
        self._finished: set[str] = set()
        self._fresh: list[Record] = []
        self._flushed = time.monotonic()

    def evaluate(self, configurations: Sequence[Configuration], verdict: Verdict | None = None) -> list[Record]:
        """Return the row of each configuration, in their order; what the store has is not done again.

        Parameters
        ----------
        configurations
            Equal ones share a row.
        verdict
            Asked after each stage of successive halving but the last.

        Raises
        ------
        InputError
            Where nothing more can be done; what was finished is in the store.
        """
        wanted = list({c.key: c for c in configurations}.values())
        todo = [c for c in wanted if self._row_of(c.key) is None]
        self._meter.expect(points=len(todo))
        if verdict is not None and todo:
            # A verdict looks at all of them, so that it is the same one after an interruption.
            todo = wanted
        try:
            self._time(todo)
            alive = [c for c in todo if not self._fails(c)]
            stages = max((len(c.stages) or 1 for c in alive), default=0)
            for stage in range(stages):
                last = stage == stages - 1
                self._execute(alive, stage, last=last)
                alive = [c for c in alive if not self._fails(c)]
                if verdict is not None and not last:
                    stopped = verdict({c.key: self._seen(c, stage) for c in alive if c.images}, stage)
                    for c in alive:
                        if c.key in stopped:
                            self._finish(c, STOPPED, stopped[c.key], self._counted(c, stage))
                    alive = [c for c in alive if c.key not in stopped]
        finally:
            self._flush()
        return [self._rows[c.key] for c in configurations]

    def times_of(self, configuration: Configuration) -> Record:
        """Return what is known of a configuration that was timed before it is executed: `TIME_METRICS` and `COST_METRICS`."""
        return self._times[configuration.time_key] | configuration.cost

    def keep(self, rows: Sequence[Record]) -> None:
        """Store rows that were finished elsewhere, where they are not stored yet."""
        self._fresh += [row for row in rows if row["key"] not in self._rows]
        self._rows |= {row["key"]: row for row in rows}
        self._flush()

    def _row_of(self, key: str) -> Record | None:
        """Return a finished row; what crashed in an earlier run is tried again."""
        row = self._rows.get(key)
        return None if row is None or (row["status"] == CRASHED and key not in self._finished) else row

    def _time(self, configurations: Sequence[Configuration]) -> None:
        waiting: dict[str, list[Configuration]] = {}
        for c in configurations:
            waiting.setdefault(c.time_key, []).append(c)
        for job, records in self._outcomes(
            _times_jobs([some[0] for key, some in waiting.items() if key not in self._times])
        ):
            assert isinstance(job, TimesJob)
            for record in records or [{"key": point.key, "error": DIED} for point in job.machines]:
                self._times[record["key"]] = record
                for c in waiting[record["key"]]:
                    if not self._fails(c) and not c.images:
                        self._finish(c, OK)
            self._flush_now_and_then()
        for c in configurations:
            if not c.images and not self._fails(c):
                self._finish(c, OK)

    def _execute(self, configurations: Sequence[Configuration], stage: int, *, last: bool) -> None:
        """Run the images up to the end of a stage, wherever they are missing; after the last one points are finished."""
        jobs: dict[tuple[str, tuple[int, int]], ValuesJob] = {}
        waiting: dict[str, list[Configuration]] = {}
        for c in configurations:
            waiting.setdefault(c.values_key, []).append(c)
            known = self._values.setdefault(c.values_key, _Counts())
            for span in _ranges(c, stage):
                if span not in known.pieces and known.error is None:
                    jobs[c.values_key, span] = ValuesJob(
                        c.values_key, c.source, c.quantization, c.values_machine, *span, layers=c.layers
                    )
        self._meter.expect(images=sum(job.images for job in jobs.values()))
        for done, records in self._outcomes(_together(jobs.values())):
            assert isinstance(done, ValuesJob)
            known = self._values[done.key]
            for record in records or []:
                known.add(record)
            if records is None:
                known.error = DIED
            for c in waiting[done.key] if last else ():
                self._settle(c)
            self._flush_now_and_then()
        for c in configurations if last else ():
            self._settle(c)

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Record] | None]]:
        for outcome in self._pool.run(jobs) if jobs else ():
            self._meter.done(images=outcome.job.images)
            yield outcome.job, outcome.records

    def _fails(self, configuration: Configuration) -> bool:
        """Finish a configuration of which it is known that it has no figures; return whether it is one."""
        known = self._values.get(configuration.values_key, _Counts())
        error = self._times[configuration.time_key]["error"] or known.error
        if error is not None:
            self._finish(configuration, CRASHED if error == DIED else FAILED, error)
        return error is not None

    def _settle(self, configuration: Configuration) -> None:
        """Finish a configuration whose figures are complete."""
        if configuration.images and not self._fails(configuration):
            counted = self._counted(configuration)
            if counted is not None:
                self._finish(configuration, OK, counted=counted)

    def _finish(
        self, configuration: Configuration, status: str, reason: str | None = None, counted: Counted | None = None
    ) -> None:
        if self._row_of(configuration.key) is not None:
            return
        row = row_of(configuration, status, reason, self._times[configuration.time_key], counted)
        self._rows[configuration.key] = row
        self._finished.add(configuration.key)
        self._fresh.append(row)
        self._meter.done(points=1)

    def _counted(self, configuration: Configuration, stage: int = -1) -> Counted | None:
        """Return the counts up to the end of a stage and their number of images, None where some are missing."""
        ranges = _ranges(configuration, stage)
        counts = self._values.get(configuration.values_key, _Counts()).total(ranges)
        return None if counts is None else Counted(counts, ranges[-1][1])

    def _seen(self, configuration: Configuration, stage: int) -> tuple[int, int]:
        counted = self._counted(configuration, stage)
        assert counted is not None
        return counted.counts["correct"], counted.n

    def _flush_now_and_then(self) -> None:
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if self._fresh:
            self._store.write("rows", digest(*(row["key"] for row in self._fresh)), self._fresh)
            self._fresh = []
        self._flushed = time.monotonic()


def _ranges(configuration: Configuration, stage: int = -1) -> list[tuple[int, int]]:
    """Return the pieces of images up to the end of a stage, or all; none without data."""
    if not configuration.images:
        return []
    ends = configuration.stages or (configuration.images,)
    # Models of fewer images have fewer stages, and stay at their last.
    end = ends[min(stage, len(ends) - 1)]
    return [span for span in chunks(ends, configuration.images, IMAGES_PER_JOB) if span[1] <= end]


def _together(jobs: Iterable[ValuesJob]) -> list[ValuesJob]:
    """Return jobs with those beside each other that differ in their arithmetic only, told of each other."""
    groups: dict[tuple[str, int, int], list[ValuesJob]] = {}
    for job in jobs:
        groups.setdefault((job.affinity, job.start, job.stop), []).append(job)
    found = []
    for group in groups.values():
        # Outliers enter a sum where their tile ends, and layers may have their own registers: more than one reduction says.
        together = [job for job in group if job.layers is None]
        apart = len(together) < 2 or dict(group[0].quantization)["outliers"] is not None
        machines = () if apart else in_order(job.machine for job in together)
        places = {machine: place for place, machine in enumerate(machines)}
        ordered = sorted(together, key=lambda job: places.get(job.machine, 0))
        found += [replace(job, group=machines) for job in ordered]
        found += [job for job in group if job.layers is not None]
    return found


def _times_jobs(configurations: Sequence[Configuration]) -> list[TimesJob]:
    """Cut what is to be timed into jobs, machines that share most of the work beside each other."""
    groups: dict[tuple[str, float], list[Configuration]] = {}
    for c in configurations:
        groups.setdefault((c.source.sha256, c.frames_per_second), []).append(c)
    jobs = []
    for (_, rate), group in groups.items():
        ordered = sorted(group, key=_alike)
        for start in range(0, len(ordered), TIMES_PER_JOB):
            some = ordered[start : start + TIMES_PER_JOB]
            jobs.append(TimesJob(some[0].source, tuple(time_point(c) for c in some), rate))
    return jobs


def _alike(configuration: Configuration) -> tuple[str, ...]:
    settings = {**configuration.options, **settings_of(configuration.time_machine)}
    slow = [repr(value) for name, value in settings.items() if name not in FASTEST]
    return (*slow, *(repr(settings[name]) for name in FASTEST))
