"""Tiles that a user gives: their figures against a simulation, the way there and back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.load import load_model
from hwsim.memory.compression import SCHEMES
from hwsim.memory.given_tiling import tiling_of
from hwsim.memory.steps import steps_of
from hwsim.memory.tiling import Order, Room, TileProblem
from hwsim.memory.tiling_table import tiling_table
from hwsim.sim.document import TimeDocument
from hwsim.sim.time.given import load_tiles, tiles_text
from hwsim.sim.time.run import time_model
from hwsim.spec import PRESETS, Accelerator, Dataflow, Datapath, InputError, Memory
from timing.tile_oracle import simulate
from timing.time_cases import problem, problems

MODEL = load_model("digits_cnn")
MOBILENET = load_model("digits_mobilenet")


@st.composite
def given_tilings(draw: st.DrawFn) -> tuple[TileProblem, Order, int, int, int, int]:
    """Draw a layer and tiles of any legal size, most of which the search does not look at."""
    layer = draw(problems())
    high, wide = layer.sliding.output
    orders: list[Order] = ["weights"]
    if layer.groups == 1:
        parts = layer.accumulators and layer.products > layer.product_step
        orders += ["activations", "outputs"] if parts else ["activations"]
    order = draw(st.sampled_from(orders))
    height = draw(st.integers(1, high))
    width = draw(st.integers(1, wide))
    channels = min(draw(st.integers(1, layer.units)) * layer.unit_channels, layer.channels)
    products = layer.products
    if order == "outputs":
        height = min(height, layer.accumulators)
        width = min(width, layer.accumulators // height)
        channels = min(layer.unit_channels, layer.channels)
        products = draw(st.integers(1, (layer.products - 1) // layer.product_step)) * layer.product_step
    return layer, order, height, width, channels, products


@settings(max_examples=30, deadline=None, derandomize=True)
@given(given_tilings())
def test_any_legal_tiles_are_what_their_loops_move_and_need(
    drawn: tuple[TileProblem, Order, int, int, int, int],
) -> None:
    layer, order, height, width, channels, products = drawn
    table = tiling_table(layer, tiling_of(layer, order, height, width, channels, products))
    found = simulate(layer, order, height, width, channels, products)
    assert (table.weight_bytes, table.input_bytes, table.output_bytes, table.residual_bytes) == (
        found.weights, found.inputs, found.outputs, found.residual,
    )  # fmt: skip
    assert (table.weight_need, table.input_need, table.output_need) == (
        found.weight_need, found.input_need, found.output_need,
    )  # fmt: skip
    assert table.tiles == found.steps
    steps = steps_of(layer, table.tiling(0), Room(1 << 40))
    moved = (steps.weight_bytes, steps.input_bytes, steps.output_bytes, steps.residual_bytes)
    assert [int(part.sum()) for part in moved] == [found.weights, found.inputs, found.outputs, found.residual]


MACHINES: dict[str, Accelerator] = {
    "the preset": PRESETS[0],
    "little room": replace(PRESETS[0], memory=Memory(sram_bytes=4000)),
    "a buffer for each": replace(
        PRESETS[0],
        memory=Memory(weight_sram_bytes=2500, activation_sram_bytes=2000, result_sram_bytes=700, double_buffered=False),
    ),
    "output stationary": replace(PRESETS[1], dataflow=Dataflow.OUTPUT_STATIONARY, memory=Memory(sram_bytes=3000)),
    "input stationary": replace(PRESETS[1], dataflow=Dataflow.INPUT_STATIONARY, memory=Memory(sram_bytes=5000)),
    "adds fused": replace(PRESETS[0], datapath=Datapath(fused=("add",)), memory=Memory(sram_bytes=6000)),
}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_a_written_file_given_back_gives_the_same_document(machine: Accelerator, tmp_path: Path) -> None:
    path = tmp_path / "tiles.toml"
    for model in (MODEL, MOBILENET):
        document = time_model(model, machine)
        path.write_text(tiles_text(document.layers))
        again = time_model(model, machine, tiles=load_tiles(path))
        assert again.to_json() == document.to_json()
        assert tiles_text(again.layers) == path.read_text()


def test_compressed_weights_go_there_and_back_too(tmp_path: Path, data_root: Path) -> None:
    model = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite")
    document = time_model(model, PRESETS[0], compression=SCHEMES[0])
    path = tmp_path / "tiles.toml"
    path.write_text(tiles_text(document.layers))
    again = time_model(model, PRESETS[0], compression=SCHEMES[0], tiles=load_tiles(path))
    assert again.to_json() == document.to_json()


def timed(text: str, folder: Path, machine: Accelerator = PRESETS[0]) -> TimeDocument:
    """The digits network with these tiles."""
    path = folder / "tiles.toml"
    path.write_text(text)
    return time_model(MODEL, machine, tiles=load_tiles(path))


def test_a_given_tile_changes_its_layer_and_is_said_so(tmp_path: Path) -> None:
    """conv2: 3 x 3 windows, padded, on 8 x 8 pixels of 16 channels. Rows in tiles of 3, 3, 2 read 4 + 5 + 3 = 12 of 8 columns.

    Its input comes from the DRAM as conv1 is told: 12 * 8 * 16 = 1536 B, where it is 1024 B without tiles.
    """
    found = timed(
        '[layers.conv1_conv]\noutput = "DRAM"\n'
        '[layers.conv2_conv]\norder = "weights"\nheight = 3\nwidth = 8\nchannels = 32\n',
        tmp_path,
    )
    conv1, conv2 = found.layers[:2]
    assert (conv1.placement, conv1.dram_bytes.activations_out) == ("DRAM: as given", 1024)
    assert conv2.tiling is not None
    assert (conv2.tiling.height, conv2.tiling.tiles, conv2.dram_bytes.activations_in) == (3, 3, 1536)
    searched = time_model(MODEL, PRESETS[0])
    (note,) = found.notes
    assert note == (
        "Tiles are given: layers that differ from what the search finds: 2; the network moves "
        f"{found.total.dram_bytes.total} DRAM bytes in {found.total.cycles} cycles, and {searched.total.dram_bytes.total} DRAM "
        f"bytes in {searched.total.cycles} cycles as the search has it."
    )
    assert found.total.dram_bytes.total == searched.total.dram_bytes.total + 1024 + 1536


CUT = '[layers.conv2_conv]\norder = "weights"\nheight = 8\nwidth = 8\nchannels = 32\n'
PARTS = '[layers.conv2_conv]\norder = "outputs"\nheight = 8\nwidth = 8\nchannels = 16\nproducts = 48\n'
POOL = '[layers.pool1]\norder = "weights"\nheight = 2\nwidth = 2\nchannels = 1\n'

REFUSED = {
    "no such layer": ("[layers.conv7]\n", "layers.conv7 must be a layer of the network, not 'conv7'"),
    "no such key": ("[layers.pool1]\ntile = 3\n", "layers.pool1.tile is not a known key; allowed are order, height, "),
    "a key at the top": ("tiles = 3\n", "tiles is not a known key; allowed are schema_version, layers, stacks"),
    "another version": ("schema_version = 2\n", "schema_version must be 1, not 2"),
    "half a tile": (
        "[layers.pool1]\nheight = 3\n",
        "layers.pool1 must be given with order, height, width and channels together; missing: order, width, channels, not",
    ),
    "no such order": (CUT.replace("weights", "cows"), "layers.conv2_conv.order must be 'weights', 'activations' or "),
    "no rows": (CUT.replace("8", "0", 1), "layers.conv2_conv.height must be an integer from 1 to 8, the output's, not 0"),
    "half a row": (CUT.replace("8", "1.5", 1), "layers.conv2_conv.height must be a valid integer, not 1.5"),
    "too wide": (CUT.replace("width = 8", "width = 9"), "layers.conv2_conv.width must be an integer from 1 to 8, the"),
    "half a column of the array": (
        CUT.replace("32", "20"),
        "layers.conv2_conv.channels must be a multiple of 16 below 32, or 32, all of them, not 20",
    ),
    "too few products": (
        CUT + "products = 16\n",
        "layers.conv2_conv.products must be 144, or left out, in the order weights, not 16",
    ),
    "two columns of sums": (
        PARTS.replace("16", "32"),
        "layers.conv2_conv.channels must be 16, a column of the array, in the order outputs, not 32",
    ),
    "half a row of products": (
        PARTS.replace("48", "40"),
        "layers.conv2_conv.products must be a multiple of 16 below 144 in the order outputs, not 40",
    ),
    "all of the parts": (PARTS.replace("products = 48\n", ""), "layers.conv2_conv.products must be a multiple of 16 "),
    "a pooling that keeps activations": (
        POOL.replace('"weights"', '"activations"'),
        "layers.pool1.order must be weights for this layer and array, not activations",
    ),
    "another place": ('[layers.pool1]\noutput = "disk"\n', "layers.pool1.output must be 'chip' or 'DRAM', not 'disk'"),
    "the output on chip": (
        '[layers.logits]\noutput = "chip"\n',
        "layers.logits.output must be DRAM for what leaves the network, not chip",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_tile_of_a_layer_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        timed(text, tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'tiles.toml'}: {message}")
    assert "\n" not in str(error.value)


def test_layers_without_tiles_take_none(tmp_path: Path, data_root: Path) -> None:
    model, path = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite"), tmp_path / "tiles.toml"
    for name, text, message in (
        ("Identity_int8", POOL, "order must be left out, as the layer has no tiles (softmax), not weights"),
        ("model/flatten/Reshape", POOL, "order must be left out, as the layer has no tiles (reshape), not weights"),
        (
            "model/flatten/Reshape",
            '[layers.pool1]\noutput = "chip"\n',
            "output must be left out, as nothing of this layer",
        ),
    ):
        path.write_text(text.replace("pool1", f'"{name}"'))
        with pytest.raises(InputError) as error:
            time_model(model, PRESETS[0], tiles=load_tiles(path))
        assert str(error.value).startswith(f"{path}: layers.{name}.{message}")


def test_tiles_that_find_no_room_are_refused_with_what_they_need(tmp_path: Path) -> None:
    """3000 B: conv2's 32 * (144 + 9) B of weights are too many at once; conv1's 1024 and conv2's 2048 B find no room at once."""
    small = replace(PRESETS[0], memory=Memory(sram_bytes=3000))
    with pytest.raises(InputError) as error:
        timed(CUT, tmp_path, small)
    start = f"{tmp_path / 'tiles.toml'}: buffers must hold a tile of conv2_conv: sram_bytes at least "
    assert str(error.value).startswith(start)
    least = int(str(error.value).removeprefix(start).split(",")[0])
    # Weights with biases and scales, the image, and the results; all of them in one tile.
    assert least == 32 * (144 + 9) + 1024 + 2048
    kept = "".join(f'[layers.{name}]\noutput = "chip"\n' for name in ("conv1_conv", "conv2_conv"))
    with pytest.raises(InputError) as error:
        timed(kept, tmp_path, small)
    assert str(error.value) == (
        f"{tmp_path / 'tiles.toml'}: layers.conv2_conv.output must be DRAM here, not chip: beside the tensors that are kept on "
        "chip conv2_conv finds no room"
    )
    with pytest.raises(InputError, match=r"tiles must be left out on a machine without buffers, not given$"):
        timed(CUT, tmp_path, replace(PRESETS[0], memory=Memory(direct=True)))


def test_products_are_left_out_where_all_are_summed() -> None:
    layer = problem()
    assert tiling_of(layer, "weights", 7, 6, 10, None) == tiling_of(layer, "weights", 7, 6, 10, layer.products)
