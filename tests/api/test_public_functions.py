"""`import hwsim`: its examples run, it says what the commands say, it loads quickly, and its names survive its packages."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwsim
from cli.command import QUICK, Command
from hwsim import api
from hwsim.api.call import call_text
from hwsim.api.machine import MachineOptions, machine_of
from hwsim.data import open_dataset
from hwsim.report.table import layers_csv
from hwsim.spec import BUILT_DATAFLOWS, PRESETS, Accelerator, Arithmetic, InputError, Profile, Register

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = [name for name in hwsim.__all__ if inspect.isfunction(getattr(api, name, None))]
EXAMPLES = [
    test
    for module in ("models", "quantizing", "reporting", "running", "training")
    for test in doctest.DocTestFinder().find(importlib.import_module(f"hwsim.api.{module}"))
    if test.examples
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def test_every_function_has_an_example() -> None:
    assert sorted(test.name.rpartition(".")[2] for test in EXAMPLES) == sorted(FUNCTIONS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name.rpartition(".")[2])
def test_examples(example: doctest.DocTest) -> None:
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert said == []


def test_every_function_is_in_the_reference() -> None:
    """`docs/api.md` is what `make docs` builds the reference from; it names the types of arguments and results too."""
    shown = set(re.findall(r"^::: ([\w.]+)", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE))
    assert {f"hwsim.api.{name}" for name in FUNCTIONS} <= shown
    for name in shown:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_documented(name: str) -> None:
    """A list of names before an indented text, or ``**name``, under Parameters."""
    function = getattr(api, name)
    text = inspect.getdoc(function) or ""
    (parameters,) = re.findall(r"Parameters\n-+\n(.*?)\n\n", text, re.DOTALL)
    documented = {
        part.strip(" *") for line in re.findall(r"^(\S.*)", parameters, re.MULTILINE) for part in line.split(",")
    }
    assert documented == set(inspect.signature(function).parameters)


def test_import_is_light() -> None:
    """Neither the kernels' compiler nor NumPy, nor a reader of models, before something is asked for."""
    code = "import sys, hwsim; print(*sorted({'numpy', 'numba', 'onnx', 'pydantic', 'matplotlib', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_functions_stay_callable_when_the_packages_of_their_names_are_imported() -> None:
    """`import hwsim.load.catalog` binds the package to `hwsim.load`; both uses of the name work, in either order."""
    code = """
import inspect, hwsim
assert inspect.isfunction(hwsim.load)
first = hwsim.load("digits_cnn")
import hwsim.load.catalog, hwsim.report.table, hwsim.export, hwsim.sweep.api, hwsim.train.settings
assert hwsim.load.catalog.load_model and hwsim.report.table.COLUMNS and hwsim.export.onnx_qdq
second = hwsim.load("digits_cnn")
assert first.sha256 == second.sha256
for name in ("load", "report", "export", "sweep", "train"):
    assert inspect.signature(getattr(hwsim, name)) == inspect.signature(getattr(hwsim.api, name)), name
from hwsim import load
assert load("digits_cnn").sha256 == first.sha256
assert not callable(hwsim.spec)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_that_of_the_command_line(command: Command, tmp_path: Path) -> None:
    """The same document, but for the command in its provenance."""
    options = ["--acc", "14:saturate", "--bias-at", "end", "--weight-bits", "6", "--threads", "1", "--json", "run.json"]
    answer = command("run", "digits_cnn", *QUICK, *options)
    assert answer.code == 0, answer
    ours = hwsim.simulate(
        "digits_cnn", images=5, calibration_images=8, observed=2, weight_bits=6, acc="14:saturate", bias_at="end"
    )
    theirs = json.loads((tmp_path / "run.json").read_text("utf-8"))
    mine = json.loads(ours.to_json())
    assert theirs["provenance"].pop("command").startswith("hwsim run digits_cnn ")
    assert mine["provenance"].pop("command") == (
        "hwsim.simulate('digits_cnn', images=5, weight_bits=6, calibration_images=8, observed=2, acc='14:saturate', "
        "bias_at='end')"
    )
    assert mine == theirs


def test_times_are_those_of_the_command_line(command: Command, tmp_path: Path) -> None:
    machine = ["--rows", "8", "--dataflow", "output_stationary", "--sram", "65536", "--dram", "4", "--latency", "40"]
    answer = command("time", "digits_mobilenet", *machine, "--fps", "7", "--json", "time.json")
    assert answer.code == 0, answer
    ours = hwsim.time(
        "digits_mobilenet", rows=8, dataflow="output_stationary", sram_bytes=65536, dram_bytes_per_cycle=4,
        dram_latency_cycles=40, frames_per_second=7,
    )  # fmt: skip
    theirs = json.loads((tmp_path / "time.json").read_text("utf-8"))
    mine = json.loads(ours.to_json())
    theirs["provenance"].pop("command"), mine["provenance"].pop("command")
    assert mine == theirs
    assert [layer["cycles"] for layer in hwsim.layer_table(ours)] == [layer["cycles"] for layer in theirs["layers"]]


def test_the_table_of_a_run_is_the_file_of_its_report() -> None:
    document = hwsim.simulate("digits_cnn", images=3, calibration_images=8, observed=1, acc="16:wrap")
    header, *lines = layers_csv(document).splitlines()
    table = hwsim.layer_table(document)
    assert header == "layer," + ",".join(table[0])
    assert len(lines) == len(table)
    assert {type(value) for record in table for value in record.values()} <= {str, int, float, type(None)}


def test_a_machine_from_a_preset_a_file_and_an_object(tmp_path: Path) -> None:
    preset = PRESETS[1]
    file = tmp_path / "machine.toml"
    file.write_text('name = "mine"\nrows = 4\ncols = 6\n', "utf-8")
    assert machine_of(preset.name) == preset == machine_of(preset)
    assert machine_of(file).cols == 6 and machine_of(str(file), cols=5).cols == 5
    changed = machine_of(
        preset, acc=Register.parse("20:wrap"), tree="18:saturate", lanes=4, zero_points="fold", requantize=Profile.ORT_FLOAT32,
        dataflow=BUILT_DATAFLOWS[1], sram_bytes=999, direct=True,
    )  # fmt: skip
    reduction = changed.arithmetic.reduction
    assert str(reduction) == "acc 20:wrap, 4 lanes, tree 18:saturate, bias at start, zero points fold"
    assert changed.arithmetic.profile is Profile.ORT_FLOAT32
    assert changed.dataflow is BUILT_DATAFLOWS[1]
    assert changed.memory.direct and changed.memory.sram_bytes == 999
    assert changed.memory.dram_latency_cycles == preset.memory.dram_latency_cycles


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acc": "16:clamp"}, "acc must be BITS:wrap or BITS:saturate with BITS from 8 to 48, not '16:clamp'"),
        ({"bias_at": "middle"}, "bias_at must be start, end, not 'middle'"),
        ({"dataflow": "row"}, "dataflow must be weight_stationary, output_stationary, input_stationary, not 'row'"),
        ({"requantize": []}, r"requantize must be tflite, .*, not \[\]"),
        ({"rows": 0}, "rows must be an integer from 1 to 4096, not 0"),
        ({"psum": "16:wrap"}, "chain|psum"),
        ({"columns": 3}, "an option of the machine must be acc, psum, .*, not columns"),
    ],
)
def test_wrong_options_of_the_machine(options: MachineOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        machine_of(PRESETS[0].name, **options)


def test_the_rounding_of_the_models_makers(tmp_path: Path) -> None:
    """A preset by name rounds as ONNX Runtime for its model; an option, a file and an object say what they want."""
    (path,) = hwsim.export("digits_cnn", tmp_path, "onnx-qdq", calibration_images=8)
    quick = {"images": 2, "observed": 1, "float_reference": False}

    def rounding(**options: object) -> str:
        run = hwsim.simulate(path, "digits", **quick, **options)  # type: ignore[arg-type]
        return run.accelerator.requantization

    assert rounding() == "ort-float32"
    assert rounding(requantize="tflite") == "tflite"
    assert rounding(accelerator=Accelerator(arithmetic=Arithmetic(profile=Profile.TFLITE_SINGLE))) == "tflite-single"


def test_wrong_arguments_are_one_line(tmp_path: Path) -> None:
    model = hwsim.load("digits_cnn")
    with pytest.raises(InputError, match=r"data must be digits, cifar10, .*, not 'nowhere'"):
        hwsim.simulate(model, "nowhere")
    with pytest.raises(InputError, match=r"compression must be one of .*, not 'zip'"):
        hwsim.time(model, compression="zip")
    with pytest.raises(InputError, match="form must be workloads, onnx-qdq, qonnx, weights, not 'elf'"):
        hwsim.export(model, tmp_path, "elf")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="word_bits must be left out"):
        hwsim.export(model, tmp_path, "qonnx", word_bits=8)
    assert list(tmp_path.iterdir()) == []


def test_calls_in_documents_name_what_was_given() -> None:
    values = {
        "model": hwsim.load("digits_cnn"), "accelerator": PRESETS[2], "weight_bits": None, "activation_bits": 4, "outliers": None,
        "compression": None, "tiles": None, "frames_per_second": 30.0, "machine": {"dataflow": BUILT_DATAFLOWS[1]},
    }  # fmt: skip
    assert call_text(api.time, values | {"unrelated": 1}) == (
        "hwsim.time('digits_cnn', accelerator='server-128x128', activation_bits=4, dataflow='output_stationary')"
    )


def test_samples_in_memory() -> None:
    """The digits, scaled as the model's makers do, score as the data set does; labels are checked as those of a file are."""
    digits = open_dataset("digits")
    inputs, labels = digits.batch(0, 40).astype(np.float32) / 16, digits.labels[:40]
    options = {"calibration_images": 40, "observed": 1, "float_reference": True}
    given = hwsim.simulate("digits_cnn", (inputs, labels), **options)  # type: ignore[arg-type]
    named = hwsim.simulate("digits_cnn", "digits", images=40, **options)  # type: ignore[arg-type]
    assert given.accuracy.float32 is not None and named.accuracy.float32 is not None
    assert given.accuracy.float32.correct == named.accuracy.float32.correct
    assert given.provenance.command.startswith("hwsim.simulate('digits_cnn', data=(array(40, 8, 8, 1), array(40,)), ")
    assert given.data.sha256 != hwsim.simulate("digits_cnn", (inputs[:39], labels[:39]), **options).data.sha256  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"arrays: labels must be of shape \[40\], one per input, not \[39\]"):
        hwsim.simulate("digits_cnn", (inputs, labels[:39]))
    with pytest.raises(InputError, match="data must be a pair of inputs and labels, not 1 arrays"):
        hwsim.simulate("digits_cnn", (inputs,))  # type: ignore[arg-type]
