"""What the engines of both dataflows take and give: layouts of a slot, of the loaded weights, of a row of results, of events."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from hwsim.spec import Core, Dataflow

from .shape import to_shape

PRODUCT_CYCLES = 2
"""From operands to their product. An FPGA's multipliers stand in columns: one cycle is for the way to the adder."""


def slot_layout(core: Core) -> data.StructLayout:
    """Return the layout of a slot: one step of the array.

    ``valid``: there is a slot; without it the rest means nothing. ``real``: it is no padding. ``first``, ``last``: it belongs
    to the output tile's first, last K tile. ``end``, ``final``: it yields the output tile's, the job's last row. ``set``: the
    output tile's parameters.
    """
    fields = {
        "valid": 1,
        "real": 1,
        "activations": data.ArrayLayout(to_shape(core.operand), core.rows * core.lanes),
        "first": 1,
        "last": 1,
        "end": 1,
        "final": 1,
        "set": 1,
    }
    if core.dataflow is Dataflow.WEIGHT_STATIONARY:
        return data.StructLayout(fields | {"swap": 1, "pixel": range(core.pixels)})
    return data.StructLayout(
        fields | {"weights": data.ArrayLayout(to_shape(core.weight), core.cols * core.lanes), "commit": 1}
    )


def weights_layout(core: Core, cols: int | None = None) -> data.StructLayout:
    """Return the layout of one row of weights on its way into a weight-stationary array, or of `cols` columns of it."""
    values = data.ArrayLayout(to_shape(core.weight), (cols or core.cols) * core.lanes)
    return data.StructLayout({"valid": 1, "row": range(core.rows), "values": values})


def outliers_layout(core: Core) -> data.ArrayLayout:
    """Return the layout of a K tile's outliers, one per lane; a lane without one has the value 0."""
    entry = {
        "value": signed(core.outlier_bits),
        "index": unsigned(core.outlier_index_bits),
        "column": unsigned(core.outlier_column_bits),
    }
    return data.ArrayLayout(data.StructLayout(entry), core.outlier_lanes)


def biases_layout(core: Core) -> data.ArrayLayout:
    """Return the layout of the accumulators' starts: per parameter set, per column."""
    return data.ArrayLayout(data.ArrayLayout(signed(core.arithmetic.reduction.acc.bits), core.cols), 2)


def row_layout(core: Core) -> data.StructLayout:
    """Return the layout of a row of results: one pixel's accumulators, and what belongs to it."""
    acc = data.ArrayLayout(signed(core.arithmetic.reduction.acc.bits), core.cols)
    return data.StructLayout({"valid": 1, "acc": acc, "set": 1, "end": 1, "final": 1})


def events_layout(core: Core) -> data.StructLayout:
    """Return the layout of one cycle's overflow events: per register, the sums above its largest, below its smallest value."""
    groups = core.rows * core.cols
    most = {
        "tree": groups * (core.lanes - 1),
        "psum": groups,
        "acc": groups + core.cols * (1 + core.outlier_lanes),
    }
    return data.StructLayout(
        {name: data.StructLayout({"positive": range(n + 1), "negative": range(n + 1)}) for name, n in most.items()}
    )
