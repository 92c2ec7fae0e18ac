"""The sentences and headline numbers say what the document says."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.report.headline import headlines
from hwsim.report.summary import summary
from hwsim.sim.document import Accuracy, Layer, RunDocument


def test_the_first_overflow_is_named(make_document: Callable[..., RunDocument]) -> None:
    text = " ".join(summary(make_document(12)))
    # Layers 4 and 10 of the factory overflow.
    assert "in 2 of 12 layers" in text
    assert "The first layer to overflow is features/block_4/conv2d (layer 4)" in text
    assert "image 2, output pixel 113, channel 5, register acc" in text


def test_no_overflow_is_said(make_document: Callable[..., RunDocument]) -> None:
    assert "No accumulator overflowed" in " ".join(summary(make_document(3)))


def test_the_noisiest_layer_is_named(
    make_document: Callable[..., RunDocument], make_layer: Callable[..., Layer]
) -> None:
    text = " ".join(summary(make_document((make_layer(1), make_layer(2, name="worst", sqnr_db=-1.5), make_layer(3)))))
    assert "worst (layer 2) with an SQNR of -1.5 dB" in text


def test_a_network_without_products_has_no_false_claims(
    make_document: Callable[..., RunDocument], make_bare_layer: Callable[..., Layer]
) -> None:
    text = " ".join(summary(make_document((make_bare_layer(),))))
    assert "No byte crosses the DRAM interface" in text
    assert "No layer sums products" in text
    assert "SQNR" not in text


def test_headlines_show_the_gap_and_the_interval(make_document: Callable[..., RunDocument]) -> None:
    integer, reference = headlines(make_document(3))[:2]
    assert integer.value == "87.12 %"
    assert integer.detail == "\N{MINUS SIGN}0.78 points against float32; 95 % interval 84.9 to 89.0 %"
    assert reference.value == "87.90 %"


def test_headlines_without_a_float_network(make_document: Callable[..., RunDocument]) -> None:
    accuracy = Accuracy(top1=0.5, correct=5, n=10, float32=None)
    assert headlines(make_document(3, accuracy=accuracy))[1].value == "not measured"


def test_overflow_and_a_missed_frame_rate_call_for_attention(make_document: Callable[..., RunDocument]) -> None:
    assert [headline.label for headline in headlines(make_document(3)) if headline.alarm] == []
    document = make_document(5)
    slow = document.total.model_copy(update={"images_per_second": 12.0})
    alarms = [headline.label for headline in headlines(make_document(5, total=slow)) if headline.alarm]
    assert alarms == ["Images/s at 200 MHz", "Overflow events"]
