"""What the commands print and write when all is well."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import QUICK, Command, snapshot
from hwsim.data import DATASETS
from hwsim.models.catalog import BUNDLED
from hwsim.sim.document import RunDocument


def test_help_lists_the_commands(hwsim: Command) -> None:
    answer = hwsim("--help")
    assert answer.code == 0
    for command in ("run", "time", "inspect", "report", "models", "data"):
        assert command in answer.out


def test_version_is_the_installed_one(hwsim: Command) -> None:
    from importlib.metadata import version

    assert hwsim("--version").out == f"hwsim {version('hwsim')}\n"


def test_the_module_is_the_command(hwsim: Command) -> None:
    """What the command says and how it ends, where only ``python`` is on the path."""
    for arguments in (["--version"], ["run", "no_such_model"]):
        found = subprocess.run([sys.executable, "-m", "hwsim", *arguments], capture_output=True, text=True, check=False)
        answer = hwsim(*arguments)
        assert (found.returncode, found.stdout, found.stderr) == (answer.code, answer.out, answer.err)


def test_models_lists_what_is_bundled(hwsim: Command) -> None:
    answer = hwsim("models")
    assert (answer.code, answer.err) == (0, "")
    for model in BUNDLED:
        assert model.name in answer.out


def test_data_lists_every_set_and_which_are_here(hwsim: Command) -> None:
    answer = hwsim("data")
    assert (answer.code, answer.err) == (0, "")
    for source in DATASETS:
        assert source.name in answer.out
    assert "HWSIM_DATA" in answer.out


@pytest.mark.parametrize("name", [model.name for model in BUNDLED])
def test_inspect_counts_what_a_network_holds(name: str, hwsim: Command) -> None:
    answer = hwsim("inspect", name, "--json", "layers.json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads((hwsim.folder / "layers.json").read_text())
    assert document["schema_version"] == 1
    assert (document["name"], document["source_format"], document["quantized"]) == (name, "onnx", False)
    for key in ("macs", "parameters", "compulsory_bytes"):
        assert document["total"][key] == sum(layer[key] for layer in document["layers"])
    if name == "digits_cnn":
        # 16 filters of 9, 32 of 144, 32 of 288 on 64, 64 and 16 pixels, and a matrix of 128 x 10; a bias each.
        assert document["total"]["macs"] == 64 * 16 * 9 + 64 * 32 * 144 + 16 * 32 * 288 + 1280
        assert document["total"]["parameters"] == 16 * 10 + 32 * 145 + 32 * 289 + 10 * 129


def test_a_run_says_what_its_document_says(hwsim: Command) -> None:
    answer = hwsim("run", "digits_cnn", *QUICK, "--acc", "17:saturate", "--json", "run.json")
    assert (answer.code, answer.err) == (0, "")
    document = RunDocument.model_validate_json((hwsim.folder / "run.json").read_bytes())
    assert document.accelerator.reduction.startswith("acc 17:saturate")
    assert f"{document.total.overflow_events:,} events" in answer.out
    assert f"({document.accuracy.correct} of 5)" in answer.out
    for layer in document.layers:
        assert layer.name in answer.out


def test_every_option_of_the_machine_arrives_in_the_document(hwsim: Command) -> None:
    answer = hwsim(
        "run", "digits_cnn", *QUICK, "--no-float", "--accelerator", "micro-4x4", "--acc", "20:wrap", "--psum",
        "18:saturate", "--chain", "8", "--lanes", "4", "--tree", "17:wrap", "--bias-at", "end", "--zero-points", "fold",
        "--requantize", "ort-float32", "--fps", "12.5", "--weight-bits", "5", "--activation-bits", "7", "--json", "a.json",
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    document = RunDocument.model_validate_json((hwsim.folder / "a.json").read_bytes())
    assert document.accelerator.reduction == (
        "acc 20:wrap, psum 18:saturate over 8, 4 lanes, tree 17:wrap, bias at end, zero points fold"
    )
    assert (document.accelerator.name, document.accelerator.requantization) == ("micro-4x4", "ort-float32")
    assert (document.quantization.weight_bits, document.quantization.activation_bits) == (5, 7)
    assert document.total.frames_per_second == 12.5
    assert document.accuracy.float32 is None


def test_options_replace_single_fields_of_an_accelerator_file(hwsim: Command) -> None:
    (hwsim.folder / "a.toml").write_text('name = "[/x] :smile:"\n[reduction]\nacc = "24:wrap"\nlanes = 3\n')
    answer = hwsim("run", "digits_cnn", *QUICK, "--accelerator", "a.toml", "--acc", "23:saturate", "--json", "run.json")
    assert (answer.code, answer.err) == (0, "")
    document = RunDocument.model_validate_json((hwsim.folder / "run.json").read_bytes())
    assert document.accelerator.reduction.startswith("acc 23:saturate, 3 lanes")
    # Names are printed as they are, not read as styles.
    assert "[/x] :smile:" in answer.out


def test_report_makes_the_report_of_the_run_from_its_document(hwsim: Command) -> None:
    assert hwsim("run", "digits_cnn", *QUICK, "--json", "run.json", "--report", "one").code == 0
    answer = hwsim("report", "run.json", "-o", "two")
    assert (answer.code, answer.err) == (0, "")
    assert snapshot(hwsim.folder / "one") == snapshot(hwsim.folder / "two")
    assert hwsim("report", "run.json", "-o", "two").code == 0
    assert snapshot(hwsim.folder / "one") == snapshot(hwsim.folder / "two")


def test_report_replaces_an_earlier_report_and_nothing_else(hwsim: Command) -> None:
    assert hwsim("run", "digits_cnn", *QUICK, "--report", "report").code == 0
    assert hwsim("run", "digits_cnn", *QUICK, "--report", "report", "--weight-bits", "3").code == 0
    document = RunDocument.model_validate_json((hwsim.folder / "report" / "run.json").read_bytes())
    assert document.quantization.weight_bits == 3
    assert [path.name for path in hwsim.folder.iterdir()] == ["report"]


def test_json_files_follow_the_umask_and_replace_older_ones(hwsim: Command) -> None:
    target = hwsim.folder / "layers.json"
    target.write_text("old")
    mask = os.umask(0o027)
    try:
        assert hwsim("inspect", "digits_cnn", "--json", target).code == 0
    finally:
        os.umask(mask)
    assert json.loads(target.read_text())["name"] == "digits_cnn"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(hwsim.folder.iterdir()) == [target]


def test_json_to_a_pipe_is_written_into_it(hwsim: Command) -> None:
    """/dev/stdout and /dev/null are places to write to, not files to put another in the place of."""
    import threading

    pipe = hwsim.folder / "pipe"
    os.mkfifo(pipe)
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append(pipe.read_text()), daemon=True)
    reader.start()
    assert hwsim("inspect", "digits_cnn", "--json", pipe).code == 0
    reader.join(30)
    assert json.loads(texts[0])["name"] == "digits_cnn"
    assert pipe.is_fifo()


def test_a_network_given_by_its_file_runs_on_the_data_it_was_made_for(hwsim: Command) -> None:
    answer = hwsim("run", BUNDLED[0].path, *QUICK, "--json", "run.json")
    assert answer.code == 0
    document = RunDocument.model_validate_json((hwsim.folder / "run.json").read_bytes())
    assert document.data.name == "digits"
    assert document.model.name == BUNDLED[0].path.stem


def test_a_quantized_tflite_model_runs_with_pixels_as_its_makers_feed_them(
    hwsim: Command, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(data_root))
    model = data_root / "mlperf_tiny" / "resnet8_int8.tflite"
    answer = hwsim("run", model, "--data", "cifar10", "--images", "200", "--observe", "1", "--json", "run.json")
    assert (answer.code, answer.err) == (0, "")
    document = RunDocument.model_validate_json((hwsim.folder / "run.json").read_bytes())
    assert document.model.quantized_by == "model"
    assert document.accuracy.top1 > 0.8
    assert document.accuracy.float32 is not None and document.accuracy.float32.source == "dequantized model"
