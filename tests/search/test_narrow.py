"""The search of registers: what it reuses changes nothing, what it claims holds, and its commands repeat its rows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from narrow_nets import feed, integer, layers_of
from typer.testing import CliRunner

from hwsim.cli.main import app
from hwsim.report.narrow_report import write_narrow
from hwsim.sim.execute import execute
from hwsim.sim.narrow import runs as runs_module
from hwsim.sim.narrow.document import NarrowDocument
from hwsim.sim.narrow.order import LEAST_BITS, Order
from hwsim.sim.narrow.runs import Outcome, Runs
from hwsim.sim.narrow.search import OrderSearch, Wanted
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, BiasAt, InputError, Overflow, Reduction, Register

IMAGES = 20
BASE = Arithmetic(Reduction(bias_at=BiasAt.END))
ORDERS = ("sequential", "lanes:4", "tree:3", "chain:5")


def runs(images: int = IMAGES) -> Runs:
    return Runs(integer(), BASE, feed(), images)


def executed(layers: dict[str, Reduction], images: int = IMAGES) -> tuple[np.ndarray, dict[str, int]]:
    """The same by `hwsim run`'s way: the whole network from the start."""
    exact = Arithmetic(Reduction(Register(48, Overflow.WRAP), bias_at=BiasAt.END))
    found = execute(Program(integer(), exact, layers), feed(), images, threads=1)
    return found.predictions, {name: monitor.events for name, monitor in found.monitors.items()}


@pytest.mark.parametrize("cache_bytes", [0, 200_000, 1 << 28])
def test_what_is_reused_changes_nothing(cache_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random widths by layer, some of them kept as the base: predictions and events are those of whole runs."""
    monkeypatch.setattr(runs_module, "CACHE_BYTES", cache_bytes)
    monkeypatch.setattr(runs_module, "batch_size", lambda _graph: 16)
    rng, names, found = np.random.default_rng(5), layers_of(integer()), runs()
    base: dict[str, Reduction] = {}
    for step in range(12):
        order = Order.parse(ORDERS[step % len(ORDERS)])
        changed = rng.choice(names, 2, replace=False).tolist()
        overflow = list(Overflow)[step % 2]
        layers = base | {name: order.of(BASE.reduction, int(rng.integers(12, 22)), overflow) for name in changed}
        outcome = found.run(layers)
        predictions, events = executed(layers)
        assert np.array_equal(outcome.predictions, predictions)
        assert outcome.events == events
        if step % 3 == 0:
            found.keep()
            base = layers
        if step == 8:
            found.restart()
            base = {}


@pytest.mark.parametrize("text", ORDERS)
def test_widths_without_overflow_are_the_smallest_and_those_of_either_kind(text: str) -> None:
    """Against whole runs with one layer at a width: no event from `quiet` on, some one bit below, wrapping or saturating."""
    found, order = runs(20), Order.parse(text)
    search = OrderSearch(found, BASE.reduction, order, Wanted(), lambda _text: None)
    for name in layers_of(integer()):
        quiet = search.quiet_bits(name)
        assert LEAST_BITS <= quiet <= search.proven[name]
        for overflow in Overflow:
            for bits in {quiet, search.proven[name], quiet - 1} - {LEAST_BITS - 1}:
                _, events = executed({name: order.of(BASE.reduction, bits, overflow)}, 20)
                assert (events[name] == 0) == (bits >= quiet), (name, bits, overflow)


@pytest.mark.parametrize("text", ["sequential", "chain:5"])
def test_rows_hold_and_are_minimal(text: str) -> None:
    """By whole runs: each row's accuracy and events; uniform: every wider width meets the loss and the next one fails."""
    found, order, wanted = runs(), Order.parse(text), Wanted(10.0)
    search = OrderSearch(found, BASE.reduction, order, wanted, lambda _text: None)
    search.search()
    labels = feed().labels(integer(), 0, IMAGES)

    def correct(bits: dict[str, int], overflow: Overflow) -> int:
        return int((executed(search.reductions(bits, overflow))[0] == labels).sum())

    assert len(search.choices) == 8
    for choice in search.choices:
        row, bits = choice.row, {layer.name: layer.bits for layer in choice.row.layers}
        overflow = Overflow.SATURATE if row.overflow == "either" else Overflow(row.overflow)
        predictions, events = executed(search.reductions(bits, overflow))
        assert row.correct == int((predictions == labels).sum()) >= wanted.least_correct(found.exact)
        assert row.events == sum(events.values())
        assert (row.events == 0) or row.permitted == "loss"
        assert row.changed == int((predictions != found.exact.predictions).sum())
        if row.permitted != "loss":
            continue
        if row.bits is not None:
            wider = range(row.bits, max(search.proven.values()))
            assert all(correct(dict.fromkeys(bits, width), overflow) >= search.needed for width in wider)
            assert row.bits - 1 in row.failed
            assert correct(dict.fromkeys(bits, row.bits - 1), overflow) < search.needed
        else:
            for name, width in bits.items():
                if width > LEAST_BITS:
                    assert correct(bits | {name: width - 1}, overflow) < search.needed


def test_a_saturating_register_that_cannot_start_from_its_bias_is_noted() -> None:
    """With the bias at the start, widths that cannot hold it are refused, and the search goes around them."""
    start = Arithmetic(Reduction())
    found = Runs(integer(), start, feed(), 10)
    search = OrderSearch(
        found, start.reduction, Order.parse("sequential"), Wanted(100.0, down_to=8), lambda _text: None
    )
    search.search()
    refused = [point for point in search.points if point.known_by == "refused"]
    assert refused and all("must hold the bias" in point.refused and point.overflow == "saturate" for point in refused)
    row = next(c.row for c in search.choices if c.row.permitted == "loss" and c.row.overflow == "saturate")
    assert row.bits == max(point.bits for point in refused) + 1


def test_the_permitted_loss_is_rounded_to_whole_images() -> None:
    """57 of 60 right; 5 points are 3 images, 4.9 points are 2.94: two may go; 0.1 + 0.2 points of 1000 are 3."""
    exact = Outcome(np.zeros(60), 57, 60, {})
    assert [Wanted(loss).least_correct(exact) for loss in (0.0, 4.9, 5.0, 100.0)] == [57, 55, 54, 0]
    assert Wanted(0.1 + 0.2).least_correct(Outcome(np.zeros(1000), 900, 1000, {})) == 897


@pytest.mark.parametrize(
    "text",
    ["lanes", "lanes:1", "tree:257", "chain:0", "chain:x", "sequential:2", "", "chain:\N{ARABIC-INDIC DIGIT ONE}"],
)
def test_an_unknown_order_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--order must be "):
        Order.parse(text)


def test_the_commands_repeat_the_rows(tmp_path: Path) -> None:
    """Every command of the report, run as it is printed, gives the row's accuracy and events."""
    runner, folder = CliRunner(), tmp_path / "report"
    line = f"narrow digits_cnn --images 20 --loss 5 --order chain:9 --bias-at end --threads 1 --report {folder}"
    result = runner.invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    document = json.loads((folder / "narrow.json").read_text("utf-8"))
    assert (folder / "figures" / "accuracy_by_width.svg").exists()
    for row in document["rows"]:
        words = shlex.split(row["command"])
        assert words[:3] == ["hwsim", "run", "digits_cnn"]
        path = tmp_path / "run.json"
        options = ["--no-float", "--observe", "1", "--threads", "1", "--json", str(path)]
        again = runner.invoke(app, [*words[1:], *options])
        assert again.exit_code == 0, again.output
        run = json.loads(path.read_text("utf-8"))
        assert run["accuracy"]["correct"] == row["correct"]
        assert run["total"]["overflow_events"] == row["events"]
        widths = [layer["reduction"]["psum_bits"] for layer in run["layers"] if layer["reduction"]]
        assert widths == [layer["bits"] for layer in row["layers"]]
    # A later report takes the folder's place, files of registers and all.
    write_narrow(NarrowDocument.model_validate(document), {}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["figures", "narrow.json", "rows.csv"]
    assert re.search(r"exact +\d+ of 20 right", result.output)
