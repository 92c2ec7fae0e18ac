"""Registers of single layers as a parameter of a sweep: the figures are those of ``hwsim run --layers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.sim.layer_registers import load_layer_registers
from hwsim.sim.run import Settings, run
from hwsim.spec import InputError
from hwsim.sweep.api import sweep_rows
from hwsim.sweep.reproduce import commands
from hwsim.sweep.space import load_space

IMAGES = 60
LAYER = next(node.name for node in load_model("digits_cnn").graph.nodes if node.op.weighted)
NARROW = f'schema_version = 1\n[layers."{LAYER}"]\nacc = "12:wrap"\n'


def rows_of(folder: Path, *layers: str, **tables: Any) -> list[dict[str, Any]]:
    space = folder / "SPACE.toml"
    listed = ", ".join(f'"{text}"' for text in layers)
    space.write_text(
        f'images = {IMAGES}\nmodels = [{{ model = "digits_cnn", data = "digits" }}]\n[parameters]\nlayers = [{listed}]\n'
        + "".join(f"{name} = {values}\n" for name, values in tables.items()), "utf-8",
    )  # fmt: skip
    return sweep_rows(load_space(space), folder / "results", workers=0)


def test_rows_are_those_of_runs_with_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "narrow.toml").write_text(NARROW, "utf-8")
    (tmp_path / "same.toml").write_text(NARROW.replace("schema_version = 1\n", ""), "utf-8")
    rows = {row["layers"]: row for row in rows_of(tmp_path, "none", "narrow.toml", "same.toml", sram_bytes=[65536])}
    model, data = load_model("digits_cnn"), open_dataset("digits")
    for name in (None, "narrow.toml"):
        given = {} if name is None else load_layer_registers(tmp_path / name)
        document = run(model, data, Settings(images=IMAGES, layers=given, reference=False))
        row = rows[name]
        assert (row["top1"], row["n"]) == (document.accuracy.top1, IMAGES)
        assert row["overflow_events"] == document.total.overflow_events
    assert rows["narrow.toml"]["overflow_events"] > rows[None]["overflow_events"]
    # What a file says counts, and how long things take does not depend on it.
    for column in ("layers_sha256", "correct", "overflow_events"):
        assert rows["same.toml"][column] == rows["narrow.toml"][column]
    assert rows[None]["layers_sha256"] is None
    assert len({row["cycles"] for row in rows.values()}) == 1
    run_command, _ = commands(rows["narrow.toml"], "machine.toml")
    assert " --layers narrow.toml " in run_command
    assert "--layers" not in commands(rows[None], "machine.toml")[0]


def test_what_cannot_be_is_one_line_or_the_reason_of_a_row(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^parameters\.layers: .*absent\.toml: not a readable TOML file: No such file"
    ):
        rows_of(tmp_path, "absent.toml")
    (tmp_path / "wrong.toml").write_text('[layers.a]\nacc = "12:round"\n', "utf-8")
    with pytest.raises(InputError, match=r"^parameters\.layers: .*wrong\.toml: layers\.a\.acc: "):
        rows_of(tmp_path, "wrong.toml")
    with pytest.raises(
        InputError, match=r"SPACE\.toml: parameters\.layers: layers must be the path of a TOML file or 'none'"
    ):
        rows_of(tmp_path, "")
    (tmp_path / "other.toml").write_text('[layers.nowhere]\nacc = "12:wrap"\n', "utf-8")
    (row,) = rows_of(tmp_path, "other.toml")
    assert row["status"] == "failed"
    assert "nowhere" in row["reason"]
