"""Times of a network as the documents state them, and the whole document of `hwsim time`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.dataflow import ideal_cycles
from hwsim.dataflow.array import array_of
from hwsim.dataflow.passes import PRODUCTS
from hwsim.graph import Graph, Quantization, Tensor
from hwsim.memory.bounds import BoundTerms, Products, Widths
from hwsim.memory.extents import Ints
from hwsim.memory.pipeline import Timeline
from hwsim.sim.document_parts import (
    AcceleratorInfo,
    PortTraffic,
    Segment,
    TilingInfo,
    Traffic,
)
from hwsim.sim.time.direct_layer import stream_memory
from hwsim.sim.time.energy import energy_infos
from hwsim.sim.time.layer_time import LayerTime
from hwsim.sim.time.network import TimedLayer
from hwsim.sim.time.outlier_layers import outlier_info
from hwsim.spec import ROLES, Accelerator, Dataflow, Format, Role, Workload, operand_format
from hwsim.spec.stream_memory import beat_bytes

MOST_SEGMENTS = 24
"""Of a layer in a document; steps that are alike share one, and where there are more, neighbours are put together."""


def layer_times(graph: Graph, timed: TimedLayer, accelerator: Accelerator, index: int) -> dict[str, Any]:
    """Return the fields of `LayerTimes` for a node."""
    node = graph.nodes[index]
    work, time = timed.workload, timed.time
    floor, term = traffic_floor(timed, accelerator)
    ports = {name: getattr(time.ports, name) for name in ("weights", "activations", "outliers", "results", "total")}
    return {
        "name": node.name,
        "op": node.op.kind,
        "input_shape": graph.inputs_of(node)[0].shape[1:],
        "output_shape": graph.outputs_of(node)[0].shape[1:],
        "macs": work.macs,
        "weight_bits": work.weight_bits or None,
        "activation_bits": work.activation_bits or None,
        "dram_bytes": Traffic(**time.dram_bytes, total=time.total_bytes),
        "port_bytes": PortTraffic(**ports),
        "bound_bytes": floor,
        "bound_term": term,
        "compute_cycles": time.compute_cycles,
        "stall_cycles": time.stall_cycles,
        "cycles": time.cycles,
        "least_cycles": _least_cycles(timed, floor, accelerator),
        "utilization": time.utilization,
        "dram_bytes_per_second": time.total_bytes / time.cycles * accelerator.clock_hz if time.cycles else 0.0,
        "peak_bytes_per_cycle": _peak(time.steps),
        "input_on_chip": timed.on_chip("activations_in"),
        "output_on_chip": timed.on_chip("activations_out"),
        "placement": timed.placement,
        "tiling": _tiling(timed),
        "timeline": () if time.steps is None else segments(time.steps),
        "outliers": outlier_info(graph, node, work, accelerator),
    }


def _least_cycles(timed: TimedLayer, floor: int, accelerator: Accelerator) -> int:
    ideal = ideal_cycles(timed.workload, accelerator)
    # What a layer of a stack moves may cross the DRAM while another one computes, as prefetched weights do.
    own = 0 if timed.stack else floor - timed.time.prefetched_bytes
    return max(ideal, math.ceil(own / accelerator.dram_bytes_per_cycle))


def total_times(timed: Sequence[TimedLayer], accelerator: Accelerator, frames_per_second: float) -> dict[str, Any]:
    """Return the fields of `TotalTimes`: the layers added up, and the bandwidth at a frame rate."""
    times = [layer.time for layer in timed]
    macs = sum(layer.workload.macs for layer in timed)
    moved: dict[str, int] = {role: sum(time.dram_bytes[role] for time in times) for role in ROLES}
    moved["total"] = sum(moved.values())
    ports = {port: sum(getattr(time.ports, port) for time in times) for port in PortTraffic.model_fields}
    floors = [traffic_floor(layer, accelerator)[0] for layer in timed]
    compute = sum(time.compute_cycles for time in times)
    stalls = sum(time.stall_cycles for time in times)
    cycles = compute + stalls
    demand = [time.total_bytes / time.cycles for time in times if time.cycles]
    return {
        "macs": macs,
        "dram_bytes": Traffic(**moved),
        "port_bytes": PortTraffic(**ports),
        "bound_bytes": sum(floors),
        "compute_cycles": compute,
        "stall_cycles": stalls,
        "cycles": cycles,
        "least_cycles": max(
            sum(_least_cycles(layer, floor, accelerator) for layer, floor in zip(timed, floors, strict=True)),
            math.ceil(sum(floors) / accelerator.dram_bytes_per_cycle),
        ),
        "utilization": macs / (cycles * accelerator.multipliers) if cycles else 0.0,
        "energy": energy_infos(timed, accelerator, cycles / accelerator.clock_hz),
        "seconds_per_image": cycles / accelerator.clock_hz,
        "images_per_second": accelerator.clock_hz / cycles if cycles else math.inf,
        "operations_per_byte": 2 * macs / moved["total"] if moved["total"] else 0.0,
        "peak_bytes_per_cycle": max(demand, default=0.0),
        "frames_per_second": frames_per_second,
        "bandwidth_bytes_per_second": moved["total"] * frames_per_second,
    }


def accelerator_info(accelerator: Accelerator) -> AcceleratorInfo:
    """Return the machine as documents state it."""
    reduction = accelerator.arithmetic.reduction
    return AcceleratorInfo(
        name=accelerator.name,
        rows=accelerator.rows,
        cols=accelerator.cols,
        lanes=reduction.lanes,
        multipliers=accelerator.multipliers,
        dataflow=accelerator.dataflow.value,
        clock_hz=accelerator.clock_hz,
        dram_bytes_per_cycle=accelerator.dram_bytes_per_cycle,
        memory=str(accelerator.memory),
        reduction=str(reduction),
        requantization=accelerator.arithmetic.profile.value,
        not_built=not_built(accelerator),
    )


def not_built(accelerator: Accelerator) -> str:
    """Return what the RTL refuses of a machine, for layers of 8 bits; an empty text where it can be built."""
    if accelerator.dataflow is Dataflow.INPUT_STATIONARY:
        return "dataflow input_stationary: timed as the transposed product on the weight-stationary array"
    if accelerator.datapath.fused:
        return f"fused must be left out in hardware, not {', '.join(accelerator.datapath.fused)}"
    return array_of(accelerator, 8, 8, 8).why_not_built()


def traffic_floor(timed: TimedLayer, accelerator: Accelerator) -> tuple[int, str]:
    """Return a lower bound of a layer's DRAM bytes and what it follows from.

    Where all its activations cross the DRAM, it is `hwsim.memory.bounds.traffic_bound` for all that the machine can hold: its
    buffers, its accumulators and the array's operands. What is on chip already costs nothing, so with tensors there only
    what has to come is left: every other operand once. Biases and scales come once in any case.
    """
    acc = accelerator.arithmetic.reduction.acc.bits
    least, terms = _floor(timed.workload, timed.kept, acc, accelerator.memory.direct)
    if terms is None:
        return least, "compulsory"
    bound = terms.at(on_chip_bytes(accelerator, timed.workload))
    return least + bound.bytes, bound.term


@functools.lru_cache(maxsize=4096)
def _floor(work: Workload, on_chip: tuple[bool, ...], acc_bits: int, direct: bool) -> tuple[int, BoundTerms | None]:
    """Return what a layer moves on any machine, and the terms of what it moves besides on one that can hold so much."""
    timed = TimedLayer(work, LayerTime({}, 0, 0, 0.0), on_chip, "")
    constants = work.role_bytes("biases") + work.role_bytes("scales")
    # Without buffers outliers come as the port takes them, which may be shorter.
    constants += 0 if direct else work.role_bytes("outliers")
    read, written = timed.on_chip("activations_in"), timed.on_chip("activations_out")
    output = _bits(work, "activations_out")
    if work.op not in PRODUCTS:
        if work.sliding is None:
            return -(-timed.moved_bits // 8), None
        # Pooling reads what its windows touch, as a product for each channel by itself would.
        work = replace(work, m=1, k=1, n=1, groups=work.sliding.channels)
    products = Products.of(work)
    # A second tensor of activations meets the results; of a fused layer its operands are known one by one.
    inputs = [part for part in zip(work.operands, timed.kept, strict=True) if part[0].role == "activations_in"]
    read = inputs[0][1]
    residual = sum(8 * part.packed_bytes for part, kept in inputs[1:] if not kept)
    stored = any(part.stored_bits for part in work.operands)
    if work.weight_bits and not read and not written and not stored and len(inputs) == 1:
        return constants, BoundTerms.of(products, Widths(work.activation_bits, work.weight_bits, output, acc_bits))
    bits = _crossing(work, "weights", products.weights)
    bits += 0 if read else _crossing(work, "activations_in", products.activations)
    bits += residual
    bits += 0 if written else _crossing(work, "activations_out", products.results)
    return -(-bits // 8) + constants, None


def _crossing(work: Workload, role: Role, elements: int) -> int:
    """Return the bits in the DRAM of so many elements of a layer's first operand of a role, 0 where it has none."""
    part = next((part for part in work.operands if part.role == role), None)
    if part is None:
        return 0
    return elements * part.stored_bits // part.elements if part.stored_bits else elements * part.element_bits


def on_chip_bytes(accelerator: Accelerator, work: Workload) -> int:
    """Return all that the machine can hold of a layer's operands: buffers, accumulators, and what the array holds."""
    acc = accelerator.arithmetic.reduction.acc.bits
    pixels = accelerator.datapath.pixels if accelerator.dataflow is not Dataflow.OUTPUT_STATIONARY else accelerator.rows
    held = accelerator.multipliers * (work.weight_bits + work.activation_bits)
    if accelerator.memory.direct:
        core = array_of(accelerator, work.weight_bits, work.activation_bits, _bits(work, "activations_out"))
        memory = stream_memory(accelerator)
        held += 8 * sum(beats * size for beats, size in zip(memory.places, beat_bytes(core), strict=True))
    return accelerator.memory.total_bytes + -(-(accelerator.cols * pixels * acc + held) // 8)


@functools.lru_cache(maxsize=16)
def with_formats(graph: Graph, weight_bits: int | None, activation_bits: int | None) -> Graph:
    """Return a network whose tensors have the widths that `hwsim run` would give them; values and scales do not matter.

    Parameters
    ----------
    graph
        Quantized or float.
    weight_bits, activation_bits
        2..16; where both are None, a quantized network keeps its own. Otherwise None means 8.
    """
    if graph.quantized and weight_bits is None and activation_bits is None:
        return graph
    weights = {node.inputs[1] for node in graph.nodes if node.op.weighted}
    formats = {
        True: operand_format(weight_bits or 8, field="weight_bits"),
        False: operand_format(activation_bits or 8, field="activation_bits"),
    }
    tensors = {name: _of_format(tensor, formats[name in weights]) for name, tensor in graph.tensors.items()}
    return replace(graph, tensors=tensors)


def _of_format(tensor: Tensor, form: Format) -> Tensor:
    return replace(tensor, quantization=Quantization(form, np.array(1.0), np.array(0)))


def segments(line: Timeline) -> tuple[Segment, ...]:
    """Return the steps of a layer, neighbours that are alike put together, and then more of them if they are too many."""
    columns = np.stack([line.cycles, line.compute, line.transfer, line.read_bytes, line.write_bytes])
    change = np.flatnonzero((columns[:, 1:] != columns[:, :-1]).any(axis=0)) + 1
    edges = np.concatenate([[0], change])
    if len(edges) > MOST_SEGMENTS:
        # The first and the last step, which nothing overlaps, stay by themselves.
        inner = np.linspace(1, columns.shape[1] - 1, MOST_SEGMENTS - 1).astype(np.int64)
        edges = np.unique(np.concatenate([[0], inner]))
    sums: Ints = np.add.reduceat(columns, edges, axis=1)
    return tuple(
        Segment(cycles=total, compute_cycles=compute, dram_cycles=dram, read_bytes=read, write_bytes=write)
        for total, compute, dram, read, write in sums.T.tolist()
        if total
    )


def _tiling(timed: TimedLayer) -> TilingInfo | None:
    time = timed.time
    if time.tiling is None:
        return None
    return TilingInfo(
        order=time.tiling.order, height=time.tiling.height, width=time.tiling.width, channels=time.tile_channels,
        products=time.tiling.products, tiles=time.tiles, stack=timed.stack,
    )  # fmt: skip


def _peak(line: Timeline | None) -> float:
    """Return the most bytes per cycle of computing in one step."""
    if line is None:
        return 0.0
    busy = line.compute > 0
    moved = (line.read_bytes + line.write_bytes)[busy] / line.compute[busy]
    return float(moved.max(initial=0.0))


def _bits(work: Workload, role: Role) -> int:
    return next((operand.element_bits for operand in work.operands if operand.role == role), 0)
