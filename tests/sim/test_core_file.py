"""Cores from accelerator files: every key of the table, presets, and every kind of bad table as one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwsim.sim.accelerator_file import load_accelerator
from hwsim.sim.core_file import load_core
from hwsim.spec import (
    PRESETS,
    Accelerator,
    Arithmetic,
    Core,
    Dataflow,
    Datapath,
    Format,
    InputError,
    Profile,
    Reduction,
    Register,
)

GOOD = """
name = "edge 4"
rows = 4
cols = 6
requantize = "tflite-single"

[reduction]
acc = "24:saturate"
lanes = 2

[core]
dataflow = "weight_stationary"
activation_bits = 7
activation_signed = false
weight_bits = 5
output_bits = 4
output_signed = false
pixels = 100
weight_bus_bits = 40
activation_bus_bits = 56
result_bus_bits = 16
requantizers = 3
max_left_shift = 0
outlier_lanes = 2
outlier_bits = 11
count_events = false
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "core.toml"
    path.write_text(text)
    return str(path)


def test_every_key_arrives(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    arithmetic = Arithmetic(Reduction(Register.parse("24:saturate"), 2), Profile.TFLITE_SINGLE)
    assert load_core(path) == Core(
        "edge 4", Dataflow.WEIGHT_STATIONARY, 4, 6, Format(7, signed=False), 5, arithmetic, Format(4, signed=False), 100,
        40, 56, 16, 3, 0, 2, 11, count_events=False,
    )  # fmt: skip
    # What time depends on is the machine's.
    datapath = Datapath(100, 40, 56, 16, 3, 2, 11)
    assert load_accelerator(path) == Accelerator("edge 4", 4, 6, arithmetic=arithmetic, datapath=datapath)


def test_without_a_table_a_core_has_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "rows = 3\ncols = 5")
    assert load_core(path) == Core("custom", rows=3, cols=5)
    assert load_core(write(tmp_path, "[core]")) == Core("custom", rows=16, cols=16)


def test_accumulators_may_leave_as_they_are(tmp_path: Path) -> None:
    core = load_core(write(tmp_path, '[core]\nraw = true\ndataflow = "output_stationary"'))
    assert (core.output, core.dataflow) == (None, Dataflow.OUTPUT_STATIONARY)


def test_the_dataflow_is_said_once(tmp_path: Path) -> None:
    """Of the machine, or (as older files do) of its core; twice only if it is the same."""
    machine, core = 'dataflow = "output_stationary"\n', '[core]\ndataflow = "output_stationary"'
    for text in (machine, core, machine + core):
        path = write(tmp_path, text)
        assert load_accelerator(path).dataflow is load_core(path).dataflow is Dataflow.OUTPUT_STATIONARY
    path = write(tmp_path, 'dataflow = "weight_stationary"\n' + core)
    with pytest.raises(InputError) as error:
        load_accelerator(path)
    expected = "core.dataflow must be left out, or weight_stationary as dataflow is, not output_stationary"
    assert str(error.value) == f"{path}: {expected}"


def test_presets_are_cores_where_they_are_small_enough() -> None:
    for preset in PRESETS[:2]:
        core = load_core(preset.name)
        assert (core.name, core.rows, core.cols, core.arithmetic) == (
            preset.name, preset.rows, preset.cols, preset.arithmetic,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"^server-128x128: rows must be an integer from 1 to 64, not 128$"):
        load_core("server-128x128")
    with pytest.raises(InputError, match=r"^accelerator must be edge-16x16, .* or a TOML file, not 'edge'"):
        load_core("edge")


def test_the_example_of_the_manual_is_a_core(tmp_path: Path) -> None:
    """The values are those in the block's own lines."""
    manual = (Path(__file__).resolve().parents[2] / "docs" / "accelerators.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    core = load_core(write(tmp_path, text))
    assert (core.name, core.rows, core.cols, core.lanes, core.pixels) == ("narrow-8x8", 8, 8, 4, 256)
    assert (core.weight_packing.beats, core.activation_packing.beats, core.result_packing.beats) == (4, 1, 1)


# Of the wrong keys and types a run hears as well.
BAD_TABLES: dict[str, tuple[str, str]] = {
    "an unknown key": ("pixel = 4", "core.pixel is not a known key; allowed are dataflow, activation_bits, "),
    "a text for a number": ('pixels = "4"', "core.pixels must be a valid integer, not '4'"),
    "a truth value for a number": ("outlier_lanes = true", "core.outlier_lanes must be a valid integer, not True"),
    "a number for a truth value": ("raw = 1", "core.raw must be a valid boolean, not 1"),
    "a text for a truth value": ('count_events = "yes"', "core.count_events must be a valid boolean, not 'yes'"),
    "an unknown dataflow": (
        'dataflow = "row_stationary"',
        "core.dataflow must be 'weight_stationary', 'output_stationary' or 'input_stationary', not ",
    ),
    "an operator that no port has": (
        'fused = ["softmax"]', "fused must be operators of add, mul, rectify, lookup, table, not softmax",
    ),
    "requantized after an add of accumulators": (
        'fused = ["add"]\nraw = true', "fused must be left out where raw is true, not add",
    ),
    "one pixel": ("pixels = 1", "pixels must be an integer from 2 to 65536, not 1"),
    "requantizers that do not divide": ("requantizers = 3", "requantizers must be a divisor of cols (16), not 3"),
    "outliers in the wrong array": (
        'dataflow = "output_stationary"\noutlier_lanes = 1', "outlier_lanes must be 0 in an output_stationary array, not 1",
    ),
}  # fmt: skip

BAD_CORES: dict[str, tuple[str, str]] = {
    "one bit": ("[core]\nactivation_bits = 1", "activation_bits must be an integer from 2 to 16, not 1"),
    "many bits": ("[core]\nweight_bits = 17", "weight_bits must be an integer from 2 to 16, not 17"),
    "no output": ("[core]\noutput_bits = 0", "output_bits must be an integer from 2 to 16, not 0"),
    "raw and requantized": ("[core]\nraw = true\noutput_bits = 8", "output_bits must be left out where raw is true, not 8"),
    "raw and signed": ("[core]\nraw = true\noutput_signed = true", "output_signed must be left out where raw is true, not"),
    "a dataflow without hardware": (
        'dataflow = "input_stationary"',
        "dataflow must be weight_stationary or output_stationary in hardware, not input_stationary",
    ),
    "an add without hardware": ('[core]\nfused = ["add"]', "fused must be left out in hardware, not add"),
    "an odd bus": ("[core]\nweight_bus_bits = 12", "weight_bus_bits must be a multiple of 8 and of the element's 8 bits, "),
    "a chain that is not the rows": (
        '[reduction]\nchain = 4\npsum = "24:wrap"', "chain must be left out, or rows (16) in a weight_stationary array, not 4",
    ),
    "a register below a product": ('[reduction]\nacc = "8:wrap"', "acc must be at least 16 bits wide, "),
    "a profile without hardware": (
        'requantize = "ort-float32"', "requantize must be tflite, tflite-single or power-of-two in hardware, not ort-float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("load", [load_core, load_accelerator])
@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_one_line_for_everyone(load: object, text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"[core]\n{text}")
    assert callable(load)
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "message"), BAD_CORES.values(), ids=BAD_CORES)
def test_an_impossible_core_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    load_accelerator(path)
    with pytest.raises(InputError) as error:
        load_core(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)
