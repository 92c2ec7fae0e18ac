"""From samples to a network's input: pixel conventions, scaling, labels, and what does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.graph import Array, Graph, InputScaling, Quantization
from hwsim.ops import FullyConnected
from hwsim.sim.feed import Feed, label_offset, spans
from hwsim.spec import Format, InputError
from quant.float_nets import FloatNet
from sim.digits_runs import array_set

PIXELS = np.array([[[[0, 1]]], [[[127, 128]]], [[[254, 255]]]], np.uint8)


def net(quantization: Quantization | None = None, outputs: int = 10, scaling: InputScaling | None = None) -> Graph:
    """A network of 1 x 1 images of two channels."""
    build = FloatNet(1, 1, 2)
    build.node("fc", FullyConnected(), "x", build.normal("w", outputs, 2))
    graph = build.graph()
    return replace(
        graph, scaling=scaling, tensors={**graph.tensors, "x": replace(graph.input, quantization=quantization)}
    )


def stored(bits: int = 8, signed: bool = True, scale: float = 0.5, zero_point: int = 0) -> Quantization:
    return Quantization(Format(bits, signed), np.array(scale), np.array(zero_point))


def pixels(values: Array = PIXELS) -> Array:
    return array_set(values, [0, 1, 2], kind="pixels")


@pytest.mark.parametrize(("signed", "offset", "dtype"), [(False, 0, np.uint8), (True, -128, np.int8)])
def test_eight_bit_inputs_take_raw_pixels_as_their_makers_feed_them(signed: bool, offset: int, dtype: type) -> None:
    """uint8: the pixel. int8: pixel - 128. The scale and zero point of the input do not matter."""
    feed = Feed(net(stored(signed=signed, scale=0.017, zero_point=3)), pixels())
    found = feed.integers(0, 3)
    assert found.dtype == dtype
    assert np.array_equal(found.astype(int), PIXELS.astype(int) + offset)


def test_a_stated_scaling_replaces_the_pixel_convention() -> None:
    """(pixel - 127) / 2 in steps of 0.5 is pixel - 127, which leaves int8 at both ends: 255 is 128, clamped to 127."""
    feed = Feed(net(stored(), scaling=InputScaling((127.0,), (2.0,))), pixels())
    assert feed.integers(0, 3).ravel().tolist() == [-127, -126, 0, 1, 127, 127]
    assert feed.real(0, 1).ravel().tolist() == [-63.5, -63.0]


def test_scaling_is_per_channel_where_it_has_one_number_each() -> None:
    feed = Feed(net(scaling=InputScaling((0.0, 100.0), (1.0, 10.0))), pixels())
    assert feed.real(1, 2).ravel().tolist() == [127.0, pytest.approx(2.8)]
    assert feed.real(0, 3).dtype == np.float32


@pytest.mark.parametrize("quantization", [None, stored(16), stored(7)], ids=["float", "16 bits", "7 bits"])
def test_other_inputs_need_a_scaling_and_say_so_in_one_line(quantization: Quantization | None) -> None:
    with pytest.raises(InputError) as error:
        Feed(net(quantization), pixels())
    assert "give --input-mean and --input-std" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.0, 1.0, 2.0), (1.0,), "input mean must be 1 or 2 numbers, not [0.0, 1.0, 2.0]"),
        ((0.0,), (), "input std must be 1 or 2 numbers, not []"),
        ((0.0,), (0.0,), "input std must be positive, not [0.0]"),
        ((0.0,), (1.0, -1.0), "input std must be positive, not [1.0, -1.0]"),
        ((np.nan,), (1.0,), "input mean must be finite, not [nan]"),
        ((0.0,), (np.inf,), "input std must be finite, not [inf]"),
    ],
)
def test_impossible_scalings_are_refused(mean: tuple[float, ...], std: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        Feed(net(scaling=InputScaling(mean, std)), pixels())
    assert str(error.value) == message


def test_tensors_are_taken_as_they_are() -> None:
    """int8 tensors for an int8 input: unchanged; floats are quantized: 0.75 in steps of 0.5 is 1.5, half to even 2."""
    integers = PIXELS.astype(np.int8)
    feed = Feed(net(stored(scale=0.5)), array_set(integers, [0, 1, 2]))
    assert np.array_equal(feed.integers(0, 3), integers)
    assert feed.real(2, 3).ravel().tolist() == [-1.0, -0.5]
    floats = np.full((1, 1, 1, 2), 0.75)
    assert Feed(net(stored(scale=0.5)), array_set(floats, [0])).integers(0, 1).ravel().tolist() == [2, 2]
    assert Feed(net(), array_set(floats, [0])).integers(0, 1).dtype == np.float32


@pytest.mark.parametrize(
    ("quantization", "dtype", "message"),
    [
        (stored(), np.uint8, "data set arrays: dtype of inputs must be int8, as the model's input, not uint8"),
        (stored(16), np.int8, "data set arrays: dtype of inputs must be int16, as the model's input, not int8"),
        (None, np.uint8, "data set arrays: dtype must be float for a model of float input, not uint8"),
    ],
)
def test_tensors_of_another_dtype_are_refused(quantization: Quantization | None, dtype: type, message: str) -> None:
    feed = Feed(net(quantization), array_set(PIXELS.astype(dtype), [0, 1, 2]))
    with pytest.raises(InputError) as error:
        feed.integers(0, 1)
    assert str(error.value) == message


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError) as error:
        Feed(net(stored()), array_set(np.zeros((1, 1, 2, 1), np.int8), [0]))
    assert (
        str(error.value) == "data set arrays: sample shape must be that of the input of net, (1, 1, 2), not (1, 2, 1)"
    )


def test_labels_beyond_the_outputs_are_refused() -> None:
    with pytest.raises(InputError) as error:
        Feed(net(stored(), outputs=2), array_set(PIXELS.astype(np.int8), [0, 1, 2]))
    assert str(error.value) == "data set arrays: labels must be below the 2 outputs of net, not 2"


@pytest.mark.parametrize(("outputs", "classes", "offset"), [(1001, 1000, 1), (1001, 999, 0), (1000, 1000, 0)])
def test_labels_move_by_one_where_only_the_network_has_a_background_class(
    outputs: int, classes: int, offset: int
) -> None:
    graph = net(stored(), outputs)
    dataset = array_set(PIXELS.astype(np.int8), [0, 5, 998], classes=classes)
    assert label_offset(graph, dataset) == offset
    assert Feed(graph, dataset).labels(graph, 1, 3).tolist() == [5 + offset, 998 + offset]


def test_an_unnamed_set_is_never_shifted() -> None:
    assert label_offset(net(stored(), 1001), array_set(PIXELS.astype(np.int8), [0, 1, 2])) == 0


def test_spans_cover_every_sample_once() -> None:
    assert list(spans(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(spans(3, 3)) == [(0, 3)]
