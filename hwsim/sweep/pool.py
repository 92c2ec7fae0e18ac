"""Where jobs run: in this process, in processes of this machine, or on a Dask cluster (`hwsim.sweep.cluster`).

A pool takes jobs and yields what became of each, in any order. The process that does a job also writes its result into the store,
so what is finished survives whoever asked for it.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol

from hwsim.spec import InputError
from hwsim.sweep.columns import Record
from hwsim.sweep.jobs import Job
from hwsim.sweep.store import Store

MOST_DEATHS = 3
"""Processes that a job may cost before it is given up: one may be an accident, three are the job."""


@dataclass(frozen=True)
class Outcome:
    """A finished job and the rows that are now in the store; None where it killed its processes."""

    job: Job
    records: list[Record] | None


class Pool(Protocol):
    """Does jobs."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield an outcome for each job.

        Raises
        ------
        InputError
            Where nothing more can be done: the store's disk is full, or the cluster is gone.
        """
        ...

    def close(self) -> None:
        """End what was started."""
        ...


def perform(job: Job, folder: Path) -> list[Record]:
    """Do a job and store its result; raise `InputError` where the store does not take it."""
    try:
        records = job.run()
        Store(folder).write(job.table, job.name, records)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"{error.filename or folder}: {reason}; finished points are kept in {folder}, and the same command continues"
        ) from None
    return records


class InProcess:
    """One job after the other, here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Pool`."""
        for job in jobs:
            yield Outcome(job, perform(job, self._folder))

    def close(self) -> None:
        """See `Pool`."""


class _Worker:
    """A process of `hwsim.sweep.worker`, and the job that it has."""

    def __init__(self, folder: Path) -> None:
        self.connection, theirs = Pipe()
        # Not multiprocessing.Process: it would import the caller's main module again, which a notebook does not have and a
        # script without a guard does not survive.
        command = [sys.executable, "-m", "hwsim.sweep.worker", str(theirs.fileno()), str(folder)]
        self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        theirs.close()
        self.job: Job | None = None
        self.affinity = self.batch = ""

    def start(self, job: Job) -> None:
        self.job, self.affinity, self.batch = job, job.affinity, job.batch
        with suppress(OSError):  # it is dead already: its connection will say so
            self.connection.send_bytes(pickle.dumps(job))

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


class LocalProcesses:
    """Processes of this machine; one that dies is replaced, and its job is done again.

    Parameters
    ----------
    folder
        The store.
    workers
        How many, at least 1.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder, self._most = folder, workers
        self._workers: list[_Worker] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """See `Pool`."""
        waiting = _Waiting(jobs)
        deaths: Counter[Job] = Counter()
        while True:
            while len(self._workers) < min(self._most, waiting.jobs + len(self._busy())):
                self._workers.append(_Worker(self._folder))
            for worker in self._workers:
                if worker.job is None and (job := waiting.next_for(worker, self._busy())) is not None:
                    worker.start(job)
            busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker = busy[connection]
                job = worker.job
                assert job is not None
                try:
                    answer = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    self._remove(worker)
                    deaths[job] += 1
                    if deaths[job] < MOST_DEATHS:
                        waiting.again(job)
                    else:
                        yield Outcome(job, None)
                    continue
                worker.job = None
                if isinstance(answer, InputError):
                    raise answer
                yield Outcome(job, answer)

    def close(self) -> None:
        """See `Pool`."""
        for worker in self._workers:
            worker.end()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def _remove(self, worker: _Worker) -> None:
        worker.end()
        self._workers.remove(worker)


class _Waiting:
    """Jobs in line; a process gets one whose network it has ready, else one of a network that no other is at.

    Of a network it gets one of the images that it was at, else of images that no other is at.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._lines: dict[str, deque[Job]] = {}
        for job in jobs:
            self._lines.setdefault(job.affinity, deque()).append(job)

    @property
    def jobs(self) -> int:
        return sum(map(len, self._lines.values()))

    def next_for(self, worker: _Worker, busy: Sequence[_Worker]) -> Job | None:
        if not self._lines:
            return None
        taken = {other.affinity for other in busy}
        free = (name for name in self._lines if name not in taken)
        name = worker.affinity if worker.affinity in self._lines else next(free, next(iter(self._lines)))
        line = self._lines[name]
        at = {other.batch for other in busy if other.affinity == name}
        own = (i for i, job in enumerate(line) if name == worker.affinity and job.batch == worker.batch)
        others = (i for i, job in enumerate(line) if job.batch not in at)
        place = next(own, next(others, 0))
        job = line[place]
        del line[place]
        if not line:
            del self._lines[name]
        return job

    def again(self, job: Job) -> None:
        self._lines.setdefault(job.affinity, deque()).appendleft(job)
