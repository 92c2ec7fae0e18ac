"""LUTs and DSPs of a machine's core on an FPGA (ECP5): DSPs as synthesis shares them out, LUTs by a model fitted to cores.

``reports/sweep_cost_model.py`` synthesizes the cores, fits the model and states its error; buffers and the DRAM's interface are
not part of a core. What lies beyond the fitted cores is said with every figure, and far beyond there is none.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

from hwsim.dataflow.array import ModelCore, array_of
from hwsim.dataflow.core_timing import LIMB_BITS, requantizer_limbs
from hwsim.hardware.multipliers import NARROW_BITS, Mapped, choose
from hwsim.hardware.synthesis_targets import ECP5
from hwsim.spec import Accelerator, Core, Dataflow, Format, Profile, Reduction, ZeroPoints

LUTS = {"core": 2558.0, "column": 290.9, "accumulator bit": 2.314, "product bit": 2.22}
"""What each feature of `features` costs."""

TYPICAL_ERROR = 0.08
LARGEST_ERROR = 0.30
"""Of the LUTs of a core that was left out of the fit: the mean of all, and the largest, that of the largest core."""

FITTED = {"rows": (2, 8), "cols": (2, 8), "weight_bits": (2, 8), "acc_bits": (16, 32)}
"""Smallest and largest of the fitted cores."""

FARTHEST = 4
"""Times as many elements as the largest fitted core that a figure is still given for."""

FACTOR_BITS = (14, LIMB_BITS)
"""Of the two limbs of a requantizer's factor."""

LIKE = {
    "activation": Format(8), "output": Format(8), "pixels": 256, "weight_bus_bits": None, "activation_bus_bits": None,
    "result_bus_bits": None, "requantizers": None, "outlier_lanes": 0,
}  # fmt: skip
"""What all fitted cores have."""


@dataclass(frozen=True)
class FpgaCost:
    """Of a core; None where it is not known. `extrapolated` says what of it no fitted core is like, None where they all are."""

    luts: int | None
    dsps: int | None
    extrapolated: str | None


@functools.lru_cache(maxsize=1 << 14)
def fpga_cost(machine: Accelerator, weight_bits: int | None, activation_bits: int | None) -> FpgaCost:
    """Return what a machine's core takes for layers of these widths; None is for layers that differ in them."""
    if weight_bits is None or activation_bits is None:
        return FpgaCost(None, None, "layers differ in their bits")
    core = array_of(machine, weight_bits, activation_bits, activation_bits)
    refused = core.why_not_built()
    if machine.dataflow is Dataflow.INPUT_STATIONARY or machine.datapath.fused or refused:
        return FpgaCost(None, None, refused or "there is no RTL of this machine")
    unlike = _unlike(core)
    if unlike is not None:
        return FpgaCost(None, dsps_of(core), f"no fitted core has {unlike}")
    far = core.rows * core.cols > FARTHEST * FITTED["rows"][1] * FITTED["cols"][1]
    luts = None if far else round(sum(LUTS[name] * number for name, number in features(core).items()))
    return FpgaCost(luts, dsps_of(core), "; ".join(_beyond(core)) or None)


def features(core: Core) -> dict[str, int]:
    """Return what the LUTs of a core are counted by.

    The core itself (sequencer, ports), its columns (requantizers, packing), the bits of its elements' accumulators, and those of
    the products that no DSP makes: width times width.
    """
    accumulators = core.rows * core.cols * core.arithmetic.reduction.acc.bits
    in_luts = sum(number * a * b for (a, b), number in _shared_out(core).lut.items())
    return {"core": 1, "column": core.cols, "accumulator bit": accumulators, "product bit": in_luts}


def dsps_of(core: Core) -> int:
    """Return the DSPs of a core: what synthesis shares out among its products and those of its requantizers."""
    return sum(_shared_out(core).dsp.values())


def _shared_out(core: Core) -> Mapped:
    sizes = Counter({_product(core): core.rows * core.cols * core.lanes})
    requantizers = 0 if core.output is None else core.requantizers or core.cols
    limbs = requantizer_limbs(core)
    for place, bits in enumerate(limbs):
        # Beside the sign of the highest limb those of the factor's are signed, too.
        signed = place == len(limbs) - 1
        sizes.update({(bits, factor + signed): requantizers for factor in FACTOR_BITS})
    return choose(sizes, ECP5.resource("dsp").capacity or 0, ECP5.multiplier_bits)


def _product(core: Core) -> tuple[int, int]:
    """Return the widths of an element's factors; where zero points are subtracted first, an activation has a bit more."""
    apart = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    return core.activation.bits + apart, core.weight_bits


def _unlike(core: ModelCore) -> str | None:
    """Return what no fitted core has at all."""
    reduction, plain = core.arithmetic.reduction, Reduction()
    found = {
        "dataflow": (core.dataflow.value, Dataflow.WEIGHT_STATIONARY.value),
        "requantize": (core.arithmetic.profile.value, Profile.TFLITE.value),
        **{name: (getattr(reduction, name), getattr(plain, name)) for name in ("lanes", "tree", "chain", "psum")},
        **{name: (getattr(core, name), LIKE[name]) for name in LIKE},
    }
    return next((f"{name} = {own}" for name, (own, fitted) in found.items() if own != fitted), None)


def _beyond(core: ModelCore) -> list[str]:
    """Return what lies beyond the fitted cores, each in a few words."""
    reduction = core.arithmetic.reduction
    own = {"rows": core.rows, "cols": core.cols, "weight_bits": core.weight_bits, "acc_bits": reduction.acc.bits}
    found = [
        f"{name} {own[name]}, fitted {low} to {high}"
        for name, (low, high) in FITTED.items()
        if not low <= own[name] <= high
    ]
    plain = Reduction()
    found += [
        f"{name} {value.value}, fitted {getattr(plain, name).value}"
        for name in ("bias_at", "zero_points")
        if (value := getattr(reduction, name)) is not getattr(plain, name)
    ]
    if core.weight_bits > NARROW_BITS and _product(core) in _shared_out(core).lut:
        found.append(f"products of {core.weight_bits} bits in LUTs, fitted up to {NARROW_BITS}")
    return found
