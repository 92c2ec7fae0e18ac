"""Mixed precision: the search finds what trying everything finds, costs are bytes, and mixed bits beat equal ones."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.graph import Graph
from hwsim.ops import Activation, Add, Conv2D, FullyConnected, MaxPool2D, Reshape, Window
from hwsim.quant import Scheme, calibrate, quantize
from hwsim.quant.bit_search import Option, exact, greedy, total
from hwsim.quant.mixed_precision import (
    bandwidth_options,
    output_item,
    schemes_of,
    sensitivities,
    size_options,
    weight_item,
)
from hwsim.quant.repair.guard import score_error
from hwsim.sim import Program
from hwsim.sim.feed import Feed
from hwsim.sim.time.mixed_cycles import REST, cycle_options
from hwsim.sim.time.network import time_network
from hwsim.spec import Accelerator, InputError
from quant.float_nets import FloatNet
from quant.repair_nets import digits_mobilenet, images


def test_a_case_where_greedy_is_wrong_by_hand() -> None:
    """Halving a saves 5 for a loss of 1, dropping b saves 10 for 3: greedy does the first, then needs the second too."""
    items = {"a": [Option(8, 10, 0.0), Option(4, 5, 1.0)], "b": [Option(8, 10, 0.0), Option(2, 0, 3.0)]}
    assert total(exact(items, 10)) == (10, 3.0)
    assert total(greedy(items, 10)) == (5, 4.0)
    assert [option.bits for option in exact(items, 15).values()] == [4, 8]


@pytest.mark.parametrize("seed", range(25))
def test_it_finds_what_trying_everything_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = {
        str(item): [
            Option(bits, int(rng.integers(0, 12)), float(rng.integers(0, 9)) if seed % 2 else float(rng.random()))
            for bits in range(int(rng.integers(1, 5)))
        ]
        for item in range(6)
    }
    choices = [dict(zip(items, options, strict=True)) for options in itertools.product(*items.values())]
    cheapest = min(total(choice)[0] for choice in choices)
    for budget in (cheapest, cheapest + 3, cheapest + 11, 1000):
        best = min(total(choice)[::-1] for choice in choices if total(choice)[0] <= budget)
        found, rough = exact(items, budget), greedy(items, budget)
        assert total(found)[::-1] == pytest.approx(best)
        assert list(found) == list(items)
        assert total(rough)[0] <= budget
        assert total(rough)[1] >= best[0] - 1e-9
    if cheapest:
        with pytest.raises(InputError, match=f"budget must be at least {cheapest}, .*, not {cheapest - 1}"):
            exact(items, cheapest - 1)


def test_what_has_bits_of_its_own_and_what_it_moves_by_hand() -> None:
    """The sum is 4 * 4 * 5 = 80 elements: written, read by the pool, whose 20 are written and, reshaped, written and read on.

    At 4 bits that is 40 + 40 + 4 * 10 = 120 bytes with the reshape's read. The first layer's 80 are read by two nodes: 3 * 40.
    Weights of 5 * 3 = 15 elements are 8 bytes.
    """
    net = FloatNet(4, 4, 3)
    one = Window((1, 1))
    first = net.node("first", Conv2D(one, activation=Activation.RELU), "x", net.normal("w1", 5, 1, 1, 3))
    second = net.node("second", Conv2D(one), first, net.normal("w2", 5, 1, 1, 5))
    joined = net.node("add", Add(Activation.RELU), first, second)
    pooled = net.node("pool", MaxPool2D(Window((2, 2), (2, 2))), joined)
    flat = net.node("flatten", Reshape((1, -1)), pooled)
    net.node("fc", FullyConnected(), flat, net.normal("w3", 2, 20))
    graph = net.graph()
    batch = images(graph)
    measured = sensitivities(graph, calibrate(graph, [batch], Scheme().ranges), [batch], Scheme(), bits=(4, 8))
    assert list(measured) == [
        weight_item("first"), output_item("first"), weight_item("second"), output_item("second"), output_item("add"),
        weight_item("fc"),
    ]  # fmt: skip
    costs = {item: options[0].cost for item, options in bandwidth_options(graph, measured).items()}
    assert costs == {
        weight_item("first"): 8, weight_item("second"): 13, weight_item("fc"): 20,
        output_item("first"): 120, output_item("second"): 80, output_item("add"): 120,
    }  # fmt: skip
    assert {item: options[1].cost for item, options in size_options(graph, measured).items()} == {
        weight_item("first"): 15, weight_item("second"): 25, weight_item("fc"): 40,
    }  # fmt: skip
    for widths in measured.values():
        assert widths[4].error > widths[8].error
        assert widths[4].sqnr_db < widths[8].sqnr_db
        assert 0.5 < widths[4].agree <= 1


def test_a_rounded_weight_changes_the_scores_by_hand() -> None:
    """Weights (7, 2.4) of 4 bits are 7 and 2; with x = (0, 1) and (0, 2) the score misses 0.4 and 0.8 of 2.4 and 4.8."""
    net = FloatNet(2)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[7, 2.4]]))
    graph, batch = net.graph(), np.array([[0, 1], [0, 2]], np.float32)
    (found,) = sensitivities(graph, {}, [batch], Scheme(), bits=(4,)).values()
    assert found[4].error == pytest.approx((0.16 + 0.64) / 2, rel=1e-5)
    assert found[4].sqnr_db == pytest.approx(20 * np.log10(6), rel=1e-5)


def test_the_digits_network_of_mixed_bits_is_nearer_than_that_of_4_at_the_same_size() -> None:
    graph, data, scheme = digits_mobilenet(), open_dataset("digits"), Scheme(weight_bits=4, per_channel=False)
    samples = [Feed(graph, data.calibration_split()).real(0, 32)]
    ranges = calibrate(graph, samples, scheme.ranges)
    measured = sensitivities(graph, ranges, samples, scheme, bits=(3, 4, 5))
    options = size_options(graph, measured)
    size = sum(-(-graph.tensors[node.inputs[1]].elements // 2) for node in graph.nodes if node.op.weighted)
    choice = exact(options, size)
    assert total(choice)[0] <= size
    assert total(choice)[1] <= total(greedy(options, size))[1]
    mixed = quantize(graph, ranges, scheme, schemes_of(graph, scheme, choice))
    assert len({option.bits for option in choice.values()}) > 1
    for node in mixed.nodes:
        quantization = mixed.tensors[node.inputs[1]].quantization if node.op.weighted else None
        if quantization is not None:
            assert quantization.format.bits == choice[weight_item(node.name)].bits
    assert score_error(graph, mixed, samples) < 0.9 * score_error(graph, quantize(graph, ranges, scheme), samples)
    # Outputs of 4 and 8 bits side by side, through additions too.
    halved = bandwidth_options(graph, measured)
    cost = sum(option.cost for options in halved.values() for option in options if option.bits == 4)
    chosen = exact(halved, cost)
    widths = {option.bits for item, option in chosen.items() if item.endswith("output")}
    assert len(widths) > 1
    both = quantize(graph, ranges, scheme, schemes_of(graph, replace(scheme, weight_bits=8), chosen))
    feed = Feed(both, data)
    scores = Program(both).run(feed.integers(0, 100))[both.outputs[0]].reshape(100, -1)
    assert (scores.argmax(axis=1) == feed.labels(both, 0, 100)).mean() > 0.8


def test_a_budget_of_cycles_is_kept_on_the_machine() -> None:
    """A machine that waits for its weights: 2 bytes per cycle. What is left of the budget buys bits where they help most."""
    net = FloatNet(6, 6, 4)
    one = Window((1, 1))
    x = net.node("first", Conv2D(one, activation=Activation.RELU), "x", net.normal("w1", 48, 1, 1, 4))
    x = net.node("second", Conv2D(one, activation=Activation.RELU), x, net.normal("w2", 64, 1, 1, 48))
    x = net.node("third", Conv2D(one, activation=Activation.RELU), x, net.normal("w3", 8, 1, 1, 64))
    net.node("fc", FullyConnected(), net.node("flat", Reshape((1, -1)), x), net.normal("w4", 10, 288))
    graph, scheme = net.graph(), Scheme()
    batch, machine = images(graph, 20), replace(Accelerator(), dram_bytes_per_cycle=2)
    ranges = calibrate(graph, [batch], scheme.ranges)
    measured = sensitivities(graph, ranges, [batch], scheme, bits=(2, 4, 8))
    options = cycle_options(graph, ranges, scheme, measured, machine)

    def cycles(network: Graph) -> int:
        return sum(layer.time.cycles for layer in time_network(network, machine))

    least, most = (sum(pick(part.cost for part in options[item]) for item in options) for pick in (min, max))
    assert most == cycles(quantize(graph, ranges, scheme))
    assert least == cycles(quantize(graph, ranges, replace(scheme, weight_bits=2))) < 0.9 * most
    budget = (least + most) // 2
    choice = exact(options, budget)
    mixed = quantize(graph, ranges, scheme, schemes_of(graph, scheme, choice))
    assert cycles(mixed) == total(choice)[0] <= budget
    assert len({option.bits for item, option in choice.items() if item != REST}) > 1


def test_the_example_of_the_manual_runs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "repairs.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), names)
    assert total(names["choice"])[0] <= 8000
    bits = {
        quantization.format.bits
        for quantization in (t.quantization for t in names["mixed"].tensors.values())
        if quantization
    }
    assert bits == {4, 8}
