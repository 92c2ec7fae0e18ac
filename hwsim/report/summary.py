"""The run in a few plain sentences, made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.report.measures import (
    OPERANDS,
    REGISTERS,
    Numbered,
    NumberedTimes,
    label,
    largest,
    numbered,
    numbered_times,
    overflow_events,
    register_events,
    share,
)
from hwsim.report.text import grouped, hertz_text, listing, percent, plural, rounded
from hwsim.sim.document import Layer, RunDocument, TimedDocument

_NAMED = 3
"""Layers that a sentence names before it becomes hard to read."""


def summary(document: RunDocument) -> tuple[str, ...]:
    """Return sentences on accuracy, traffic, time, overflow and noise; subjects that the run lacks are left out."""
    parts = (_accuracy(document), *time_summary(document), _overflow(document), _noise(document))
    return tuple(part for part in parts if part)


def time_summary(document: TimedDocument) -> tuple[str, ...]:
    """Return the sentences on traffic and time."""
    parts = (_traffic(document), _on_chip(document), _time(document))
    return tuple(part for part in parts if part)


def worst_sqnr(document: RunDocument) -> Numbered | None:
    """Return the layer with the lowest signal-to-quantization-noise ratio."""
    known = [(layer[1].sqnr_db, layer) for layer in numbered(document) if layer[1].sqnr_db is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _names(layers: Sequence[NumberedTimes]) -> str:
    return listing([f"{label(layer, 40)} (layer {layer[0]})" for layer in layers])


def _accuracy(document: RunDocument) -> str:
    accuracy = document.accuracy
    text = f"The integer network classifies {percent(accuracy.top1, 2)} of {plural(accuracy.n, 'image')} correctly"
    if accuracy.float32 is None:
        return f"{text}; there is no float32 result to compare with."
    gap = round((accuracy.top1 - accuracy.float32.top1) * 100, 2)
    how = "as many as" if gap == 0 else f"{abs(gap):.2f} points {'more' if gap > 0 else 'fewer'} than"
    return f"{text}, {how} the same network in float32 ({accuracy.float32.source})."


def _traffic(document: TimedDocument) -> str:
    total = document.total.dram_bytes
    if total.total == 0:
        return "No byte crosses the DRAM interface."
    name, most = max(((name, part(total)) for name, part in OPERANDS), key=lambda pair: pair[1])
    text = f"The largest part of the DRAM traffic is {name} ({percent(share(most, total.total), 0)})"
    top = largest(numbered_times(document), lambda layer: layer.dram_bytes.total, _NAMED)
    moved = share(sum(layer.dram_bytes.total for _, layer in top), total.total)
    return f"{text}; {_names(top)} {_move(top)} {percent(moved, 0)} of all bytes."


def _move(layers: Sequence[NumberedTimes]) -> str:
    return "moves" if len(layers) == 1 else "together move"


def _on_chip(document: TimedDocument) -> str:
    """Say which tensors stay on chip."""
    written = [layer for layer in numbered_times(document) if layer[1].port_bytes.results]
    spilled = [layer for layer in written if not layer[1].output_on_chip]
    if not written:
        return ""
    text = f"The outputs of {len(written) - len(spilled)} of {plural(len(written), 'layer')} stay on chip"
    inner = [layer for layer in spilled if layer[0] != len(document.layers)]
    largest_ones = largest(inner, lambda layer: layer.dram_bytes.activations_out, _NAMED)
    return f"{text}; the largest that do not are those of {_names(largest_ones)}." if largest_ones else f"{text}."


def _time(document: TimedDocument) -> str:
    total = document.total
    if total.cycles == 0:
        return ""
    top = largest(numbered_times(document), lambda layer: layer.cycles, _NAMED)
    taken = share(sum(layer.cycles for _, layer in top), total.cycles)
    verb = "takes" if len(top) == 1 else "together take"
    waiting = sum(1 for layer in document.layers if layer.stall_cycles)
    stalls = (
        f"{plural(waiting, 'layer')} of {len(document.layers)} wait{'s' if waiting == 1 else ''} for memory, "
        f"which costs {percent(share(total.stall_cycles, total.cycles), 0)} of the cycles"
        if waiting
        else "no layer waits for memory"
    )
    clock, rate = hertz_text(document.accelerator.clock_hz), rounded(total.images_per_second)
    below = ", below the" if total.images_per_second < total.frames_per_second else ", above the"
    return (
        f"{_names(top)} {verb} {percent(taken, 0)} of the cycles; {stalls}. "
        f"At {clock} the machine reaches {rate} images/s{below} {total.frames_per_second:g} frames/s asked for."
    )


def _overflow(document: RunDocument) -> str:
    summing = [layer for layer in numbered(document) if layer[1].reduction is not None]
    if not summing:
        return "No layer sums products, so no accumulator can overflow."
    hit = [layer for layer in summing if overflow_events(layer[1])]
    if not hit:
        proven = sum(1 for _, layer in summing if layer.reduction and layer.reduction.kernel == "exact")
        return (
            f"No accumulator overflowed; {proven} of {plural(len(summing), 'layer')} that sum products "
            f"{'is' if proven == 1 else 'are'} proven safe for every input."
        )
    events = sum(overflow_events(layer) for _, layer in hit)
    sums = sum(layer.reduction.overflow.sums for _, layer in summing if layer.reduction)
    names = [name for name, part in REGISTERS if any(register_events(layer, part) for _, layer in hit)]
    return (
        f"Sums overflowed {plural(events, 'time')} ({percent(share(events, sums), 3)} of all sums) in {len(hit)} of "
        f"{plural(len(summing), 'layer')}, {'register' if len(names) == 1 else 'registers'} {listing(names)}. "
        f"The first layer to overflow is {_names(hit[:1])}{_where(hit[0][1])}."
    )


def _where(layer: Layer) -> str:
    first = layer.reduction.first if layer.reduction else None
    if first is None:
        return ""
    return (
        f": its first event is at image {grouped(first.image)}, output pixel {grouped(first.pixel)}, "
        f"channel {grouped(first.channel)}, register {first.register_name}"
    )


def _noise(document: RunDocument) -> str:
    worst = worst_sqnr(document)
    if worst is None:
        return ""
    return f"The noisiest layer against float32 is {_names([worst])} with an SQNR of {worst[1].sqnr_db:.1f} dB."
