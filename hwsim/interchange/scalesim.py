"""A network as a SCALE-Sim topology and a machine as its configuration, and what neither can say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hwsim.memory.bounds import Products
from hwsim.scalesim import Config, Layer
from hwsim.scalesim.config import Dataflow as Name
from hwsim.spec import Accelerator, Dataflow, Workload

DATAFLOWS: dict[Dataflow, Name] = {
    Dataflow.OUTPUT_STATIONARY: "os",
    Dataflow.WEIGHT_STATIONARY: "ws",
    Dataflow.INPUT_STATIONARY: "is",
}


@dataclass(frozen=True, slots=True)
class Topology:
    """Layers for SCALE-Sim, and sentences on what is not in them."""

    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


def scalesim_topology(workloads: Iterable[Workload]) -> Topology:
    """Return a network's layers with products.

    Padding becomes part of the input's size, which is what the windows reach over: ``(outputs - 1) * stride + taps``. A depthwise
    layer becomes one row with ``DP`` in its name, which SCALE-Sim reads as a layer per channel; a grouped one a row per group.
    Windows that the format has no words for (dilation, two strides) become the GEMM that they are, where every window is an input
    of its own.
    """
    layers: list[Layer] = []
    skipped = padded = as_gemm = 0
    other_widths: set[int] = set()
    for workload in workloads:
        if not workload.macs:
            skipped += 1
            continue
        products = Products.of(workload)
        sayable = _sayable(products)
        as_gemm += not sayable
        padded += any(axis.products < axis.outputs * axis.taps for axis in (products.height, products.width))
        other_widths |= {workload.weight_bits, workload.activation_bits} - {8}
        layers += _layers(_name(workload.name), products, sayable)
    notes = (
        f"{skipped} layers without products are left out" if skipped else "",
        f"{padded} layers have padding: it is part of the input size, and its words are read from DRAM"
        if padded
        else "",
        f"{as_gemm} layers with dilation or two strides are GEMMs, without reuse between windows" if as_gemm else "",
        f"operands of {', '.join(map(str, sorted(other_widths)))} bits count as one word of a byte"
        if other_widths
        else "",
    )
    return Topology(tuple(layers), tuple(note for note in notes if note))


def scalesim_config(accelerator: Accelerator) -> Config:
    """Return a machine's array and buffers. A buffer for everything is cut into three of the same size."""
    memory = accelerator.memory
    sizes = [memory.activation_sram_bytes, memory.weight_sram_bytes, memory.result_sram_bytes]
    each = [memory.total_bytes // 3 if size is None else size for size in sizes]
    ifmap, filters, ofmap = (max(1, size // 1024) for size in each)
    name = re.sub(r"[^\w.-]+", "_", accelerator.name).strip(".") or "hwsim"
    return Config(name, accelerator.rows, accelerator.cols, ifmap, filters, ofmap, DATAFLOWS[accelerator.dataflow])


def _sayable(products: Products) -> bool:
    axes = (products.height, products.width)
    return products.height.stride == products.width.stride and all(
        axis.dilation == 1 or axis.taps == 1 for axis in axes
    )


def _layers(name: str, products: Products, sayable: bool) -> list[Layer]:
    height, width = products.height, products.width
    kernel = height.taps * width.taps
    if not sayable:
        layer = Layer.gemm(name, height.outputs * width.outputs, products.outputs, kernel * products.inputs)
        return _by_group(layer, products.groups)
    depthwise = products.inputs == 1 and products.groups > 1
    layer = Layer(
        f"{name}_DP" if depthwise else name,
        (height.outputs - 1) * height.stride + height.taps,
        (width.outputs - 1) * width.stride + width.taps,
        height.taps,
        width.taps,
        products.groups if depthwise else products.inputs,
        products.outputs,
        height.stride,
    )
    return [layer] if depthwise else _by_group(layer, products.groups)


def _by_group(layer: Layer, groups: int) -> list[Layer]:
    if groups == 1:
        return [layer]
    return [replace(layer, name=f"{layer.name}_group_{group}") for group in range(groups)]


def _name(name: str) -> str:
    """Return a name without commas, and without the letters that SCALE-Sim takes for depthwise."""
    return re.sub(r"[^\w./-]+", "_", name).replace("DP", "Dp")
