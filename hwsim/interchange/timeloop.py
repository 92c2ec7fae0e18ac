"""A layer as a Timeloop problem, in the YAML of its version 0.4 (timeloopfe)."""

from __future__ import annotations

import re

from hwsim.memory.bounds import Products
from hwsim.spec import Workload, require


def timeloop_problem(workload: Workload) -> str:
    """Return the YAML of a layer with products.

    Timeloop's problems know neither padding nor widths: inputs have every element that a window reaches, padding included, and
    widths belong into the architecture's ``datawidth``. Both stand in comments. A layer in groups has the dimension G.

    Raises
    ------
    InputError
        For a layer without products.
    """
    require(workload.macs > 0, f"{workload.name}: layer", "one with products", workload.op)
    products = Products.of(workload)
    height, width = products.height, products.width
    grouped = ["G"] if products.groups > 1 else []
    sizes = {
        "C": (products.inputs, "input channels per group"),
        "M": (products.outputs, "output channels per group"),
        "R": (width.taps, "filter columns"),
        "S": (height.taps, "filter rows"),
        "N": (1, "images"),
        "P": (width.outputs, "output columns"),
        "Q": (height.outputs, "output rows"),
        **dict.fromkeys(grouped, (products.groups, "groups")),
    }
    coefficients = {
        "Wstride": width.stride, "Hstride": height.stride, "Wdilation": width.dilation, "Hdilation": height.dilation,
    }  # fmt: skip
    own = [f"[{dimension}]" for dimension in grouped]
    spaces = {
        "Weights": [*own, "[C]", "[M]", "[R]", "[S]"],
        "Inputs": [*own, "[N]", "[C]", "[R, Wdilation], [P, Wstride]", "[S, Hdilation], [Q, Hstride]"],
        "Outputs": [*own, "[N]", "[M]", "[Q]", "[P]"],
    }
    outputs = [operand.element_bits for operand in workload.operands if operand.role == "activations_out"]
    lines = [
        f"# {_comment(workload.name)}: {workload.op}, {workload.macs} multiply-accumulates per image",
        f"# bits of an element: weights {workload.weight_bits}, inputs {workload.activation_bits}"
        + "".join(f", outputs {bits}" for bits in outputs[:1]),
        f"# padding: {height.before} rows above, {width.before} columns on the left; the inputs below include it",
        "problem:",
        "  version: 0.4",
        "  shape:",
        f"    name: {'grouped_' if grouped else ''}cnn_layer",
        f"    dimensions: [{', '.join(sizes)}]",
        "    coefficients:",
        *(f"    - {{name: {name}, default: 1}}" for name in coefficients),
        "    data_spaces:",
    ]
    for name, ranks in spaces.items():
        lines += [f"    - name: {name}", "      projection:", *(f"      - [{rank}]" for rank in ranks)]
        lines += ["      read_write: true"] if name == "Outputs" else []
    lines += ["  instance:", *(f"    {name}: {size} # {meaning}" for name, (size, meaning) in sizes.items())]
    lines += [f"    {name}: {value}" for name, value in coefficients.items()]
    return "".join(f"{line}\n" for line in lines)


def _comment(text: str) -> str:
    """Return a name that stays in its line."""
    return re.sub(r"[^\w ./:-]+", "_", text)
