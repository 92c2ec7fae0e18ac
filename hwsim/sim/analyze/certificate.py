"""Writing the certificate of a network and a machine; `hwsim.certify.verify` checks it."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.certify.document import Certificate, Machine, RegisterSpec
from hwsim.graph import Graph
from hwsim.ops.products import ProductsUnit
from hwsim.sim.analyze.layers import Proof, claims, prove
from hwsim.sim.program import Program
from hwsim.spec import Reduction, Register


def prove_layers(program: Program) -> list[Proof]:
    """Bound the registers of every layer that sums products."""
    graph = program.graph
    return [
        prove(graph, node, index, unit)
        for index, node in enumerate(graph.nodes, start=1)
        if isinstance(unit := program.units[node.name], ProductsUnit)
    ]


def write_certificate(
    graph: Graph, model_sha256: str, proofs: Sequence[Proof], reduction: Reduction, *, outlier_tile: int | None = None
) -> Certificate:  # fmt: skip
    """Return the certificate of a network whose layers have been bounded.

    Parameters
    ----------
    graph, proofs
        The network, and what `prove_layers` found of it.
    model_sha256
        Of the file that it comes from.
    reduction, outlier_tile
        As the network's `Program` has them.
    """

    def register(part: Register | None) -> RegisterSpec | None:
        return None if part is None else RegisterSpec(bits=part.bits, overflow=part.overflow.value)

    acc = register(reduction.acc)
    assert acc is not None
    layers = [claims(proof, graph) for proof in proofs]
    return Certificate(
        schema_version=1,
        kind="hwsim accumulator certificate",
        model=graph.name,
        model_sha256=model_sha256,
        machine=Machine(
            acc=acc, lanes=reduction.lanes, tree=register(reduction.tree), chain=reduction.chain,
            psum=register(reduction.psum), bias_at=reduction.bias_at.value, zero_points=reduction.zero_points.value,
            outlier_tile=outlier_tile,
        ),
        layers=layers,
        no_overflow=all(layer.no_overflow for layer in layers),
    )  # fmt: skip
