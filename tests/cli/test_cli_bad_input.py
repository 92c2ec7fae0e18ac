"""Bad input: exit code 2, one line that says what to change, no traceback, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cli.command import QUICK, Command
from hwsim.models.catalog import BUNDLED
from hwsim.sim.document import RunDocument

MODEL = BUNDLED[0].path

OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "weights of 1 bit": (("--weight-bits", "1"), "weight_bits must be an integer from 2 to 16, not 1"),
    "weights of 17 bits": (("--weight-bits", "17"), "weight_bits must be an integer from 2 to 16, not 17"),
    "weights of no bits": (("--weight-bits", "0"), "weight_bits must be an integer from 2 to 16, not 0"),
    "activations of 1 bit": (("--activation-bits", "1"), "activation_bits must be an integer from 2 to 16, not 1"),
    "7-bit accumulator": (
        ("--acc", "7:wrap"),
        "--acc must be BITS:wrap or BITS:saturate with BITS from 8 to 48, not '7:",
    ),
    "no overflow mode": (("--acc", "16"), "--acc must be BITS:wrap or BITS:saturate"),
    "unknown overflow mode": (("--acc", "16:clip"), "--acc must be BITS:wrap or BITS:saturate"),
    "psum without chain": (("--psum", "16:wrap"), "psum must be given together with chain"),
    "chain without psum": (("--chain", "16"), "psum must be given together with chain"),
    "bad psum": (("--psum", "49:wrap", "--chain", "4"), "--psum must be BITS:wrap or BITS:saturate"),
    "tree without lanes": (("--tree", "16:wrap"), "lanes must be at least 2 when tree is given, not 1"),
    "no lanes": (("--lanes", "0"), "lanes must be an integer from 1 to 256, not 0"),
    "too narrow for the bias": (
        ("--acc", "9:saturate"),
        "digits_cnn: node conv1_conv (conv2d): acc must hold the bias, which is ",
    ),
    "no images": (("--images", "0"), "images must be 1 or more, not 0"),
    "negative images": (("--images", "-3"), "images must be 1 or more, not -3"),
    "no calibration": (("--calibration-images", "0"), "calibration_images must be 1 or more, not 0"),
    "nothing observed": (("--observe", "0"), "observed must be 1 or more, not 0"),
    "no threads": (("--threads", "0"), "threads must be 1 to 256, not 0"),
    "no frames": (("--fps", "0"), "frames per second must be positive and below 1e9, not 0.0"),
    "std of 0": (("--input-std", "0"), "input std must be positive, not [0.0]"),
    "std of infinity": (("--input-std", "inf"), "input std must be finite, not [inf]"),
    "mean that is no number": (
        ("--input-mean", "grey"),
        "--input-mean must be a number, or one per channel with commas",
    ),
    "mean of NaN": (("--input-mean", "nan"), "input mean must be finite, not [nan]"),
    "mean of an empty list": (("--input-mean", ","), "--input-mean must be a number, or one per channel"),
    "means for other channels": (("--input-mean", "1,2"), "input mean must be 1 or 1 numbers, not [1.0, 2.0]"),
    "unknown preset": (
        ("--accelerator", "edge"),
        "accelerator must be edge-16x16, micro-4x4, server-128x128, tpu-psum16",
    ),
    "missing TOML": (
        ("--accelerator", "a.toml"),
        "accelerator must be edge-16x16, micro-4x4, server-128x128, tpu-psum16",
    ),
    "unknown data": (
        ("--data", "imagenet"),
        "data must be digits, cifar10, mnist, imagenet_sample, mlperf_tiny_ic, a folder",
    ),
    "missing data": (
        ("--data", "here.npz"),
        "data must be digits, cifar10, mnist, imagenet_sample, mlperf_tiny_ic, a folder",
    ),
    "data without a folder": (("--data", "cifar10"), "data set cifar10 must be at HWSIM_DATA/"),
    "a name that is too long": (("--data", "x" * 5000), "xxx"),
    "json below a missing folder": (
        ("--json", "no/run.json"),
        "--json must be in a folder that can be written, not no/",
    ),
    "json that is a folder": (("--json", "."), "--json must be a file, not the folder ."),
    "json with an impossible name": (("--json", "x" * 300), "--json must be a file that can be written, not xxx"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_impossible_options(options: tuple[str, ...], message: str, hwsim: Command) -> None:
    assert hwsim.refused("run", "digits_cnn", *options).startswith(message)


@pytest.mark.parametrize(
    "options", [("--images", "many"), ("--bias-at", "middle"), ("--nothing",), ("--acc",)], ids=str
)
def test_usage_errors_are_the_parsers_own(options: tuple[str, ...], hwsim: Command) -> None:
    answer = hwsim("run", "digits_cnn", *options)
    assert answer.code == 2
    assert "Error" in answer.err
    assert "Traceback" not in answer.err


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    """Return the bundled network with a change."""
    model = onnx.load(MODEL)
    change(model)
    return bytes(model.SerializeToString())


def without_scaling(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def with_nan(model: onnx.ModelProto) -> None:
    weights = next(w for w in model.graph.initializer if len(w.dims) == 4)
    values = numpy_helper.to_array(weights).copy()
    values[0, 0, 1, 1] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))


def with_unknown_operator(model: onnx.ModelProto) -> None:
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    pool.op_type = "LpPool"
    del pool.attribute[:]
    pool.attribute.append(onnx.helper.make_attribute("kernel_shape", [2, 2]))


MODELS: dict[str, tuple[str, Callable[[], bytes], tuple[str, ...]]] = {
    "truncated ONNX": ("m.onnx", lambda: MODEL.read_bytes()[:20_000], ("m.onnx: ",)),
    "ONNX of a few bytes": ("m.onnx", lambda: MODEL.read_bytes()[:7], ("m.onnx",)),
    "empty ONNX": ("m.onnx", lambda: b"", ("m.onnx",)),
    "corrupt ONNX": ("m.onnx", lambda: bytes(np.random.default_rng(1).integers(0, 256, 5000, np.uint8)), ("m.onnx: ",)),
    "empty TFLite": ("m.tflite", lambda: b"", ("m.tflite: ",)),
    "corrupt TFLite": ("m.tflite", lambda: b"\x18\0\0\0TFL3" + bytes(range(256)), ("m.tflite: ",)),
    "ONNX named TFLite": ("m.tflite", MODEL.read_bytes, ("m.tflite: ",)),
    "NaN in the weights": ("m.onnx", lambda: changed(with_nan), ("m.onnx: ", "finite")),
    "an unknown operator": ("m.onnx", lambda: changed(with_unknown_operator), ("LpPool", "pool1")),
    "no scaling": ("m.onnx", lambda: changed(without_scaling), ("--input-mean and --input-std",)),
    "another suffix": ("m.pb", MODEL.read_bytes, ("model must be a file ending in .tflite or .onnx",)),
}


@pytest.mark.parametrize("command", ["run", "inspect"])
@pytest.mark.parametrize(("name", "content", "words"), MODELS.values(), ids=MODELS)
def test_bad_models(
    command: str, name: str, content: Callable[[], bytes], words: tuple[str, ...], hwsim: Command
) -> None:
    write(hwsim.folder / name, content())
    if command == "inspect" and "--input-mean" in words[0]:
        assert hwsim("inspect", name).code == 0
        return
    options = ("--data", "digits", "--json", "r.json", "--report", "r") if command == "run" else ("--json", "r.json")
    line = hwsim.refused(command, name, *options)
    for word in words:
        assert word in line


@pytest.mark.parametrize("name", ["missing.onnx", "missing.tflite", "digits_rnn", "", ".", "no/such/folder.onnx"])
def test_models_that_are_not_there(name: str, hwsim: Command) -> None:
    for command in (("inspect",), ("run", "--data", "digits"), ("bench",)):
        assert hwsim.refused(command[0], name, *command[1:]).startswith("model must be ")


def test_a_truncated_tflite_model(hwsim: Command, data_root: Path) -> None:
    content = (data_root / "mlperf_tiny" / "kws_dscnn_int8.tflite").read_bytes()
    for length in (8, 100, len(content) // 3, len(content) - 2000):
        write(hwsim.folder / "m.tflite", content[:length])
        assert hwsim.refused("run", "m.tflite", "--data", "digits").startswith("m.tflite: ")


def test_a_float_tflite_model_asks_for_a_scaling(
    hwsim: Command, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(data_root))
    line = hwsim.refused("run", data_root / "mlperf_tiny" / "resnet8_float.tflite", "--data", "cifar10")
    assert "give --input-mean and --input-std" in line


def test_a_model_that_nobody_knows_the_data_of(hwsim: Command) -> None:
    write(hwsim.folder / "m.onnx", MODEL.read_bytes())
    assert hwsim.refused("run", "m.onnx").startswith("--data must be given for m.onnx: digits, cifar10, mnist")


def test_activations_that_float32_cannot_hold(hwsim: Command) -> None:
    """Finite weights whose sums are not."""

    def heavy(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 4:
                values = numpy_helper.to_array(tensor) * np.float32(1e25)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    write(hwsim.folder / "m.onnx", changed(heavy))
    with np.errstate(all="ignore"):
        line = hwsim.refused("run", "m.onnx", "--data", "digits", *QUICK)
    assert "must be finite in float32" in line


def folder_without_images(folder: Path) -> str:
    (folder / "set" / "cat").mkdir(parents=True)
    (folder / "set" / "cat" / "notes.txt").write_text("no image")
    return "set"


def npz(**arrays: np.ndarray) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.savez(folder / "set.npz", **arrays)
        return "set.npz"

    return make


def broken_image(folder: Path) -> str:
    (folder / "set").mkdir()
    (folder / "set" / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    return "set"


IMAGES, LABELS = np.zeros((3, 8, 8, 1), np.float32), np.zeros(3, np.int64)
DATA: dict[str, tuple[Callable[[Path], str], str]] = {
    "a folder without images": (folder_without_images, "set/cat must be a class folder with images"),
    "an npz without labels": (npz(inputs=IMAGES), "set.npz: arrays must be inputs and labels, not 'inputs'"),
    "an npz of another shape": (
        npz(inputs=IMAGES[:, :7], labels=LABELS),
        "data set set.npz: sample shape must be that of",
    ),
    "an npz of integers": (npz(inputs=IMAGES.astype(np.uint8), labels=LABELS), "data set set.npz: dtype must be float"),
    "an npz of NaN": (npz(inputs=IMAGES * np.nan, labels=LABELS), "set.npz: inputs must be finite"),
    "labels out of range": (
        npz(inputs=IMAGES, labels=LABELS + 10),
        "data set set.npz: labels must be below the 10 outputs",
    ),
    "labels below zero": (npz(inputs=IMAGES, labels=LABELS - 1), "set.npz: labels must be from 0"),
    "too few labels": (npz(inputs=IMAGES, labels=LABELS[:2]), "set.npz: labels must be of shape [3]"),
    "a broken image": (broken_image, ""),
}


@pytest.mark.parametrize(("make", "message"), DATA.values(), ids=DATA)
def test_bad_data(make: Callable[[Path], str], message: str, hwsim: Command) -> None:
    name = make(hwsim.folder)
    assert hwsim.refused("run", "digits_cnn", "--data", name, "--report", "r").startswith(message)


def test_a_scaling_for_tensors(hwsim: Command) -> None:
    npz(inputs=IMAGES, labels=LABELS)(hwsim.folder)
    line = hwsim.refused("run", "digits_cnn", "--data", "set.npz", "--input-mean", "3")
    assert line.startswith("data set set.npz: input mean and std must be left out for tensors")


def test_a_bad_accelerator_file(hwsim: Command) -> None:
    (hwsim.folder / "a.toml").write_text("rows = 0\n")
    line = hwsim.refused("run", "digits_cnn", "--accelerator", "a.toml")
    assert line == "a.toml: rows must be an integer from 1 to 4096, not 0"


PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "json below a file": (("--json", "file/run.json"), "--json must be in a folder that can be written"),
    "report below a file": (
        ("--report", "file/sub/report"),
        "--report must be in a folder that can be written, not file/",
    ),
    "report that is a file": (("--report", "file"), "report folder must be empty or an earlier hwsim report, not file"),
    "report among foreign files": (("--report", "home"), "report folder must be empty or an earlier hwsim report"),
    "report with a long name": (("--report", "x" * 5000), "report folder must be writable"),
}


@pytest.mark.parametrize(("options", "message"), PLACES.values(), ids=PLACES)
def test_places_that_cannot_be_written(options: tuple[str, ...], message: str, hwsim: Command) -> None:
    """Refused before the work: the model is missing too, and is not what is complained about."""
    (hwsim.folder / "file").write_text("mine")
    (hwsim.folder / "home").mkdir()
    (hwsim.folder / "home" / "thesis.tex").write_text("mine")
    assert hwsim.refused("run", "missing.onnx", *options).startswith(message)


def test_report_of_something_else(hwsim: Command) -> None:
    (hwsim.folder / "a.json").write_text('{"schema_version": 2}')
    (hwsim.folder / "b.json").write_bytes(bytes(range(256)))
    assert hwsim.refused("report", "a.json", "-o", "r").startswith("a.json: not a document of hwsim run: model: ")
    assert hwsim.refused("report", "b.json", "-o", "r").startswith(
        "b.json: not a document of hwsim run: the document: "
    )
    assert hwsim.refused("report", "c.json", "-o", "r").startswith("RESULTS must be a readable file, not c.json")
    assert hwsim.refused("report", ".", "-o", "r").startswith("RESULTS must be a folder of hwsim sweep, not .")


def test_report_of_another_version_and_into_a_foreign_folder(hwsim: Command) -> None:
    assert hwsim("run", "digits_cnn", *QUICK, "--json", "run.json").code == 0
    text = (hwsim.folder / "run.json").read_text()
    (hwsim.folder / "old.json").write_text(text.replace('"schema_version": 2', '"schema_version": 99'))
    assert hwsim.refused("report", "old.json", "-o", "r").startswith(
        "old.json: not a document of hwsim run: schema_version"
    )
    (hwsim.folder / "home").mkdir()
    (hwsim.folder / "home" / "thesis.tex").write_text("mine")
    assert hwsim.refused("report", "run.json", "-o", "home").startswith("report folder must be empty or an earlier")
    assert RunDocument.model_validate_json(text).schema_version == 2


def test_bench_needs_an_integer_tflite_model(hwsim: Command) -> None:
    assert hwsim.refused("bench", "digits_cnn").startswith("model must be an integer .tflite file")
    assert hwsim.refused("bench", "digits_cnn", "--rounds", "0").startswith("--rounds must be 1 to 100, not 0")
    assert hwsim.refused("bench", "--shapes", "lenet").startswith("--shapes must be resnet18 or resnet50, not 'lenet'")
    for both in ((), ("digits_cnn", "--shapes", "resnet18")):
        assert hwsim.refused("bench", *both).startswith("MODEL must be given, or --shapes in its place, not ")


def test_a_failure_while_writing_leaves_the_old_json(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    target = hwsim.folder / "layers.json"
    target.write_text("old")

    def fails(self: Path, other: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    line = hwsim.refused("inspect", "digits_cnn", "--json", "layers.json")
    assert line == "--json must be a file that can be written, not layers.json (No space left on device)"
    assert target.read_text() == "old"
