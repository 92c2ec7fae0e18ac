"""Layers of a network as cases for a core: what its ports take and give while the network runs on samples."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.cosim.stimulus import NamedCase
from hwsim.graph import Array, Graph
from hwsim.hardware.layer import HardwareLayer, hardware_layers
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, Core, require


def network_cases(
    graph: Graph, base: Core, arithmetic: Arithmetic, batch: Array, wanted: Sequence[str]
) -> tuple[Core, list[NamedCase]]:  # fmt: skip
    """Return the core of some layers, and their GEMMs while a batch goes through the network.

    Parameters
    ----------
    graph
        An integer network.
    base
        The core, but for what the network decides: formats of operands and results, and the largest shift.
    arithmetic
        How it sums and rounds.
    batch
        Samples, as the network takes them.
    wanted
        Names of layers; none: all that sum products.

    Returns
    -------
    The core, as `hwsim rtl run` has it, and the cases, layer by layer: as many as a layer has groups, and more where it has
    many pixels. Activations are those that `hwsim run` has there.

    Raises
    ------
    InputError
        Where a layer fits no core, or the layers need several.
    """
    program = Program(graph, arithmetic, outlier_tile=base.tile_products if base.outlier_lanes else None)
    layers = hardware_layers(graph, program.units, base, arithmetic)
    for name in wanted:
        require(name in layers, "--layer", f"one that sums products ({', '.join(layers)})", repr(name))
    chosen = {name: layer for name, layer in layers.items() if not wanted or name in wanted}
    core = _one_core(graph, chosen)
    cases: list[NamedCase] = []
    last = list(chosen)[-1]
    for node, inputs, _ in program.steps(batch):
        if node.name not in chosen:
            continue
        for rows, channels, case in chosen[node.name].cases(inputs[0]):
            place = f"pixels {rows.start}..{rows.stop - 1}, channels {channels.start}..{channels.stop - 1}"
            cases.append(NamedCase(f"{node.name}: {place}", case))
        if node.name == last:
            break
    return core, cases


def _one_core(graph: Graph, layers: dict[str, HardwareLayer]) -> Core:
    by_core: dict[Core, list[str]] = {}
    for name, layer in layers.items():
        by_core.setdefault(layer.core, []).append(name)
    alike = "; ".join(f"{core.activation} to {core.output}: {', '.join(names)}" for core, names in by_core.items())
    require(len(by_core) == 1, "--layer", f"such that {graph.name}'s layers share a core ({alike})", ", ".join(layers))
    return next(iter(by_core))
