"""From a float network to an integer one, with repairs: float repairs, ranges, integers, repairs of the integers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.graph import Array, Graph
from hwsim.quant.calibrate import calibrate
from hwsim.quant.float_layers import with_float_layers
from hwsim.quant.mixed_precision import Assignment
from hwsim.quant.post_training import quantize
from hwsim.quant.repair import REPAIRS, FloatRepair, QuantizedRepair
from hwsim.quant.repair.base import with_number
from hwsim.quant.schemes import Mode, Scheme
from hwsim.quant.weight_only import weight_only
from hwsim.spec import InputError, require

Repair = FloatRepair | QuantizedRepair
Ranges = Mapping[str, tuple[float, float]]
Assign = Callable[[Graph, Ranges], Assignment]
"""Chooses bits by layer for a float network, of which it also gets the ranges."""


@dataclass(frozen=True, eq=False)
class Quantized:
    """What became of a float network.

    Parameters
    ----------
    original
        The float network as given.
    real
        The same, repaired: what was quantized.
    ranges
        Of its activations, by tensor name; empty where the mode needs none.
    plain
        Its integers before they were repaired.
    graph
        The result: an integer network, or with a mode other than static a float one with integer weights.
    assignment
        Bits by layer, where layers have bits of their own.
    floats
        Layers of `graph` that stayed in float32.
    """

    original: Graph
    real: Graph
    ranges: Ranges
    plain: Graph
    graph: Graph
    assignment: Assignment | None = None
    floats: frozenset[str] = frozenset()

    def scheme_of(self, node: str, scheme: Scheme) -> Scheme:
        """Return the scheme of one layer of a network that `scheme` is of."""
        return scheme if self.assignment is None else self.assignment.schemes.get(node, scheme)


def quantize_network(
    graph: Graph, samples: Sequence[Array], scheme: Scheme, repairs: Sequence[Repair] = (), assign: Assign | None = None,
    floats: Collection[str] = (),
) -> Quantized:  # fmt: skip
    """Quantize a float network.

    Parameters
    ----------
    graph
        A float network.
    samples
        Batches of real inputs, float32 [batch, ...] each; at least one.
    scheme
        Which integers.
    repairs
        Those of floats are applied before ranges are measured, those of integers afterwards; each kind in the order given.
    assign
        Chooses bits by layer, after the float repairs; None: the scheme's everywhere.
    floats
        Layers that stay in float32, by the names that they have after the float repairs: repairs of integers see them quantized.

    Raises
    ------
    InputError
        Where a repair, or bits by layer, do not apply to the network or the mode.
    """
    real = graph
    for repair in repairs:
        if isinstance(repair, FloatRepair):
            real = repair.repair(real, samples, scheme)
    late = [repair for repair in repairs if isinstance(repair, QuantizedRepair)]
    if scheme.mode is not Mode.STATIC:
        names = ", ".join(repair.name for repair in late)
        require(not late, "repair", f"one of the float network with {scheme.mode.value} quantization", names)
        require(not floats, "float layers", "left out with other modes than static", ", ".join(floats))
        require(assign is None, "bits by layer", "left out with other modes than static", scheme.mode.value)
        plain = weight_only(real, scheme)
        return Quantized(graph, real, {}, plain, plain)
    ranges = calibrate(real, samples, scheme.ranges)
    assignment = None if assign is None else assign(real, ranges)
    plain = repaired = quantize(real, ranges, scheme, None if assignment is None else assignment.schemes)
    for other in late:
        repaired = other.repair(real, repaired, samples, scheme)
    if floats:
        repaired = with_float_layers(real, repaired, floats)
    return Quantized(graph, real, ranges, plain, repaired, assignment, frozenset(floats))


def find_repairs(names: Iterable[str], option: str = "--repair") -> tuple[Repair, ...]:
    """Return the repairs of these names, each ``NAME`` or ``NAME:NUMBER``.

    Raises
    ------
    InputError
        Naming `option` and the repairs there are.
    """
    found: list[Repair] = []
    for text in names:
        name, colon, number = text.partition(":")
        repair = next((repair for repair in REPAIRS if repair.name == name), None)
        if repair is None:
            known = ", ".join(repair.name + (":NUMBER" if repair.parameter else "") for repair in REPAIRS)
            raise InputError(f"{option} must be one or more of {known}, with commas between, not {text!r}")
        found.append(with_number(repair, number, option) if colon else repair)
    return tuple(found)
