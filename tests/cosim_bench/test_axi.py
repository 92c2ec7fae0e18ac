"""The stream agents against pins of plain Python: no simulator, so that each cycle can be said by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cocotb.types import Logic, LogicArray

from hwsim.cosim.axi import Monitor, Pauses, Sink, Source, Stream


class Pin:
    """A pin as cocotb shows it: set as an integer, read as Logic or LogicArray."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._value: Any = "X" * bits

    def __len__(self) -> int:
        return self.bits

    @property
    def value(self) -> Any:
        value = self._value
        if self.bits == 1:
            return Logic(str(value))
        return LogicArray(value, self.bits) if isinstance(value, int) else LogicArray(str(value))

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value


def pins(last: bool = False) -> Stream:
    names = {"s_tdata": Pin(8), "s_tvalid": Pin(1), "s_tready": Pin(1), "s_tlast": Pin(1)}
    return Stream(SimpleNamespace(**names), "s", last="tlast" if last else None)


def show(stream: Stream, *, data: object, valid: object, ready: object) -> None:
    stream.data.value, stream.valid.value, stream.ready.value = data, valid, ready


def test_monitor_hands_over_what_is_taken() -> None:
    stream = pins(last=True)
    assert stream.last is not None
    taken: list[tuple[int, bool]] = []
    monitor = Monitor(stream, lambda beat, last: taken.append((beat, last)))
    for data, valid, ready, last in ((1, 0, 1, 0), (2, 1, 0, 1), (2, 1, 1, 1), (3, 1, 1, 0), ("X" * 8, 0, 0, "X")):
        show(stream, data=data, valid=valid, ready=ready)
        stream.last.value = last
        monitor.tick()
    assert taken == [(2, True), (3, False)]
    assert monitor.beats == 2


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"data": 6, "valid": 1, "ready": 1}, "s: beat 0 changed before it was taken"),
        ({"data": 5, "valid": 0, "ready": 1}, "s: valid was withdrawn before the beat was taken"),
        ({"data": 5, "valid": "X", "ready": 1}, "s: valid is X, ready is 1"),
        ({"data": 5, "valid": 1, "ready": "X"}, "s: valid is 1, ready is X"),
    ],
)
def test_monitor_sees_broken_rules(second: dict[str, object], message: str) -> None:
    stream = pins()
    monitor = Monitor(stream, lambda beat, last: None)
    show(stream, data=5, valid=1, ready=0)
    monitor.tick()
    show(stream, **second)
    with pytest.raises(AssertionError) as error:
        monitor.tick()
    assert str(error.value) == message


def test_monitor_sees_undefined_data_only_where_they_are_valid() -> None:
    stream = pins()
    monitor = Monitor(stream, lambda beat, last: None)
    show(stream, data="X" * 8, valid=0, ready=1)
    monitor.tick()
    show(stream, data="0000X000", valid=1, ready=1)
    with pytest.raises(AssertionError, match="s: undefined bits in beat 0: data 0000X000"):
        monitor.tick()


def test_reset_forgets_what_was_offered() -> None:
    stream = pins()
    monitor = Monitor(stream, lambda beat, last: None)
    show(stream, data=5, valid=1, ready=0)
    monitor.tick()
    monitor.reset()
    show(stream, data=6, valid=0, ready=0)
    monitor.tick()


def transfer(source: Source, stream: Stream, cycles: int) -> list[int | None]:
    """Play a device that is always ready: return what it took in each cycle; the monitor knows the rules."""
    cycle: list[int | None] = []
    monitor = Monitor(stream, lambda beat, last: cycle.append(beat))
    taken: list[int | None] = []
    for _ in range(cycles):
        stream.ready.value = 1
        monitor.tick()
        source.tick()
        taken.append(cycle.pop() if cycle else None)
    return taken


def test_source_sends_every_beat_once_and_without_gaps() -> None:
    stream = pins()
    source = Source(stream)
    assert not stream.data.value.is_resolvable, "what is not valid should be undefined"
    source.send(range(10))
    assert source.left == 10
    assert transfer(source, stream, 14) == [None, *range(10), None, None, None]
    assert source.left == 0


def test_source_and_sink_pause_and_lose_nothing() -> None:
    stream, rng = pins(), np.random.default_rng(1)
    source = Source(stream, Pauses(rng, 0.3, 4), noise=rng)
    sink = Sink(stream, Pauses(rng, 0.4, 3))
    source.send(range(100))
    taken: list[int] = []
    monitor = Monitor(stream, lambda beat, last: taken.append(beat))
    for _ in range(1000):
        monitor.tick()
        for agent in (source, sink):
            agent.tick()
    assert taken == list(range(100))


def test_packets_end_with_last() -> None:
    stream = pins(last=True)
    source = Source(stream)
    source.send([1, 2], packet=True)
    source.send([3], packet=True)
    stream.ready.value = 1
    ends: list[bool] = []
    monitor = Monitor(stream, lambda beat, last: ends.append(last))
    assert stream.last is not None
    stream.last.value = 0
    for _ in range(6):
        monitor.tick()
        source.tick()
    assert ends == [False, True, True]


def test_reset_empties_a_source() -> None:
    stream = pins()
    source = Source(stream)
    source.send([1, 2])
    source.tick()
    source.reset()
    assert source.left == 0 and stream.valid.value == 0


def test_pauses() -> None:
    rng = np.random.default_rng(1)
    assert not any(Pauses(rng).now() for _ in range(50))
    assert all(Pauses(rng, 1.0, 5).now() for _ in range(50))
    some = Pauses(rng, 0.5)
    assert 20 < sum(some.now() for _ in range(100)) < 80
    some.hold = True
    assert all(some.now() for _ in range(50))
    long = Pauses(rng, 1.0, 1000)
    long.now()
    long.become(0.0, 1)
    assert not long.now(), "a pause that goes on must end when the stream shall not pause any more"
