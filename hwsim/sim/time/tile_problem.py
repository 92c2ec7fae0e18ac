"""A layer as something to cut into tiles."""

from __future__ import annotations

from hwsim.dataflow.array import ModelCore
from hwsim.dataflow.passes import PRODUCTS
from hwsim.memory.tiling import TileProblem
from hwsim.spec import Accelerator, Dataflow, Operand, Role, Sliding, Workload


def product_shape(workload: Workload) -> tuple[int, int]:
    """Return the outputs of a GEMM and the number of GEMMs.

    Depthwise with a multiplier: the channels that one input channel makes are a GEMM, as in `hwsim.hardware.layer`.
    """
    channels = workload.n * workload.groups
    groups = workload.groups if workload.sliding is None else min(workload.groups, workload.sliding.channels)
    return channels // groups, groups


def is_tiled(workload: Workload) -> bool:
    """Whether a layer has windows or products, and so tiles."""
    return workload.op in PRODUCTS or workload.sliding is not None


def operand_of(workload: Workload, role: Role) -> Operand:
    """Return the first operand of a role."""
    return next(operand for operand in workload.operands if operand.role == role)


def _bits(workload: Workload, role: Role) -> int:
    return next((operand.element_bits for operand in workload.operands if operand.role == role), 0)


def _stored(workload: Workload, role: Role, number: int) -> int:
    """Return the bits in the DRAM of one of the operands of a role, 0 where it is not compressed."""
    found = [part.stored_bits or 0 for part in workload.operands if part.role == role]
    return found[number] if number < len(found) else 0


def _residual_bits(workload: Workload) -> int:
    """Return the width of a second tensor of activations, 0 where there is none."""
    widths = [part.element_bits for part in workload.operands if part.role == "activations_in"]
    return widths[1] if len(widths) > 1 else 0


def tile_problem(workload: Workload, accelerator: Accelerator, core: ModelCore) -> TileProblem:
    """Return a layer as something to cut; a GEMM is an image of one column, whose pixels have k channels."""
    sums = workload.op in PRODUCTS
    sliding = workload.sliding or Sliding((workload.m, 1), workload.k * workload.groups, (workload.m, 1))
    channels = groups = sliding.channels
    if sums:
        width, groups = product_shape(workload)
        channels = width * groups
    transposed = accelerator.dataflow is Dataflow.INPUT_STATIONARY
    # Tiles of groups are whole groups, on any array.
    apart = groups > 1
    return TileProblem(
        sliding=sliding,
        products=workload.k if sums else 0,
        channels=channels,
        groups=groups,
        weight_bits=workload.weight_bits,
        input_bits=_bits(workload, "activations_in"),
        output_bits=_bits(workload, "activations_out"),
        wide_bits=accelerator.arithmetic.reduction.acc.bits if sums and accelerator.datapath.raw else 0,
        residual_bits=_residual_bits(workload),
        stored_bits=operand_of(workload, "weights").stored_bits or 0 if sums else 0,
        bias_bits=_bits(workload, "biases"),
        scale_bits=_bits(workload, "scales"),
        columns=1 if transposed or apart else core.cols,
        accumulators=0 if transposed or apart else core.tile_pixels,
        product_step=1 if apart else core.tile_products,
        double_buffered=accelerator.memory.double_buffered,
        burst_bytes=accelerator.memory.burst_bytes,
        sparse_bits=8 * workload.role_bytes("outliers"),
        input_stored=_stored(workload, "activations_in", 0),
        residual_stored=_stored(workload, "activations_in", 1),
        output_stored=_stored(workload, "activations_out", 0),
    )
