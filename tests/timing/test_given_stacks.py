"""Layers that a user wants executed together: as they are given, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.spec import PRESETS, InputError
from timing.test_depth_first import document, fused

STACK = '[[stacks]]\nlayers = ["conv1_conv", "conv2_conv"]\nrows = 2\n'


def test_a_given_stack_is_executed_as_it_is_given(tmp_path: Path) -> None:
    """conv1 and conv2 of the digits network, 8 x 8 pixels, 2 lines at a time: the bytes between them stay on chip."""
    path = tmp_path / "tiles.toml"
    path.write_text(STACK)
    found = document("digits_cnn", fused(PRESETS[0]), path)
    conv1, conv2 = found.layers[:2]
    assert conv1.tiling is not None and conv2.tiling is not None
    assert conv1.tiling.stack == conv2.tiling.stack == ("conv1_conv", "conv2_conv")
    assert (conv1.tiling.height, conv2.tiling.height, conv2.tiling.tiles) == (3, 2, 4)
    assert conv1.output_on_chip and not conv1.dram_bytes.activations_out
    assert found.notes[0].startswith("Tiles are given: layers that differ from what the search finds: ")


REFUSED = {
    "no line": (STACK.replace("2\n", "0\n"), "stacks.0.rows must be an integer from 1 to 8, not 0"),
    "too many lines": (STACK.replace("2\n", "9\n"), "stacks.0.rows must be an integer from 1 to 8, not 9"),
    "a layer twice": (
        STACK + STACK, "stacks.1.layers must be in one stack only, not conv1_conv, conv2_conv"
    ),
    "no neighbours": (
        STACK.replace("conv2_conv", "conv3_conv"),
        "stacks.0.layers must be two or more neighbours with windows and no tiles of their own, each the only reader of",
    ),
    "a layer alone": (STACK.replace('"conv1_conv", ', ""), "stacks.0.layers must be two or more neighbours"),
    "tiles of its own": (
        '[layers.conv1_conv]\norder = "weights"\nheight = 8\nwidth = 8\nchannels = 16\n' + STACK,
        "stacks.0.layers must be two or more neighbours with windows and no tiles of their own",
    ),
    "half a stack": ('[[stacks]]\nlayers = ["conv1_conv"]\n', "stacks.0.rows must be field required"),
    "another key": (STACK + "lines = 3\n", "stacks.0.lines is not a known key; allowed are layers, rows"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_stack_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tiles.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        document("digits_cnn", fused(PRESETS[0]), path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_stacks_need_room_and_a_machine_that_has_them(tmp_path: Path) -> None:
    path = tmp_path / "tiles.toml"
    path.write_text(STACK)
    with pytest.raises(InputError) as error:
        document("digits_cnn", PRESETS[0], path)
    assert str(error.value) == f'{path}: stacks must be left out without fusion = "depth_first" in [memory], not given'
    with pytest.raises(InputError) as error:
        document("digits_cnn", fused(PRESETS[0], sram_bytes=4000), path)
    assert str(error.value).startswith(
        f"{path}: buffers must hold the weights and 2 lines of conv1_conv, conv2_conv, not 4000 bytes of SRAM"
    )
