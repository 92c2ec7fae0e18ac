"""What ``hwsim rtl run`` prints: layers, what they waited for and moved, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.terminal import console
from hwsim.dataflow import Counters
from hwsim.report.text import grouped, shorten, si
from hwsim.spec import MEMORY_PORTS, Core, StreamMemory

if TYPE_CHECKING:
    from hwsim.hardware.network import NetworkRun, NodeRun


def cores_of(found: NetworkRun) -> list[Core]:
    """Return each core that a layer ran on once, in the order of the layers."""
    return list(dict.fromkeys(node.core for node in found.layers if node.core is not None))


def print_run(model: str, cores: tuple[Core, ...], found: NetworkRun, memory: StreamMemory | None) -> None:
    """Print a run of a network on the cores that its layers need, behind a memory or none."""
    core = cores[0]
    title = f"{model} on {core.name}: {core.rows} x {core.cols} {core.dataflow.value}, {core.arithmetic.reduction}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("layer", no_wrap=True)
    for header in ("on", "MACs", "cycles", "predicted", "use %", "events", "tensor"):
        table.add_column(header, justify="right", no_wrap=True)
    for node in found.nodes:
        table.add_row(shorten(node.name, 12), *_columns(node, cores))
    console.print(table)
    if memory is not None:
        for table in _memory_tables(found, memory):
            console.print(table)
    for name, text in _lines(cores, found, memory):
        console.print(f"{name:13} {text}", highlight=False)


def _columns(node: NodeRun, cores: tuple[Core, ...]) -> tuple[str, ...]:
    tensor = "equal" if node.differing == 0 else "differs"
    if node.core is None:
        return ("kernels", *[""] * 5, tensor)
    events, expected = sum(node.events.values()), sum(node.kernel_events.values())
    counted = si(events) if node.events == node.kernel_events else f"{events}, not {expected}"
    return (
        _label(node.core, cores), si(node.macs), grouped(node.cycles), grouped(node.predicted_cycles),
        f"{100 * node.utilization:.1f}", counted if node.core.count_events else "", tensor,
    )  # fmt: skip


def _of_layers(title: str, counters: Sequence[str], found: NetworkRun, share: bool) -> Table:
    """Return some of the core's counters by layer; where they are not those predicted, both.

    Parameters
    ----------
    title
        Above the table.
    counters
        Fields of `hwsim.dataflow.Counters`; the last word heads the column.
    found
        The run.
    share
        Whether to say what part of the busy cycles they are.
    """
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("layer", no_wrap=True)
    headers = [name.rpartition("_")[2] for name in counters]
    for header in (*headers, *["of cycles %"] * share, "predicted"):
        table.add_column(header, justify="right", no_wrap=True)
    for node in found.layers:
        counted, expected = ([getattr(part, name) for name in counters] for part in (node.timed, node.predicted))
        part = [f"{100 * sum(counted) / node.cycles:.1f}"] * share
        equal = "equal" if counted == expected else " ".join(map(grouped, expected))
        table.add_row(shorten(node.name, 12), *map(grouped, counted), *part, equal)
    return table


def _memory_tables(found: NetworkRun, memory: StreamMemory) -> Iterator[Table]:
    """Yield what layers waited for, what they moved, and all of it together, measured beside predicted."""
    title = f"waiting for a memory of {memory.bytes_per_cycle} bytes/cycle, {memory.latency_cycles} cycles of latency"
    yield _of_layers(title, [f"wait_{name}" for name in MEMORY_PORTS], found, share=True)
    yield _of_layers("beats by port", [f"beats_{name}" for name in MEMORY_PORTS], found, share=False)
    table = Table(title="all layers", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("counter", no_wrap=True)
    for header in ("measured", "predicted", ""):
        table.add_column(header, justify="right", no_wrap=True)
    timed, predicted = (
        asdict(sum((getattr(node, which) for node in found.layers), Counters())) for which in ("timed", "predicted")
    )
    for name, count in timed.items():
        equal = "equal" if count == predicted[name] else "differs"
        table.add_row(name.replace("_", " "), grouped(count), grouped(predicted[name]), equal)
    yield table


def _memory_text(memory: StreamMemory) -> str:
    return (
        f"{memory.bytes_per_cycle} bytes/cycle for all ports, latency {memory.latency_cycles} cycles, "
        f"FIFOs of {memory.places[0]} beats"
    )


def _label(core: Core, cores: tuple[Core, ...]) -> str:
    return "RTL" if len(cores) == 1 else f"RTL {cores.index(core)}"


def _lines(cores: tuple[Core, ...], found: NetworkRun, memory: StreamMemory | None) -> list[tuple[str, str]]:
    layers = found.layers
    macs, cycles = sum(node.macs for node in layers), sum(node.cycles for node in layers)
    simulated, seconds = sum(node.simulated_cycles for node in layers), sum(node.seconds for node in layers)
    kinds = [node.kind for node in found.nodes if node.core is None]
    others = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    formats = [f"{_label(core, cores)}: {core.activation} x int{core.weight_bits} to {core.output}" for core in cores]
    predicted = sum(node.predicted_cycles for node in layers)
    differing = [node for node in found.nodes if node.difference is not None]
    elements = sum(node.elements for node in found.nodes)
    lines = [
        ("cores", "; ".join(formats)),
        ("on the RTL", f"{len(layers)} layers: all {grouped(macs)} MACs, and requantization"),
        ("on kernels", others or "nothing"),
        ("memory", "none: streams never pause" if memory is None else _memory_text(memory)),
        ("accuracy", f"{100 * found.correct / found.n:.2f} % ({found.correct} of {found.n}), measured on the RTL"),
        ("cycles", f"{grouped(cycles)} ({grouped(cycles // found.n)} per image), predicted {grouped(predicted)}"),
        ("simulated", f"{grouped(simulated)} cycles at {si(simulated / seconds)} cycles/s per thread"),
    ]  # fmt: skip
    if not differing:
        return [*lines, ("tensors", f"all {grouped(elements)} elements equal the kernels'")]
    node = differing[0]
    at = node.difference
    assert at is not None
    place = f"{node.name}, image {at.image}, pixel {at.pixel}, channel {at.channel}"
    return [
        *lines,
        ("tensors", f"{len(differing)} of {len(found.nodes)} layers differ from the kernels'"),
        ("first", f"{place}: {at.hardware} instead of {at.kernels}"),
    ]
