"""Data sets in batches on threads: the same result however they are cut, few batches at once, and clean ends."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hwsim.kernels.monitor import NEVER
from hwsim.sim import Program
from hwsim.sim import execute as module
from hwsim.sim.execute import batch_size, execute, execute_float, in_order
from hwsim.sim.feed import Feed
from sim.digits_runs import arithmetic, digits, feed, network

COUNT = 45


@pytest.mark.parametrize("options", [{"acc": "16:saturate"}, {"acc": "13:wrap", "lanes": 4}], ids=["simd", "golden"])
def test_results_do_not_depend_on_threads_or_batches(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(network().integer, arithmetic(**options))
    runs = []
    for threads, size in ((1, 64), (3, 1), (2, 7), (4, 45)):
        monkeypatch.setattr(module, "batch_size", lambda _, size=size: size)
        runs.append(execute(program, feed(), COUNT, threads=threads))
    one = runs[0]
    assert one.n == len(one.predictions) == COUNT
    assert sum(monitor.events for monitor in one.monitors.values()) > 0
    for other in runs[1:]:
        assert np.array_equal(other.predictions, one.predictions)
        assert other.correct == one.correct
        for name, monitor in one.monitors.items():
            assert np.array_equal(monitor.counts, other.monitors[name].counts)
            assert np.array_equal(monitor.first, other.monitors[name].first)


def test_merged_counters_are_those_of_one_big_batch_on_the_golden_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, and the location of the first event of every layer, which the SIMD kernels leave open."""
    name = "digits_mobilenet"
    program = Program(network(name).integer, arithmetic("17:saturate"))
    monkeypatch.setattr(module, "batch_size", lambda _: 7)
    ran = execute(program, feed(name), COUNT, threads=2)
    golden = program.monitors(observe=True)
    scores = program.run(feed(name).integers(0, COUNT), monitors=golden)["logits"]
    assert np.array_equal(ran.predictions, scores.argmax(axis=1))
    assert ran.correct == (ran.predictions == digits().labels[:COUNT]).sum()
    firsts = set()
    for layer, monitor in golden.items():
        assert np.array_equal(ran.monitors[layer].counts, monitor.counts), layer
        assert ran.monitors[layer].first.tolist() == monitor.first.tolist(), layer
        firsts.add(monitor.first_image)
    assert len(firsts) > 2, "the layers should overflow first on different images for this test to mean something"


def test_an_exact_program_has_no_first_event() -> None:
    ran = execute(Program(network().integer), feed(), 5, threads=1)
    assert all(monitor.first.tolist() == [NEVER] * 4 for monitor in ran.monitors.values())


def test_progress_adds_up_to_the_images() -> None:
    seen: list[int] = []
    execute(Program(network().integer), feed(), 130, threads=2, progress=seen.append)
    assert sum(seen) == 130
    assert max(seen) <= batch_size(network().integer) <= 64


def test_the_float_network_runs_alike_on_any_number_of_threads() -> None:
    real = network().real
    runs = [execute_float(real, Feed(real, digits()), 61, threads=threads) for threads in (1, 4)]
    assert np.array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1] == (runs[0][0] == digits().labels[:61]).sum()


def test_few_batches_are_in_flight_and_results_come_in_order() -> None:
    """At most 2 * threads + 1 results may wait for a slow reader, whatever the length of the data set."""
    threads = 3
    finished, taken, most = 0, 0, 0
    lock = threading.Lock()

    def work(start: int, stop: int) -> int:
        nonlocal finished, most
        # Later batches are faster, so that they would come first if the order were that of finishing.
        time.sleep(0.002 * (start % 3))
        with lock:
            finished += 1
            most = max(most, finished - taken)
        return start

    found = []
    for result in in_order(work, 40, 1, threads):
        found.append(result)
        time.sleep(0.001)
        with lock:
            taken += 1
    assert found == list(range(40))
    assert most <= 2 * threads + 2


def test_an_error_ends_the_run_without_the_batches_behind_it() -> None:
    started: list[int] = []

    def work(start: int, stop: int) -> int:
        started.append(start)
        if start == 3:
            raise KeyboardInterrupt
        time.sleep(0.001)
        return start

    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, 1000, 1, 2))
    assert len(started) < 20
    assert threading.active_count() < 10


def test_an_abandoned_run_stops() -> None:
    started: list[int] = []
    results = in_order(lambda start, stop: started.append(start), 1000, 1, 2)
    next(results)
    results.close()
    assert len(started) < 20
