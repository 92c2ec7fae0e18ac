"""Searching registers, and fitting weights to them, for networks with outliers."""

from __future__ import annotations

import functools
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from narrow_nets import feed, layers_of
from typer.testing import CliRunner

from analyze.worst_inputs import confirm_register
from hwsim.certify.verify import verify
from hwsim.cli.main import app
from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.ops.products import ProductsUnit
from hwsim.quant.accumulator_aware import project
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.analyze.certificate import prove_layers, write_certificate
from hwsim.sim.execute import execute
from hwsim.sim.narrow.document import NarrowDocument
from hwsim.sim.narrow.order import Order
from hwsim.sim.narrow.runs import Runs
from hwsim.sim.narrow.search import OrderSearch, Wanted
from hwsim.sim.network import Network, outlier_scheme, prepare_network
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, BiasAt, InputError, Overflow, Profile, Reduction, Register

IMAGES = 20
BASE = Arithmetic(Reduction(bias_at=BiasAt.END))
ROWS = 8


@functools.cache
def network(rule: str = "3%", bits: int = 16) -> Network:
    """Return the digits network with dense weights of 4 bits, 7 where outliers are FBGEMM's."""
    weight_bits = 7 if rule == "outside" else 4
    return prepare_network(
        load_model("digits_cnn"), open_dataset("digits"), weight_bits=weight_bits, activation_bits=8, calibration_images=64,
        scaling=None, profile=Profile.TFLITE, scheme=outlier_scheme(OutlierRule.parse(rule, bits), weight_bits),
    )  # fmt: skip


def executed(layers: dict[str, Reduction], rows: int | None) -> tuple[np.ndarray, dict[str, int]]:
    """Run the whole network from the start, outliers behind K tiles of rows x lanes products."""
    exact = Arithmetic(Reduction(Register(48, Overflow.WRAP), bias_at=BiasAt.END))
    lanes = next(iter(layers.values())).lanes
    program = Program(network().integer, exact, layers, outlier_tile=None if rows is None else rows * lanes)
    found = execute(program, feed(), IMAGES, threads=1)
    return found.predictions, {name: monitor.events for name, monitor in found.monitors.items()}


@pytest.mark.parametrize("rows", [None, ROWS])
def test_trials_are_whole_runs(rows: int | None) -> None:
    rng, names = np.random.default_rng(5), layers_of(network().integer)
    found = Runs(network().integer, BASE, feed(), IMAGES, outlier_rows=rows)
    some = 0
    for step, text in enumerate(("sequential", "lanes:4", "tree:2", "chain:4", "sequential", "lanes:4")):
        order, overflow = Order.parse(text), list(Overflow)[step % 2]
        layers = {name: order.of(BASE.reduction, int(rng.integers(11, 17)), overflow) for name in names}
        outcome = found.run(layers)
        predictions, events = executed(layers, rows)
        assert np.array_equal(outcome.predictions, predictions)
        assert outcome.events == events
        some += outcome.total
    assert some > 0


@pytest.mark.parametrize("text", ["sequential", "lanes:4"])
def test_widths_without_overflow_are_the_smallest(text: str) -> None:
    """Against whole runs with one layer at a width: no event from `quiet` on, some one bit below."""
    order = Order.parse(text)
    found = Runs(network().integer, BASE, feed(), IMAGES, outlier_rows=ROWS)
    search = OrderSearch(found, BASE.reduction, order, Wanted(), lambda _text: None)
    for name in layers_of(network().integer):
        quiet = search.quiet_bits(name)
        for overflow in Overflow:
            for bits in {quiet, search.proven[name], quiet - 1}:
                _, events = executed({name: order.of(BASE.reduction, bits, overflow)}, ROWS)
                assert (events[name] == 0) == (bits >= quiet), (name, bits, overflow)


def test_a_chain_that_a_tile_cuts_is_refused() -> None:
    found = Runs(network().integer, BASE, feed(), IMAGES, outlier_rows=ROWS)
    with pytest.raises(InputError, match=r"chain must be left out, or such that rows are a multiple of it"):
        OrderSearch(found, BASE.reduction, Order.parse("chain:5"), Wanted(), lambda _text: None)


def test_the_printed_command_repeats_the_row(tmp_path: Path) -> None:
    machine = tmp_path / "lanes.toml"
    machine.write_text("rows = 8\n[core]\noutlier_lanes = 2\n")
    options = f"digits_cnn --images 20 --weight-bits 4 --outliers 3% --calibration-images 64 --accelerator {machine}"
    runner = CliRunner()
    result = runner.invoke(
        app,
        shlex.split(f"narrow {options} --bias-at end --uniform --loss 10 --order lanes:4 --json {tmp_path / 'n.json'}"),
    )
    assert result.exit_code == 0, result.output
    document = NarrowDocument.model_validate_json((tmp_path / "n.json").read_text("utf-8"))
    assert document.quantization.outliers == "the largest 3 % of each layer, in 16 bits"
    row = next(row for row in document.rows if row.permitted == "loss" and row.overflow == "saturate")
    assert "--outliers 3%" in row.command and row.events > 0
    words = shlex.split(row.command)[1:]
    result = runner.invoke(app, [*words, "--no-float", "--observe", "1", "--json", str(tmp_path / "r.json")])
    assert result.exit_code == 0, result.output
    ran = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert (ran["accuracy"]["correct"], ran["total"]["overflow_events"]) == (row.correct, row.events)


REDUCTIONS = {
    "13 bits, bias at the end": (Reduction(Register.parse("13:saturate"), bias_at=BiasAt.END), None),
    "16 bits, behind tiles of 8": (Reduction(Register.parse("16:wrap")), 8),
    "chains of 8 in 13 bits": (Reduction(Register.parse("32:wrap"), chain=8, psum=Register.parse("13:wrap")), 8),
}


@pytest.mark.parametrize(
    ("name", "rule"), [(name, "3%") for name in REDUCTIONS] + [(next(iter(REDUCTIONS)), "outside")]
)
def test_fitted_networks_with_outliers_are_certified(name: str, rule: str) -> None:
    """The verifier accepts that nothing overflows; the worst inputs reach what it says, and a bit less overflows."""
    (reduction, tile), found = REDUCTIONS[name], network(rule, 8 if rule == "outside" else 16)
    before = write_certificate(
        found.integer, "0" * 64, prove_layers(Program(found.integer, Arithmetic(replace(reduction, bias_at=BiasAt.END)),
        outlier_tile=tile)), replace(reduction, bias_at=BiasAt.END), outlier_tile=tile,
    )  # fmt: skip
    assert not before.no_overflow
    graph = project(found.real, found.integer, reduction)
    program = Program(graph, Arithmetic(reduction), outlier_tile=tile)
    certificate = write_certificate(graph, "0" * 64, prove_layers(program), reduction, outlier_tile=tile)
    verify(certificate, graph, "0" * 64)
    assert certificate.no_overflow
    # A 13-bit register has no room for products of 255 and FBGEMM's outliers, which are beyond -64..63.
    assert rule == "outside" or sum(layer.outliers for layer in certificate.layers) > 0
    for claim in certificate.layers:
        unit = program.units[claim.name]
        assert isinstance(unit, ProductsUnit)
        for register in claim.registers:
            confirm_register(unit, claim, register.name, reduction)
        tensor = graph.tensors[next(node for node in graph.nodes if node.name == claim.name).inputs[1]]
        assert tensor.quantization is not None and tensor.outliers is not None and tensor.data is not None
        # What the dense format holds is dense, and the rest is not.
        assert np.all(np.abs(tensor.outliers.values) > tensor.quantization.format.hi)


def test_outliers_that_fit_stay_as_they_are() -> None:
    found = network()
    graph = project(found.real, found.integer, Reduction(Register.parse("40:wrap")))
    for before, after in zip(found.integer.nodes, graph.nodes, strict=True):
        if before.op.weighted:
            old, new = found.integer.inputs_of(before)[1], graph.inputs_of(after)[1]
            assert old.outliers is not None and new.outliers is not None
            assert np.array_equal(old.outliers.places, new.outliers.places)
            assert np.array_equal(old.outliers.values, new.outliers.values)
            assert np.array_equal(old.data, new.data)


def test_a_fitted_run_has_no_event_and_its_certificate_is_accepted(tmp_path: Path) -> None:
    machine = tmp_path / "lanes.toml"
    machine.write_text("[core]\noutlier_lanes = 2\n")
    options = (
        f"digits_cnn --images 20 --weight-bits 4 --outliers 3% --calibration-images 64 --accelerator {machine} "
        "--accumulator-aware --acc 14:saturate --bias-at end"
    )
    runner, path = CliRunner(), tmp_path / "c.json"
    result = runner.invoke(app, shlex.split(f"run {options} --no-float --observe 1"))
    assert result.exit_code == 0 and re.search(r"overflow +0 events", result.output), result.output
    result = runner.invoke(app, shlex.split(f"analyze {options} --no-observe --certificate {path}"))
    assert result.exit_code == 0, result.output
    result = runner.invoke(app, shlex.split(f"analyze {options} --verify {path}"))
    assert result.exit_code == 0 and "no overflow possible for any input in 4 of 4 layers" in result.output
