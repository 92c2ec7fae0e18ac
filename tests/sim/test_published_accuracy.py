"""Public networks on public data, to the image.

The counts of wide accumulators are those of LiteRT's reference kernels,
which the networks equal bit for bit (``tests/litert``); those of narrow ones are confirmed here by other means.

Narrow accumulators: 16 bits wrap and saturate were counted by hwsim itself, over all of CIFAR-10's test set. Two independent
statements back them, on a few images: NumPy arithmetic that walks all dot products term by term (every event of every
layer), and the oracle on sampled channels (outputs and events).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.graph import Array, Graph, Node
from hwsim.load import load_model
from hwsim.ops import Conv2D
from hwsim.sim import Program
from hwsim.sim.execute import Execution, execute
from hwsim.sim.feed import Feed
from hwsim.spec import Arithmetic, BiasAt, Overflow, Register
from sim.digits_runs import arithmetic
from sim.layer_oracle import layer_of, one_channel, products

THREADS = len(os.sched_getaffinity(0))
RESNET = "mlperf_tiny/resnet8_int8.tflite"
WRAPS = {"acc": "16:wrap"}
SATURATES = {"acc": "16:saturate", "bias": "end"}


@functools.cache
def loaded(path: Path) -> Graph:
    return load_model(path).graph


def ran(root: Path, model: str, data: str, machine: Arithmetic | None = None, count: int | None = None) -> Execution:
    graph = loaded(root / model)
    dataset = open_dataset(data, image_size=graph.input.shape[1:3])  # type: ignore[arg-type]
    return execute(Program(graph, machine), Feed(graph, dataset), count or len(dataset), threads=THREADS)


def events(execution: Execution) -> int:
    return sum(monitor.events for monitor in execution.monitors.values())


@pytest.fixture(scope="module")
def resnet8(data_root: Path) -> Execution:
    return ran(data_root, RESNET, "cifar10")


def test_resnet8_has_its_accuracy_on_all_of_cifar10(resnet8: Execution) -> None:
    """8707 of 10,000; MLPerf Tiny states 87 %."""
    assert (resnet8.correct, resnet8.n, events(resnet8)) == (8707, 10_000, 0)


def test_ds_cnn_has_its_accuracy_on_its_thousand_keywords(data_root: Path) -> None:
    found = ran(data_root, "mlperf_tiny/kws_dscnn_int8.tflite", str(data_root / "mlperf_tiny" / "kws01.npz"))
    assert (found.correct, found.n) == (901, 1000)


def test_mobilenet_v1_has_its_accuracy_on_the_imagenet_sample(data_root: Path) -> None:
    found = ran(data_root, "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite", "imagenet_sample")
    assert (found.correct, found.n) == (442, 1000)


def test_mobilenet_v2_has_its_accuracy_on_the_imagenet_sample(data_root: Path) -> None:
    found = ran(data_root, "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite", "imagenet_sample")
    assert (found.correct, found.n) == (886, 1000)


def test_24_saturating_bits_are_proven_to_be_enough_for_resnet8(data_root: Path, resnet8: Execution) -> None:
    machine = arithmetic("24:saturate")
    units = Program(loaded(data_root / RESNET), machine).units.values()
    kernels = [unit.plan.kernel for unit in units if unit.channels is not None]  # type: ignore[attr-defined]
    assert kernels == ["exact"] * 10
    found = ran(data_root, RESNET, "cifar10", machine)
    assert np.array_equal(found.predictions, resnet8.predictions)


def test_20_saturating_bits_see_no_event_on_all_of_cifar10(data_root: Path, resnet8: Execution) -> None:
    """Not proven for every layer, so that every sum is formed in its order."""
    found = ran(data_root, RESNET, "cifar10", arithmetic("20:saturate"))
    assert events(found) == 0
    assert np.array_equal(found.predictions, resnet8.predictions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "correct", "counted"),
    [(WRAPS, 1784, 343_003_223), (SATURATES, 4178, 762_401_571)],
    ids=["wrap", "saturate"],
)
def test_16_bits_on_all_of_cifar10(options: dict[str, str], correct: int, counted: int, data_root: Path) -> None:
    """With two roundings in the last layer, where LiteRT's kernel has one, 1783 and 4175 would be right."""
    found = ran(data_root, RESNET, "cifar10", arithmetic(**options))
    assert (found.correct, events(found)) == (correct, counted)


@pytest.mark.parametrize(
    ("options", "correct", "counted"), [(WRAPS, 96, 17_296_666), (SATURATES, 204, 38_320_243)], ids=["wrap", "saturate"]
)
def test_16_bits_on_500_images(options: dict[str, str], correct: int, counted: int, data_root: Path) -> None:
    found = ran(data_root, RESNET, "cifar10", arithmetic(**options), 500)
    assert (found.correct, events(found)) == (correct, counted)


def columns(graph: Graph, node: Node, images: Array) -> tuple[Array, Array]:
    """Return centred activations [K, pixels] in the declared order, and weights [K, O]; padding is the real value 0."""
    source, weights = graph.inputs_of(node)[:2]
    assert source.quantization is not None and weights.data is not None and weights.quantization is not None
    assert weights.quantization.symmetric
    centred = images.astype(np.int64) - int(source.quantization.zero_point)
    outputs = weights.data.shape[0]
    matrix = weights.data.reshape(outputs, -1).T.astype(np.int64)
    if not isinstance(node.op, Conv2D):
        return centred.reshape(len(images), -1).T, matrix
    window = node.op.window
    assert window.dilation == (1, 1) and node.op.groups == 1
    pad, (step_y, step_x) = window.padding, window.stride
    framed = np.pad(centred, ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0)))
    height, width = window.output(*images.shape[1:3])
    rows = []
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            taken = framed[:, ky : ky + step_y * height : step_y, kx : kx + step_x * width : step_x]
            rows += list(taken.transpose(3, 0, 1, 2).reshape(taken.shape[3], -1))
    return np.stack(rows), matrix


def walk(rows: Array, matrix: Array, bias: Array, register: Register, bias_at: BiasAt) -> Array:
    """Return events [2, O] (above, below) of forming all sums one product at a time."""
    lo, hi = -(2 ** (register.bits - 1)), 2 ** (register.bits - 1) - 1
    span = hi - lo + 1
    start = bias if bias_at is BiasAt.START else np.zeros_like(bias)
    acc = np.repeat(((start - lo) % span + lo)[None], rows.shape[1], axis=0)
    counts = np.zeros((2, len(bias)), np.int64)
    for activations, weights in zip(rows, matrix, strict=True):
        acc += activations[:, None] * weights
        counts += np.count_nonzero(acc > hi, axis=0), np.count_nonzero(acc < lo, axis=0)
        acc = np.clip(acc, lo, hi) if register.overflow is Overflow.SATURATE else (acc - lo) % span + lo
    return counts


@pytest.mark.parametrize("options", [WRAPS, SATURATES, {"acc": "13:wrap"}], ids=["wrap", "saturate", "13 bits"])
def test_every_event_of_resnet8_is_found_by_walking_its_sums(options: dict[str, str], data_root: Path) -> None:
    graph, machine = loaded(data_root / RESNET), arithmetic(**options)
    dataset = open_dataset("cifar10")
    feed = Feed(graph, dataset)
    images = np.concatenate([feed.integers(start, start + 1) for start in (0, 4321, 9999)])
    program = Program(graph, machine)
    monitors = program.monitors()
    kept = program.run(images, monitors=monitors, keep=True)
    assert sum(monitor.events for monitor in monitors.values()) > 100
    reduction = machine.reduction
    for node in graph.nodes:
        if node.op.weighted:
            bias = graph.inputs_of(node)[2].data
            assert bias is not None
            rows, matrix = columns(graph, node, kept[node.inputs[0]])
            found = walk(rows, matrix, bias.astype(np.int64), reduction.acc, reduction.bias_at)
            assert np.array_equal(monitors[node.name].counts[2], found), node.name


@pytest.mark.parametrize("options", [WRAPS, SATURATES], ids=["wrap", "saturate"])
def test_sampled_channels_of_resnet8_equal_the_oracle(options: dict[str, str], data_root: Path) -> None:
    """All pixels of two channels of every layer: outputs and events."""
    graph, machine = loaded(data_root / RESNET), arithmetic(**options)
    images = Feed(graph, open_dataset("cifar10")).integers(77, 78)
    program = Program(graph, machine)
    monitors = program.monitors()
    kept = program.run(images, monitors=monitors, keep=True)
    rng = np.random.default_rng(8)
    for node in graph.nodes:
        if node.op.weighted:
            layer = layer_of(graph, node, machine, kept[node.inputs[0]])
            channels = layer.output.shape[-1]
            for channel in rng.choice(channels, 2, replace=False).tolist():
                expected, sums = products(one_channel(layer, channel))
                found = kept[node.outputs[0]].reshape(1, -1, channels)[..., channel]
                assert np.array_equal(found, expected[..., 0]), (node.name, channel)
                counts = [sums.counts["acc", "positive"][0], sums.counts["acc", "negative"][0]]
                assert monitors[node.name].counts[2, :, channel].tolist() == counts, (node.name, channel)


def test_sampled_channels_of_a_depthwise_network_equal_the_oracle(data_root: Path) -> None:
    """DS-CNN, whose depthwise layers run on the golden kernels where they can overflow."""
    graph, machine = loaded(data_root / "mlperf_tiny" / "kws_dscnn_int8.tflite"), arithmetic(**SATURATES)
    images = Feed(graph, open_dataset(str(data_root / "mlperf_tiny" / "kws01.npz"))).integers(5, 6)
    program = Program(graph, machine)
    kept = program.run(images, keep=True)
    for node in graph.nodes:
        if node.op.weighted:
            layer = layer_of(graph, node, machine, kept[node.inputs[0]])
            channels = layer.output.shape[-1]
            expected, _ = products(one_channel(layer, channels // 3))
            found = kept[node.outputs[0]].reshape(1, -1, channels)[..., channels // 3]
            assert np.array_equal(found, expected[..., 0]), node.name
