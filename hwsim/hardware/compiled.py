"""A core that runs jobs at a million clock cycles per second: its RTL as machine code, with everything around it in C++ too.

The driver (``driver.cc``) plays the AXI4-Lite master and all streams, cycle by cycle, and checks what the core does on its ports.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwsim.cosim.streams import JobStreams
from hwsim.hardware.model import library
from hwsim.spec import MEMORY_PORTS, Core, StreamMemory, require
from hwsim.spec.register_map import CONTROL_START, COUNTERS, REGISTERS, STATUS_BUSY, counter_address

Beats = npt.NDArray[np.uint8]
"""[beats, bytes of a beat]."""

PORTS = ("weights", "activations", "outliers", "results", "registers")
"""The ports that can pause: three streams in, one out, and all channels of the AXI4-Lite port."""

PATIENCE = 100_000
"""Cycles without a beat on any stream after which a job has failed."""

MOST_PAUSES = 0.99

_MESSAGE_BYTES = 2000


class CoreFailure(RuntimeError):  # noqa: N818 (it is no error of this program)
    """The hardware broke a protocol, refused an access, or stood still; the message has the cycle and the state of all ports."""


@dataclass(frozen=True)
class JobRun:
    """What a job gave.

    Parameters
    ----------
    results
        uint8 [beats, bytes], as they left the core.
    counters
        All counters by name, read over the AXI4-Lite port after the job.
    cycles
        Simulated, the accesses to registers before and after the job included.
    """

    results: Beats
    counters: dict[str, int]
    cycles: int


class _Stream(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("beats", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
        ("pause", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("places", ctypes.c_uint64),
        ("cost", ctypes.c_uint64),
    )


class _Job(ctypes.Structure):
    _fields_ = (
        ("weights", _Stream),
        ("activations", _Stream),
        ("outliers", _Stream),
        ("results", _Stream),
        ("writes", ctypes.c_void_p),
        ("write_count", ctypes.c_uint64),
        ("reads", ctypes.c_void_p),
        ("read_count", ctypes.c_uint64),
        ("status", ctypes.c_uint32),
        ("busy", ctypes.c_uint32),
        ("pause", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("latency", ctypes.c_uint64),
        ("read_units", ctypes.c_uint64),
        ("write_units", ctypes.c_uint64),
        ("patience", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("message", ctypes.c_void_p),
        ("message_bytes", ctypes.c_uint64),
    )


class _Model:
    """The state of a core, as after a reset; freed with this object."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self.address = loaded.hwsim_new()
        weakref.finalize(self, loaded.hwsim_delete, self.address)


class CompiledCore:
    """A simulated `GemmCore`; runs one job at a time, several instances run in parallel threads.

    Parameters
    ----------
    core
        The configuration. The first time that it is used, it is built, which takes seconds.
    built
        Its library, where `hwsim.hardware.model.library` has just returned it.

    Raises
    ------
    InputError
        Where the C++ compiler is missing.
    """

    def __init__(self, core: Core, built: Path | None = None) -> None:
        self.core = core
        self._library = _load(built or library(core))
        self._reset()

    def _reset(self) -> None:
        self._model = _Model(self._library)

    def run(
        self, job: JobStreams, *, gaps: Mapping[str, tuple[float, int]] | None = None,
        memory: StreamMemory | None = None, patience: int = PATIENCE,
    ) -> JobRun:  # fmt: skip
        """Run a job: write its registers, start it, move its beats, wait until it is done, read the counters.

        Parameters
        ----------
        job
            Registers and streams, as `hwsim.cosim.to_streams` makes them.
        gaps
            By port (`PORTS`): the chance of a pause in each cycle, 0..0.99, and the seed that decides them. Ports that are not
            named never pause.
        memory
            What stands in front of the streams; only `registers` may have gaps then.
        patience
            The job has failed when no beat moved on a stream for so many cycles; behind a memory some more.

        Raises
        ------
        CoreFailure
            Where the core does not finish the job, or breaks the rules of AXI. The model is reset; the next job can run.
        """
        packing = self.core.result_packing
        results = np.empty((job.result_beats, packing.bus_bits // 8), np.uint8)
        writes = _accesses([(REGISTERS[name], value & 0xFFFFFFFF) for name, value in job.registers.items()])
        writes = np.concatenate([writes, _accesses([(REGISTERS["CONTROL"], CONTROL_START)])])
        reads = _accesses([(counter_address(name) + part, 0) for name in COUNTERS for part in (0, 4)])
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        streams = self._inputs(job)
        pauses = {port: _pauses(port, *(gaps or {}).get(port, (0.0, 0))) for port in PORTS}
        able = PORTS if memory is None else ("registers",)
        for port in gaps or {}:
            require(
                port in able, "gaps", f"by {', '.join(able)}" + ("" if memory is None else " behind a memory"), port
            )
        fifos = {} if memory is None else _fifos(memory, self.core)
        buses = {} if memory is None else _buses(memory)
        patience += 0 if memory is None else _longest_wait(memory, self.core)
        parameters = _Job(
            **{
                name: _stream(beats, *pauses[name], *fifos.get(name, (0, 0)))
                for name, beats in (*streams.items(), ("results", results))
            },
            writes=writes.ctypes.data, write_count=len(writes), reads=reads.ctypes.data, read_count=len(reads),
            status=REGISTERS["STATUS"], busy=STATUS_BUSY, pause=pauses["registers"][0], seed=pauses["registers"][1],
            patience=patience, **buses, message=ctypes.addressof(message), message_bytes=_MESSAGE_BYTES,
        )  # fmt: skip
        if self._library.hwsim_run(self._model.address, ctypes.byref(parameters)):
            self._reset()
            raise CoreFailure(message.value.decode())
        halves = reads[:, 1].astype(np.int64)
        counters = dict(zip(COUNTERS, (halves[0::2] + (halves[1::2] << 32)).tolist(), strict=True))
        return JobRun(results, counters, parameters.cycles)

    def _inputs(self, job: JobStreams) -> dict[str, Beats]:
        """Return the streams into the core, checked: C++ reads them by address."""
        core = self.core
        widths = {"weights": core.weight_packing.bus_bits, "activations": core.activation_packing.bus_bits}
        widths["outliers"] = core.outlier_bus_bits if core.outlier_lanes else 8
        streams = {}
        for name, bits in widths.items():
            given = getattr(job, name)
            beats = np.zeros((0, bits // 8), np.uint8) if given is None else np.ascontiguousarray(given)
            require(beats.dtype == np.uint8, f"{name} stream", "uint8", beats.dtype)
            require(beats.shape[1:] == (bits // 8,), f"{name} stream", f"of shape [beats, {bits // 8}]", beats.shape)
            require(given is None or name != "outliers" or core.outlier_lanes > 0, "outliers", "left out", "given")
            streams[name] = beats
        return streams


def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    loaded.hwsim_new.restype = ctypes.c_void_p
    loaded.hwsim_delete.argtypes = (ctypes.c_void_p,)
    loaded.hwsim_delete.restype = None
    loaded.hwsim_run.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return loaded


def _accesses(pairs: list[tuple[int, int]]) -> npt.NDArray[np.uint32]:
    """Return (address, data) pairs as the driver reads them, uint32 [n, 2]."""
    return np.array(pairs, np.uint32).reshape(-1, 2)


def _pauses(port: str, chance: float, seed: int) -> tuple[int, int]:
    """Return the chance in units of 2**-32, and a state of the generator that is never 0."""
    require(0 <= chance <= MOST_PAUSES, f"gaps of {port}", f"from 0 to {MOST_PAUSES}", chance)
    # Neighbouring seeds must not give like sequences: spread their bits (splitmix64's first steps).
    mixed = ((seed + 1) * 0x9E3779B97F4A7C15 + PORTS.index(port)) * 0xBF58476D1CE4E5B9 % (1 << 64)
    return int(chance * (1 << 32)), (mixed ^ mixed >> 31) or 1


def _fifos(memory: StreamMemory, core: Core) -> dict[str, tuple[int, int]]:
    """Return by stream how many beats find room, and what one takes of its bus."""
    return dict(zip(MEMORY_PORTS, zip(memory.places, memory.bus_costs(core), strict=True), strict=True))


def _buses(memory: StreamMemory) -> dict[str, int]:
    reads, writes = memory.bus_units
    shared = memory.write_bytes_per_cycle is None
    return {"latency": memory.latency_cycles, "read_units": reads, "write_units": 0 if shared else writes}


def _longest_wait(memory: StreamMemory, core: Core) -> int:
    """Return more cycles than a beat can take behind all that stand before it."""
    queued = [places * cost for places, cost in zip(memory.places, memory.bus_costs(core), strict=True)]
    return memory.latency_cycles + 2 + sum(queued) // min(memory.bus_units)


def _stream(beats: Beats, pause: int, seed: int, places: int, cost: int) -> _Stream:
    return _Stream(data=beats.ctypes.data, beats=len(beats), moved=0, pause=pause, seed=seed, places=places, cost=cost)
