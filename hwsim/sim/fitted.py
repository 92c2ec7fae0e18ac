"""Networks whose weights are fitted to the registers of a machine, with the certificate that no input overflows them."""

from __future__ import annotations

from dataclasses import replace

from hwsim.certify.verify import WrongClaimError, verify
from hwsim.quant.accumulator_aware import project
from hwsim.sim.analyze.certificate import prove_layers, write_certificate
from hwsim.sim.network import Network
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, InputError, Profile


def fitted(
    network: Network, arithmetic: Arithmetic, model_sha256: str, *, outlier_tile: int | None = None
) -> Network:  # fmt: skip
    """Return a network that no input can overflow the registers of an arithmetic with; `outlier_tile` as for a `Program`.

    Raises
    ------
    InputError
        Where weights alone cannot do it, or the verifier does not accept that they did.
    """
    power_of_two = arithmetic.profile is Profile.POWER_OF_TWO
    graph = project(network.real, network.integer, arithmetic.reduction, power_of_two=power_of_two)
    proofs = prove_layers(Program(graph, arithmetic, outlier_tile=outlier_tile))
    certificate = write_certificate(graph, model_sha256, proofs, arithmetic.reduction, outlier_tile=outlier_tile)
    try:
        verify(certificate, graph, model_sha256)
    except WrongClaimError as error:
        raise InputError(f"{graph.name}: the certificate of the fitted weights is refused: {error}") from None
    if not certificate.no_overflow:
        layer = next(layer.name for layer in certificate.layers if not layer.no_overflow)
        raise InputError(f"{graph.name}: node {layer}: fitted weights can still overflow {arithmetic.reduction}")
    info = network.info.model_copy(
        update={"scheme": f"{network.info.scheme}, weights fitted to the registers: no input overflows them"}
    )
    return replace(network, integer=graph, info=info)
