"""The numbers that a reader sees first."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.report.measures import overflow_events, share
from hwsim.report.text import (
    bytes_text,
    hertz_text,
    minus,
    percent,
    plural,
    points,
    rate_text,
    rounded,
    seconds_text,
    si,
)
from hwsim.report.wilson import wilson
from hwsim.sim.document import RunDocument, TimedDocument


@dataclass(frozen=True, slots=True)
class Headline:
    """One number with its name and what it takes to read it; `alarm` marks one that calls for attention."""

    label: str
    value: str
    detail: str
    alarm: bool = False


def interval_text(correct: int, n: int) -> str:
    """Return the 95 % Wilson interval of an accuracy."""
    low, high = wilson(correct, n)
    return f"95 % interval {low * 100:.1f} to {high * 100:.1f} %"


def headlines(document: RunDocument) -> tuple[Headline, ...]:
    """Return the headline numbers, in the order in which they are shown."""
    return (*_accuracy(document), *time_headlines(document), _overflow(document))


def time_headlines(document: TimedDocument) -> tuple[Headline, ...]:
    """Return those of traffic and time."""
    return (*_traffic(document), *_time(document))


def _accuracy(document: RunDocument) -> tuple[Headline, Headline]:
    accuracy = document.accuracy
    value, interval = percent(accuracy.top1, 2), interval_text(accuracy.correct, accuracy.n)
    reference = accuracy.float32
    if reference is None:
        missing = Headline("Top-1, float32", "not measured", "the run had no float network to compare with")
        return Headline("Top-1, integer", value, interval), missing
    gap = minus(points(accuracy.top1 - reference.top1))
    return (
        Headline("Top-1, integer", value, f"{gap} against float32; {interval}"),
        Headline("Top-1, float32", percent(reference.top1, 2), interval_text(reference.correct, reference.n)),
    )


def _traffic(document: TimedDocument) -> tuple[Headline, ...]:
    total, machine = document.total, document.accelerator
    offered = machine.dram_bytes_per_cycle * machine.clock_hz
    return (
        Headline("MACs per image", si(total.macs), f"{si(document.model.parameters)} parameters"),
        Headline(
            "DRAM bytes per image",
            bytes_text(total.dram_bytes.total),
            f"{percent(share(total.dram_bytes.weights, total.dram_bytes.total), 0)} weights; "
            f"{share(total.dram_bytes.total, total.bound_bytes):.2f} times the lower bound; "
            f"{total.operations_per_byte:.1f} operations per byte",
        ),
        Headline(
            f"Bandwidth at {total.frames_per_second:g} frames/s",
            rate_text(total.bandwidth_bytes_per_second),
            f"mean over a frame; the interface offers {rate_text(offered)}",
            alarm=total.bandwidth_bytes_per_second > offered,
        ),
    )


def _time(document: TimedDocument) -> tuple[Headline, ...]:
    total = document.total
    slow = 0 < total.images_per_second < total.frames_per_second
    return (
        Headline(
            "Cycles per image",
            si(total.cycles),
            f"{percent(total.utilization)} utilization, {percent(share(total.stall_cycles, total.cycles))} stalls",
        ),
        Headline(
            f"Images/s at {hertz_text(document.accelerator.clock_hz)}",
            rounded(total.images_per_second),
            f"{seconds_text(total.seconds_per_image)} per image"
            + (f"; too slow for {total.frames_per_second:g} frames/s" if slow else ""),
            alarm=slow,
        ),
    )


def _overflow(document: RunDocument) -> Headline:
    summing = [layer for layer in document.layers if layer.reduction is not None]
    hit = sum(1 for layer in summing if overflow_events(layer))
    events = document.total.overflow_events
    detail = f"in {hit} of {plural(len(summing), 'layer')} that sum products, {plural(document.data.n, 'image')}"
    return Headline("Overflow events", si(events), detail, alarm=events > 0)
