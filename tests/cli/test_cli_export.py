"""``hwsim export`` as a user calls it, and what it wrote read by ``hwsim scalesim``."""

from __future__ import annotations

import json

from command import Command


def test_files_for_three_tools(hwsim: Command) -> None:
    """digits_mobilenet has 12 layers with products, three of them depthwise with 48, 64 and 96 channels."""
    answer = hwsim("export", "digits_mobilenet", "-o", "out", "--weight-bits", "4")
    assert answer.code == 0, answer
    assert "3 layers without products are left out" in answer.out
    folder = hwsim.folder / "out"
    assert len(list((folder / "timeloop").iterdir())) == 12
    assert "W: 4, I: 8, O: 32, O_final: 8" in (folder / "zigzag" / "digits_mobilenet.yaml").read_text("utf-8")
    files = folder / "scalesim" / "edge-16x16.cfg", folder / "scalesim" / "digits_mobilenet.csv"
    answer = hwsim("scalesim", *files)
    assert answer.code == 0, answer
    assert "DP x 48" in answer.out and "DP x 96" in answer.out


def test_what_cannot_be_written_is_one_line(hwsim: Command) -> None:
    assert "no such file" in hwsim.refused("export", "digits_cnn", "-o", "out", "--accelerator", "none.toml")
    assert "--output must be a folder that can be written" in hwsim.refused(
        "export", "digits_cnn", "-o", "/proc/none/out"
    )
    assert "2 to 16" in hwsim.refused("export", "digits_cnn", "-o", "out", "--weight-bits", "40")


def test_a_network_quantized_here_as_onnx_qdq_scores_the_same(hwsim: Command) -> None:
    """What `hwsim run` says of the exported file is what it says of the network that it was made of."""
    bits = ("--weight-bits", "4", "--activation-bits", "8", "--calibration-images", "8")
    assert hwsim("export", "digits_cnn", "-o", "out", "--as", "onnx-qdq", *bits).code == 0
    options = ("--data", "digits", "--images", "40", "--observe", "2", "--requantize", "ort-float32")
    first = hwsim("run", "digits_cnn", *options, *bits)
    second = hwsim("run", "out/digits_cnn_qdq.onnx", *options)
    assert first.code == second.code == 0, second
    said = [[line for line in answer.out.splitlines() if line.startswith("accuracy")] for answer in (first, second)]
    assert said[0] == said[1] and len(said[0]) == 1


def test_odd_widths_as_qonnx(hwsim: Command) -> None:
    answer = hwsim(
        "export", "digits_cnn", "-o", "out", "--as", "qonnx", "--weight-bits", "3", "--activation-bits", "5"
    )  # fmt: skip
    assert answer.code == 0, answer
    said = hwsim("inspect", "out/digits_cnn_qonnx.onnx")
    assert said.code == 0 and said.out.count("3/5") == 4, said


def test_weight_memories(hwsim: Command) -> None:
    answer = hwsim("export", "digits_cnn", "-o", "out", "--as", "weights", "--weight-bits", "5", "--word-bits", "80")
    assert answer.code == 0, answer
    manifest = json.loads((hwsim.folder / "out" / "manifest.json").read_text("utf-8"))
    files = [file["name"] for layer in manifest["layers"] for part in ("weights", "bias")
             for file in layer[part]["files"].values()]  # fmt: skip
    assert {path.name for path in (hwsim.folder / "out").iterdir()} == {*files, "manifest.json", "parameters.json"}
    first = (hwsim.folder / "out" / files[2]).read_text("utf-8").splitlines()[0]
    assert files[2].endswith(".hex") and len(first) == 20


def test_what_a_format_cannot_hold_is_one_line(hwsim: Command) -> None:
    said = hwsim.refused("export", "digits_cnn", "-o", "out", "--as", "onnx-qdq", "--weight-bits", "5")
    assert "node conv1_conv (conv2d): format of 'conv1.weight' must be one that ONNX QDQ has" in said, said
    assert "--as qonnx and --as weights take any width" in said and "not int5" in said
    assert "--word-bits must be left out" in hwsim.refused("export", "digits_cnn", "-o", "out", "--word-bits", "64")
    assert "word_bits must be a multiple of 8" in hwsim.refused(
        "export", "digits_cnn", "-o", "out", "--as", "weights", "--word-bits", "12"
    )
