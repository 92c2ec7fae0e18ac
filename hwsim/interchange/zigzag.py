"""A network as a ZigZag workload, in YAML: its layers with products, each on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hwsim.memory.bounds import Axis, Products
from hwsim.spec import Workload, require

LONGEST_NAME = 100
"""Characters of a layer's name; TFLite's may have hundreds, and a file's at most 255."""


def zigzag_workload(workloads: Iterable[Workload], acc_bits: int = 32) -> str:
    """Return the YAML of a network.

    Layers that move or add are left out, so no layer names another as the source of its inputs: all of them come from the
    outermost memory. Padding is stated beside the size of the image, as ZigZag's own ONNX reader does.

    Parameters
    ----------
    workloads
        The layers.
    acc_bits
        Width of a partial sum; ZigZag has one for the whole layer.

    Raises
    ------
    InputError
        For a network without products.
    """
    layers = [workload for workload in workloads if workload.macs]
    require(bool(layers), "network", "one with products", "without")
    head = "# sizes in elements, precisions in bits; layers without products are left out\n"
    return head + "\n".join(_layer(number, layer, acc_bits) for number, layer in enumerate(layers))


def _layer(number: int, workload: Workload, acc_bits: int) -> str:
    products = Products.of(workload)
    height, width = products.height, products.width
    group = "[g]" if products.groups > 1 else ""
    sizes = {
        "B": 1, **({"G": products.groups} if group else {}), "K": products.outputs, "C": products.inputs,
        "OY": height.outputs, "OX": width.outputs, "FY": height.taps, "FX": width.taps,
    }  # fmt: skip
    final = next((operand.element_bits for operand in workload.operands if operand.role == "activations_out"), acc_bits)
    precision = f"W: {workload.weight_bits}, I: {workload.activation_bits}, O: {acc_bits}, O_final: {final}"
    lines = [
        f"- id: {number}",
        f"  name: {_name(workload.name, number)}",
        "  operator_type: Conv",
        f"  equation: O[b]{group}[k][oy][ox]+=W{group}[k][c][fy][fx]*I[b]{group}[c][iy][ix]",
        f"  dimension_relations: [ix={width.stride}*ox+{width.dilation}*fx, iy={height.stride}*oy+{height.dilation}*fy]",
        f"  loop_dims: [{', '.join(sizes)}]",
        f"  loop_sizes: [{', '.join(map(str, sizes.values()))}]",
        f"  operand_precision: {{{precision}}}",
        f"  operand_source: {{I: {number}, W: {number}}}",
    ]
    if workload.sliding is not None:
        pads = ", ".join(f"[{axis.before}, {_after(axis)}]" for axis in (width, height))
        lines += [
            "  pr_loop_dims: [IX, IY]",
            f"  pr_loop_sizes: [{width.size}, {height.size}]",
            f"  padding: [{pads}]",
        ]
    return "".join(f"{line}\n" for line in lines)


def _after(axis: Axis) -> int:
    """Return the padding at the end: what the last window reaches beyond the image."""
    reach = (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1
    return max(0, reach - axis.before - (axis.size or 0))


def _name(name: str, number: int) -> str:
    """Return a name that YAML reads as a text, short enough for the files that ZigZag calls after it, and then numbered."""
    text = re.sub(r"[^A-Za-z0-9_./ -]+", "_", name)
    return f'"{text}"' if len(text) <= LONGEST_NAME else f'"{text[:LONGEST_NAME]}_{number}"'
