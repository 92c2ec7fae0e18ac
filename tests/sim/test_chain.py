"""Layers that run as one compiled call give what they give one by one, which other files hold to the golden kernels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from hwsim.graph import Array, Graph
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.monitor import Monitor
from hwsim.ops import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected, MaxPool2D, Padding, Reshape, Window
from hwsim.sim import Program
from hwsim.sim.chain import Chain, stages
from quant.float_nets import FloatNet, quantized
from sim.digits_runs import arithmetic, feed, network

SUMS = ("32:wrap", "16:saturate", "14:wrap")
needs_jit = pytest.mark.skipif(not ENABLED, reason="without the JIT no layer has a step")


def branches() -> Graph:
    """A residual block, a second branch that starts before it, and an output in the middle; 6 x 5 images of 4 channels."""
    net = FloatNet(6, 5, 4)
    pad, relu = Window((3, 3), padding=Padding(1, 1, 1, 1)), Activation.RELU
    first = net.node("first", Conv2D(pad, activation=relu), "x", net.normal("w1", 8, 3, 3, 4), net.normal("b1", 8))
    wide = net.node("wide", Conv2D(Window((1, 1)), activation=relu), first, net.normal("w2", 70, 1, 1, 8))
    deep = net.node("deep", DepthwiseConv2D(pad), wide, net.normal("w3", 1, 3, 3, 70), net.normal("b3", 70))
    back = net.node("back", Conv2D(Window((1, 1))), deep, net.normal("w4", 8, 1, 1, 70))
    both = net.node("both", Add(relu), first, back)
    pooled = net.node("pooled", MaxPool2D(Window((2, 1), (2, 1))), both)
    again = net.node("again", Add(), pooled, pooled)
    flat = net.node("flat", Reshape((1, -1)), again)
    net.node("dense", FullyConnected(), flat, net.normal("w5", 11, 120), net.normal("b5", 11))
    images = np.random.default_rng(2).normal(0, 1, (12, 6, 5, 4)).astype(np.float32)
    made = quantized(net.graph(), [images])
    return replace(made, outputs=("dense_out", "both_out", "flat_out"))


def inputs(graph: Graph, count: int) -> Array:
    """Draw images over the whole range."""
    quantization = graph.input.quantization
    assert quantization is not None
    form = quantization.format
    values = np.random.default_rng(count).integers(form.lo, form.hi + 1, (count, *graph.input.shape[1:]))
    return values.astype(form.storage)


def one_by_one(program: Program, batch: Array, monitors: dict[str, Monitor]) -> dict[str, Array]:
    """Run node by node."""
    found = {}
    for node, _, outputs in program.steps(batch, monitors):
        found.update(zip(node.outputs, outputs, strict=True))
    return {name: found[name] for name in program.graph.outputs}


def assert_same(program: Program, batch: Array) -> None:
    """Hold chains to single layers: outputs and counters."""
    expected, single = one_by_one(program, batch, monitors := program.monitors(base=5)), monitors
    found = program.run(batch, monitors=(together := program.monitors(base=5)))
    assert list(found) == list(expected)
    for name, values in found.items():
        assert values.dtype == expected[name].dtype
        assert np.array_equal(values, expected[name]), name
    for name, monitor in together.items():
        assert np.array_equal(monitor.counts, single[name].counts), name
        assert np.array_equal(monitor.first, single[name].first), name


@pytest.mark.parametrize("acc", SUMS)
def test_branches_and_early_outputs(acc: str) -> None:
    program = Program(branches(), arithmetic(acc, bias="end"))
    for count in (3, 1, 7, 3):
        assert_same(program, inputs(program.graph, count))


@pytest.mark.parametrize("acc", SUMS)
@pytest.mark.parametrize("name", ["digits_cnn", "digits_mobilenet"])
def test_bundled_networks(name: str, acc: str) -> None:
    program = Program(network(name).integer, arithmetic(acc, bias="end"))
    assert_same(program, feed(name).integers(0, 9))


@needs_jit
def test_what_stays_inside_shares_no_memory_while_it_is_needed() -> None:
    """Tensor by tensor: from the layer that writes it to the last that reads it, its bytes are nobody else's."""
    graph = branches()
    chains = [stage for stage in stages(graph, Program(graph).units) if isinstance(stage, Chain)]
    assert len(chains) >= 1
    assert sum(len(chain.nodes) for chain in chains) > len(chains)
    for chain in chains:
        places, size = chain.places(set(chain.entering) | set(chain.leaving), 3)
        taken = []
        for name, start in places.items():
            stop = start + 3 * graph.tensors[name].elements
            written = next(i for i, node in enumerate(chain.nodes) if name in node.outputs)
            read = max(i for i, node in enumerate(chain.nodes) if name in node.inputs)
            assert start % 64 == 0
            assert stop <= size
            for other_start, other_stop, other_written, other_read in taken:
                apart = stop <= other_start or other_stop <= start
                assert apart or read < other_written or other_read < written
            taken.append((start, stop, written, read))


def test_results_are_the_callers_own() -> None:
    program = Program(branches(), arithmetic("16:saturate", bias="end"))
    first = program.run(inputs(program.graph, 4))
    kept = {name: values.copy() for name, values in first.items()}
    program.run(inputs(program.graph, 4)[::-1])
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_counters_are_per_run_whether_read_or_not() -> None:
    program = Program(branches(), arithmetic("14:wrap", bias="end"))
    batch = inputs(program.graph, 4)
    program.run(batch)
    once, twice = program.monitors(), program.monitors()
    program.run(batch, monitors=once)
    for _ in range(2):
        program.run(batch, monitors=twice)
    assert sum(monitor.events for monitor in once.values()) > 0
    assert all(np.array_equal(2 * once[name].counts, twice[name].counts) for name in once)


def test_threads_and_programs_that_share_scratch_memory() -> None:
    programs = [Program(branches(), arithmetic(acc, bias="end")) for acc in SUMS]
    batches = [inputs(programs[0].graph, count) for count in (1, 6, 2)]
    expected = [[one_by_one(program, batch, program.monitors()) for batch in batches] for program in programs]

    def work(number: int) -> bool:
        program, batch = number % 3, number // 3 % 3
        found = programs[program].run(batches[batch])
        return all(np.array_equal(found[name], values) for name, values in expected[program][batch].items())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(72)))


def test_strided_batches_and_other_sizes() -> None:
    """A batch need not be contiguous, and a network of windows takes images of another size, one layer after the other."""
    net = FloatNet(6, 6, 3)
    first = net.node("first", Conv2D(Window((3, 3))), "x", net.normal("w1", 5, 3, 3, 3))
    net.node("last", Conv2D(Window((1, 1))), first, net.normal("w2", 4, 1, 1, 5))
    images = np.random.default_rng(2).normal(0, 1, (12, 6, 6, 3)).astype(np.float32)
    program = Program(quantized(net.graph(), [images]))
    batch = inputs(program.graph, 8)
    assert np.array_equal(program.run(batch[::2])["last_out"], program.run(batch)["last_out"][::2])
    larger = np.concatenate([batch, batch], axis=2)
    found = program.run(larger)["last_out"]
    assert found.shape == (8, 4, 10, 4)
    assert np.array_equal(found[:, :, :4], program.run(batch)["last_out"])
