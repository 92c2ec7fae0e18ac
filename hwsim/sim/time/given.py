"""Tilings that a user gives: a TOML file with a table per layer, which ``hwsim time --write-tiles`` also writes.

    schema_version = 1
    [layers."conv_1"]
    order = "weights"     # what the outer loop keeps: weights | activations | outputs
    height = 8            # output rows, columns and channels of a tile
    width = 8
    channels = 16
    products = 27         # of an output, summed at a time; less than all only in the order outputs
    output = "chip"       # where the layer's output goes: chip | DRAM

    [[stacks]]            # with `fusion = "depth_first"` in the machine's [memory]
    layers = ["conv_2", "conv_3"]
    rows = 4              # lines of the last one's output in a step

A layer that is left out, or has `output` alone, is cut as the search finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from hwsim.memory.given_tiling import tiling_of
from hwsim.memory.tiling import Order, TileProblem, Tiling
from hwsim.sim.accelerator_file import Integer, Table, read_table, toml_text
from hwsim.sim.document_parts import LayerTimes
from hwsim.spec import InputError

Place = Literal["chip", "DRAM"]


class LayerTiles(Table):
    """How one layer is cut, and where its output goes."""

    order: Order | None = None
    height: Integer | None = None
    width: Integer | None = None
    channels: Integer | None = None
    products: Integer | None = None
    output: Place | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        cut = {name: getattr(self, name) for name in ("order", "height", "width", "channels")}
        missing = [name for name, value in cut.items() if value is None]
        if missing and (len(missing) < len(cut) or self.products is not None):
            raise ValueError(f"given with order, height, width and channels together; missing: {', '.join(missing)}")
        return self

    def tiling(self, problem: TileProblem) -> Tiling | None:
        """Return the tiling, None where there is none."""
        if self.order is None or self.height is None or self.width is None or self.channels is None:
            return None
        return tiling_of(problem, self.order, self.height, self.width, self.channels, self.products)


class StackLines(Table):
    """Layers that are executed together, see `hwsim.memory.depth_first`."""

    layers: tuple[str, ...]
    rows: Integer


class TilesFile(Table):
    """The whole file."""

    schema_version: Literal[1] = 1
    layers: dict[str, LayerTiles] = Field(default={})
    stacks: tuple[StackLines, ...] = ()


@dataclass(frozen=True)
class GivenTiles:
    """What a file says of the layers of a network.

    Parameters
    ----------
    layers
        By name.
    stacks
        Layers that are executed together.
    source
        What errors begin with.
    """

    layers: Mapping[str, LayerTiles] = field(default_factory=dict)
    stacks: tuple[StackLines, ...] = ()
    source: str = "tiles"

    def error(self, text: str) -> InputError:
        """Return an error that names the file."""
        return InputError(f"{self.source}: {text}")


def load_tiles(path: Path) -> GivenTiles:
    """Read a file.

    Raises
    ------
    InputError
        One line that names the file, the field and what is allowed.
    """
    table = read_table(path, TilesFile)
    return GivenTiles(table.layers, table.stacks, str(path))


def tiles_text(layers: Iterable[LayerTimes]) -> str:
    """Return the file that cuts the layers of a document as they are, and puts their outputs where they are."""
    lines, stacks = ["schema_version = 1"], []
    for layer in layers:
        place = "chip" if layer.output_on_chip else "DRAM" if layer.dram_bytes.activations_out else None
        tiles = layer.tiling.model_dump(exclude={"tiles"}) if layer.tiling is not None else {}
        members = tiles.pop("stack", ())
        if members:
            if layer.name != members[-1]:
                continue
            names = ", ".join(map(toml_text, members))
            stacks += ["", "[[stacks]]", f"layers = [{names}]", f"rows = {tiles['height']}"]
            tiles = {}
        if not layer.macs:
            tiles.pop("products", None)
        given = {**tiles, "output": place} if place else tiles
        if given:
            lines += ["", f"[layers.{toml_text(layer.name)}]"]
            lines += [
                f"{key} = {toml_text(value) if isinstance(value, str) else value}" for key, value in given.items()
            ]
    return "\n".join(lines + stacks) + "\n"
