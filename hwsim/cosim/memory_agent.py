"""The memory of ``docs/rtl-core.md`` in front of a core's streams in a simulator. Needs cocotb."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.cosim.axi import Stream
from hwsim.dataflow.core_memory import RESULTS, MemoryPorts
from hwsim.spec import MEMORY_PORTS, Core, StreamMemory


class MemoryAgent:
    """Says when sources may offer a beat and the sink may take one, in the cycles that the memory's rules say.

    It has to see each cycle before sources and sink do: it goes before them in `run`.

    Parameters
    ----------
    streams
        By the name of the port.
    """

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._ports: MemoryPorts | None = None
        self._began = False

    def begin(self, memory: StreamMemory, core: Core, beats: Mapping[str, int]) -> None:
        """Stand before the next job, which has so many beats by port; the first ones are requested."""
        self._ports = MemoryPorts(memory, core, [beats.get(name, 0) for name in MEMORY_PORTS])
        self._ports.request()
        self._began = False

    def end(self) -> None:
        """Stand there no more: nothing is held back."""
        self._ports = None

    def closed(self, name: str) -> bool:
        """Whether a port is held back in the cycle to come."""
        if self._ports is None:
            return False
        port = MEMORY_PORTS.index(name)
        return not (self._ports.has_room() if port == RESULTS else self._ports.offers(port))

    def tick(self) -> None:
        """Look at the cycle that just ended: which beats were taken in it."""
        ports = self._ports
        # The first cycle in which the core takes activations is the job's first; until then the memory's does not end.
        self._began = self._began or (ports is not None and bool(self._streams["activations"].ready.value))
        if ports is None or not self._began:
            return
        for name, stream in self._streams.items():
            if stream.valid.value and stream.ready.value:
                port = MEMORY_PORTS.index(name)
                if port == RESULTS:
                    ports.put()
                else:
                    ports.take(port)
        ports.elapse()
        ports.request()
