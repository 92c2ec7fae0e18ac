"""``hwsim export`` as a user calls it, and what it wrote read by ``hwsim scalesim``."""

from __future__ import annotations

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
