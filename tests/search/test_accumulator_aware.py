"""Weights fitted to a register: the projection against its conditions, A2Q's bounds, certificates and their worst inputs."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow_nets import integer, network
from typer.testing import CliRunner

from hwsim.certify.verify import verify
from hwsim.cli.main import app
from hwsim.graph import Tensor
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.ops.products import ProductsUnit
from hwsim.quant import Scheme
from hwsim.quant.accumulator_aware import AccumulatorAware, project
from hwsim.quant.l1_projection import Budget, shrink
from hwsim.sim.analyze.certificate import prove_layers, write_certificate
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, BiasAt, InputError, Overflow, Reduction, Register, ZeroPoints

rows = st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=12).map(lambda row: np.array(row, np.float64))
budgets = st.builds(Budget, st.integers(0, 255), st.integers(1, 255), st.integers(0, 1 << 15), st.integers(0, 1 << 15))


def sums(row: np.ndarray) -> tuple[float, float]:
    return float(np.maximum(row, 0).sum()), float(np.maximum(-row, 0).sum())


@settings(max_examples=300, deadline=None)
@given(rows, budgets)
def test_the_projection_is_the_nearest_row_that_fits(row: np.ndarray, budget: Budget) -> None:
    """By the conditions of Karush, Kuhn and Tucker, which are sufficient here.

    A positive weight shrinks by ``high * a + low * b`` and a negative one by ``low * a + high * b``, with a, b >= 0, and 0 where
    their condition has room.
    """
    found = budget.project(row)
    positive, negative = sums(found)
    over = budget.high * positive + budget.low * negative - budget.above
    under = budget.low * positive + budget.high * negative - budget.below
    near = 1e-6 * (1 + budget.above + budget.below)
    assert over <= near and under <= near
    assert np.all(found * row >= 0)
    shrunk = np.abs(row) - np.abs(found)
    assert shrunk.min() >= -1e-9
    if np.allclose(found, row, atol=1e-12):
        return
    costs = [(budget.high, budget.low), (budget.low, budget.high)]
    taken = [(over, "above"), (under, "below")]
    active = [cost for cost, (slack, _) in zip(costs, taken, strict=True) if slack >= -near]
    assert active
    # Least squares for the multipliers from the weights that are left, then every weight must agree.
    plus = row > 0
    matrix = np.array([[cost[0] if p else cost[1] for cost in active] for p in plus], float)
    left = np.abs(found) > 1e-7
    multipliers = np.linalg.lstsq(matrix[left], shrunk[left], rcond=None)[0] if left.any() else None
    if multipliers is None:
        return
    assert np.allclose(matrix[left] @ multipliers, shrunk[left], atol=1e-5)
    # Multipliers of conditions with the same costs, or of one sign only, are not unique: only their effect counts.
    if np.linalg.matrix_rank(matrix[left]) == len(active):
        assert multipliers.min() >= -1e-6
        assert np.all(matrix[~left] @ multipliers >= shrunk[~left] - 1e-5)


def test_the_simplex_by_hand() -> None:
    """Duchi et al.: (3, 1, 0.5) onto the ball of radius 2 is (2, 0, 0): t = 1; (3, 2.5, 0) is (1.25, 0.75, 0): t = 1.75."""
    one = np.ones(3)
    assert shrink(np.array([3.0, 1.0, 0.5]), one, 2.0).tolist() == [2.0, 0.0, 0.0]
    assert shrink(np.array([3.0, 2.5, 0.0]), one, 2.0).tolist() == [1.25, 0.75, 0.0]
    assert shrink(np.array([3.0, 2.5, 0.0]), one, 0.0).tolist() == [0.0, 0.0, 0.0]


def a2q(acc_bits: int, bits: int, signed: bool) -> float:
    """A2Q's bound of the L1 norm, as brevitas' `get_upper_bound_on_l1_norm` has it."""
    return (2.0 ** (acc_bits - 1) - 1) * 2.0 ** (int(signed) - bits)


def a2q_plus(acc_bits: int, bits: int) -> float:
    """A2Q+'s, for zero-centred weights, as brevitas' `calc_max_l1_norm` has it."""
    return (2.0**acc_bits - 2) / (2.0**bits - 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(8, 20), st.integers(2, 8), st.booleans(), st.integers(0, 2**32))
def test_rows_within_the_published_bounds_fit(acc_bits: int, bits: int, signed: bool, seed: int) -> None:
    """A2Q: any row of that norm. A2Q+: rows of equal positive and negative sums, of twice the norm where unsigned."""
    rng = np.random.default_rng(seed)
    low, high = (2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = Register(acc_bits, Overflow.WRAP).format
    budget = Budget(low, high, ends.hi, -ends.lo)
    size = int(a2q(acc_bits, bits, signed))
    assert budget.holds(rng.multinomial(size, np.ones(7) / 7) * rng.choice([-1, 1], 7))
    half = int(a2q_plus(acc_bits, bits) / 2)
    centred = np.concatenate([rng.multinomial(half, np.ones(5) / 5), -rng.multinomial(half, np.ones(4) / 4)])
    assert budget.holds(centred)
    if not signed:
        assert not budget.holds(np.array([int(ends.hi / high) + 1]))


REDUCTIONS = {
    "16 bits, bias at the end": Reduction(Register.parse("16:saturate"), bias_at=BiasAt.END),
    "20 bits, bias at the start": Reduction(Register.parse("20:wrap")),
    "14 bits, folded": Reduction(Register.parse("14:wrap"), bias_at=BiasAt.END, zero_points=ZeroPoints.FOLD),
    "chains of 9 in 14 bits": Reduction(Register.parse("32:wrap"), chain=9, psum=Register.parse("14:wrap")),
    "4 lanes, 15 bits": Reduction(Register.parse("15:saturate"), lanes=4, bias_at=BiasAt.END),
}


def extreme_inputs(unit: ProductsUnit, channel: int, low: int, high: int) -> np.ndarray:
    """The two windows that drive a channel's sum to its ends: [2, K]."""
    weights = unit.weights[0][:, channel]
    return np.stack([np.where(weights > 0, high, low), np.where(weights > 0, low, high)])


def events_at(unit: ProductsUnit, reduction: Reduction, low: int, high: int) -> int:
    """Return the events of all channels at their extreme inputs; a bias that does not fit at the start is one."""
    events = 0
    for channel in range(unit.group_channels):
        bias, monitor = unit.bias[channel : channel + 1], Monitor(1)
        panel = extreme_inputs(unit, channel, low, high)
        reduce_panel(panel, unit.weights[0][:, channel : channel + 1], bias, reduction, monitor)
        ends, at_start = reduction.acc.format, reduction.bias_at is BiasAt.START
        events += monitor.events + int(at_start and not ends.lo <= int(bias[0]) <= ends.hi)
    return events


CASES = [(reduction, (8, 8)) for reduction in REDUCTIONS.values()]
CASES += [(reduction, (4, 4)) for reduction in list(REDUCTIONS.values())[2:4]]


@pytest.mark.parametrize(
    ("reduction", "bits"), CASES, ids=[*REDUCTIONS, *(f"{name}, W4A4" for name in list(REDUCTIONS)[2:4])]
)
def test_fitted_networks_are_certified_and_the_worst_input_reaches_the_bound(
    reduction: Reduction, bits: tuple[int, int]
) -> None:
    """The verifier accepts that nothing overflows; at the certified width the worst inputs have no event, one bit less some."""
    found = network(*bits)
    graph = project(found.real, found.integer, reduction)
    program = Program(graph, Arithmetic(reduction))
    certificate = write_certificate(graph, "0" * 64, prove_layers(program), reduction)
    verify(certificate, graph, "0" * 64)
    assert certificate.no_overflow
    narrow = "acc" if reduction.psum is None else "psum"
    filled = 0
    for claim in certificate.layers:
        unit = program.units[claim.name]
        assert isinstance(unit, ProductsUnit)
        assert unit.plan.kernel == "exact"
        register = next(part for part in claim.registers if part.name == narrow)
        given = getattr(reduction, narrow)
        assert register.safe_bits <= given.bits
        filled += register.safe_bits == given.bits
        for width in {max(register.safe_bits, 8), max(register.safe_bits - 1, 8)}:
            sized = replace(reduction, **{narrow: Register(width, Overflow.WRAP)})
            events = events_at(unit, sized, claim.activations.low, claim.activations.high)
            assert (events == 0) == (width >= register.safe_bits), (claim.name, width)
    assert filled or bits == (4, 4)


def test_a_fitted_network_runs_and_is_analyzed_from_the_command_line(tmp_path: Path) -> None:
    """`hwsim run` counts no event at 15 bits, and `hwsim analyze` writes a certificate that its verifier accepts."""
    runner, fitted = (
        CliRunner(),
        "--accumulator-aware --acc 15:saturate --bias-at end --images 20 --calibration-images 64",
    )
    result = runner.invoke(
        app, shlex.split(f"run digits_cnn {fitted} --no-float --observe 1 --json {tmp_path / 'run.json'}")
    )
    assert result.exit_code == 0, result.output
    run = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert "weights fitted to the registers" in run["quantization"]["scheme"]
    assert [layer["reduction"]["kernel"] for layer in run["layers"] if layer["reduction"]] == ["exact"] * 4
    assert max(layer["reduction"]["proven_safe_bits"] for layer in run["layers"] if layer["reduction"]) == 15
    path = tmp_path / "digits.cert.json"
    result = runner.invoke(app, shlex.split(f"analyze digits_cnn {fitted} --no-observe --certificate {path}"))
    assert result.exit_code == 0, result.output
    result = runner.invoke(app, shlex.split(f"analyze digits_cnn {fitted} --verify {path}"))
    assert result.exit_code == 0, result.output
    assert "no overflow possible for any input in 4 of 4 layers" in result.output


def test_rows_that_fit_stay_as_they_are_and_wide_registers_change_nothing() -> None:
    found = network()
    graph = project(found.real, found.integer, Reduction(Register.parse("40:wrap")))
    for before, after in zip(found.integer.nodes, graph.nodes, strict=True):
        pairs = zip(found.integer.inputs_of(before), graph.inputs_of(after), strict=True)
        for old, new in pairs:
            assert _same(old, new)


def _same(old: Tensor, new: Tensor) -> bool:
    scales = old.quantization is None or np.array_equal(old.quantization.scale, new.quantization.scale)  # type: ignore[union-attr]
    return scales and (old.data is None or np.array_equal(old.data, new.data))


def test_the_repair_is_the_projection_and_powers_of_two_stay_so() -> None:
    found, reduction = network(), REDUCTIONS["16 bits, bias at the end"]
    steps = []
    for power_of_two in (False, True):
        scheme = Scheme(power_of_two=power_of_two)
        repaired = AccumulatorAware(reduction).repair(found.real, found.integer, [], scheme)
        direct = project(found.real, found.integer, reduction, power_of_two=power_of_two)
        assert all(_same(repaired.tensors[name], tensor) for name, tensor in direct.tensors.items())
        for before, after in zip(found.integer.nodes, direct.nodes, strict=True):
            if before.op.weighted:
                old, new = (graph.inputs_of(node)[1] for graph, node in ((found.integer, before), (direct, after)))
                assert old.quantization is not None and new.quantization is not None
                steps.append(np.log2(new.quantization.scale / old.quantization.scale))
    plain, powers = np.concatenate(steps[: len(steps) // 2]), np.concatenate(steps[len(steps) // 2 :])
    assert np.array_equal(powers, np.rint(powers)) and not np.array_equal(plain, np.rint(plain))


def test_what_cannot_be_fitted_is_refused() -> None:
    found = network()
    folded = Reduction(Register.parse("16:wrap"), zero_points=ZeroPoints.FOLD)
    tree = Reduction(Register.parse("16:wrap"), lanes=2, tree=Register.parse("16:wrap"))
    for reduction, text in ((folded, "zero_points must be subtract, or bias_at end"), (tree, "tree must be exact")):
        with pytest.raises(InputError, match=text):
            project(found.real, found.integer, reduction)
    with pytest.raises(InputError, match=r"node .*: acc must hold the bias and all partial sums of channel \d+"):
        project(found.real, integer(), Reduction(Register.parse("8:saturate")))
