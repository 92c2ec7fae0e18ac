"""Programs: the same bits from every thread, what they keep, and whom they blame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from hwsim.sim import Program
from hwsim.spec import InputError, Profile
from sim.digits_runs import arithmetic, feed, layer_names, network


@pytest.mark.parametrize("acc", ["32:wrap", "16:saturate", "13:wrap"])
def test_threads_that_share_a_program_get_what_one_thread_gets(acc: str) -> None:
    program = Program(network().integer, arithmetic(acc))
    images = feed().integers(0, 96)

    def work(start: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        monitors = program.monitors(base=start)
        scores = program.run(images[start : start + 12], monitors=monitors)["logits"]
        return scores, {name: monitor.counts for name, monitor in monitors.items()}

    alone = [work(start) for start in range(0, 96, 12)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = list(pool.map(work, range(0, 96, 12)))
            for (scores, counts), (expected, counted) in zip(together, alone, strict=True):
                assert np.array_equal(scores, expected)
                assert all(np.array_equal(counts[name], counted[name]) for name in counted)


def test_a_batch_is_its_images_one_by_one() -> None:
    program = Program(network().integer, arithmetic("16:saturate"))
    images = feed().integers(0, 10)
    whole, monitors = {}, program.monitors()
    whole = program.run(images, monitors=monitors, keep=True)
    single = program.monitors()
    for i in range(10):
        for name, values in program.run(images[i : i + 1], monitors=single, keep=True).items():
            assert np.array_equal(values[0], whole[name][i]), name
    assert all(np.array_equal(monitors[name].counts, single[name].counts) for name in monitors)


def test_keep_returns_every_activation_and_otherwise_only_the_outputs() -> None:
    graph = network().integer
    program = Program(graph)
    images = feed().integers(0, 2)
    kept = program.run(images, keep=True)
    assert set(kept) == {name for name, tensor in graph.tensors.items() if not tensor.constant}
    for name, values in kept.items():
        quantization = graph.tensors[name].quantization
        assert quantization is not None
        assert values.dtype == quantization.format.storage
        assert values.shape == (2, *graph.tensors[name].shape[1:])
    assert list(program.run(images)) == list(graph.outputs)


def test_monitors_are_fresh_and_of_the_layers_with_products() -> None:
    graph = network().integer
    program = Program(graph, arithmetic("13:wrap"))
    one, two = program.monitors(), program.monitors()
    assert list(one) == layer_names(graph)
    program.run(feed().integers(0, 1), monitors=one)
    assert sum(monitor.events for monitor in one.values()) > 0
    assert sum(monitor.events for monitor in two.values()) == 0
    assert program.run(feed().integers(0, 1)).keys() == {"logits"}


def test_a_layer_that_cannot_be_computed_is_named() -> None:
    graph = network().integer
    with pytest.raises(
        InputError, match=r"^digits_cnn: node conv1_conv \(conv2d\): acc must hold the bias, which is -?\d+"
    ):
        Program(graph, arithmetic("8:saturate"))
    with pytest.raises(InputError, match=r"^digits_cnn: node conv1_conv \(conv2d\): .*power of two"):
        Program(graph, arithmetic(profile=Profile.POWER_OF_TWO))
    name = graph.nodes[1].outputs[0]
    broken = replace(graph, tensors={**graph.tensors, name: replace(graph.tensors[name], quantization=None)})
    with pytest.raises(InputError, match=r"^digits_cnn: node conv2_conv \(conv2d\): tensor '.*' must be quantized"):
        Program(broken)
