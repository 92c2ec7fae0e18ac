"""SCALE-Sim topology files: convolutions and GEMMs, with the rules by which SCALE-Sim 3 reads and counts them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from hwsim.scalesim.files import read_text, whole_number
from hwsim.spec import InputError, require

CONV_FIELDS = (
    "IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides",
)  # fmt: skip
GEMM_FIELDS = ("M", "N", "K")
MOST_LAYERS = 100_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution without padding, batch, groups or dilation, which is all that the format knows.

    Parameters
    ----------
    name
        Any text without a comma.
    ifmap_height, ifmap_width, channels
        Of the input; padding is part of it.
    filter_height, filter_width, filters
        Of the weights.
    stride
        In both directions.
    """

    name: str
    ifmap_height: int
    ifmap_width: int
    filter_height: int
    filter_width: int
    channels: int
    filters: int
    stride: int = 1

    @classmethod
    def gemm(cls, name: str, m: int, n: int, k: int) -> Layer:
        """Return ``[m, k] x [k, n]`` the way SCALE-Sim reads it: an image of m lines of k, and filters of one line."""
        return cls(name, m, k, 1, k, 1, n)

    @property
    def ofmap_height(self) -> int:
        """Output lines, the last of which may see only part of its window: the division is rounded up."""
        return -(-(self.ifmap_height - self.filter_height + self.stride) // self.stride)

    @property
    def ofmap_width(self) -> int:
        """As `ofmap_height`."""
        return -(-(self.ifmap_width - self.filter_width + self.stride) // self.stride)

    @property
    def pixels(self) -> int:
        """Output pixels: M."""
        return self.ofmap_height * self.ofmap_width

    @property
    def window(self) -> int:
        """Elements of a window: K."""
        return self.filter_height * self.filter_width * self.channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those of partial windows counted as whole ones."""
        return self.pixels * self.window * self.filters


def read_topology(path: Path) -> tuple[Layer, ...]:
    """Return the layers of a file; see `parse_topology`."""
    return parse_topology(read_text(path), str(path))


def parse_topology(text: str, name: str) -> tuple[Layer, ...]:
    """Return the layers of a text in SCALE-Sim's format.

    The first line is a header, whatever it holds. A row of three numbers is a GEMM (M, N, K), one of seven a convolution; a
    sparsity ratio ``N:M`` may follow, which dense runs ignore. Rows end with a comma, which may be missing here. A layer with
    ``DP`` in its name stands for one layer per channel.

    Parameters
    ----------
    text
        Of the file.
    name
        The file's, for messages.

    Raises
    ------
    InputError
        One line that names the file, the line, the field, the value and what is allowed.
    """
    layers: list[Layer] = []
    rows = text.splitlines()
    header = [field.strip() for field in rows[0].split(",")] if rows else []
    require(
        bool(header) and not any(field.lstrip("+-").isdigit() for field in header[1:]),
        f"{name}: line 1", "a header (SCALE-Sim skips it, whatever it holds)", repr(rows[0].strip() if rows else ""),
    )  # fmt: skip
    for number, row in enumerate(rows[1:], 2):
        if row.strip():
            layer = _layer(f"{name}: line {number}", row.strip())
            channels = layer.channels if "DP" in layer.name else 1
            require(
                len(layers) + channels <= MOST_LAYERS,
                f"{name}: layers",
                f"at most {MOST_LAYERS}",
                len(layers) + channels,
            )
            layers.extend(_by_channel(layer) if "DP" in layer.name else [layer])
    require(bool(layers), f"{name}: layers", "one or more below the header", 0)
    return tuple(layers)


def topology_text(layers: Iterable[Layer]) -> str:
    """Return a file of convolutions that SCALE-Sim 3 reads."""
    rows = [", ".join(("Layer name", *CONV_FIELDS))]
    for layer in layers:
        good = "," not in layer.name and layer.name.isprintable() and bool(layer.name.strip())
        require(good, "layer name", "a text without a comma", repr(layer.name))
        rows.append(", ".join(map(str, astuple(layer))))
    return "".join(f"{row},\n" for row in rows)


def _layer(where: str, row: str) -> Layer:
    fields = [field.strip() for field in row.removesuffix(",").split(",")]
    sizes = fields[1:-1] if ":" in fields[-1] else fields[1:]
    if len(sizes) not in (len(GEMM_FIELDS), len(CONV_FIELDS)):
        raise InputError(
            f"{where}: row must be a name and {len(CONV_FIELDS)} numbers ({', '.join(CONV_FIELDS)}) or {len(GEMM_FIELDS)} "
            f"({', '.join(GEMM_FIELDS)}), not {row!r}"
        )
    names = CONV_FIELDS if len(sizes) == len(CONV_FIELDS) else GEMM_FIELDS
    values = [whole_number(where, field, text, 1) for field, text in zip(names, sizes, strict=True)]
    layer = Layer(fields[0], *values) if names is CONV_FIELDS else Layer.gemm(fields[0], *values)
    for field, size, most in (
        ("Filter Height", layer.filter_height, layer.ifmap_height),
        ("Filter Width", layer.filter_width, layer.ifmap_width),
    ):
        require(size <= most, f"{where}: {field}", f"at most the input's {most}", size)
    return layer


def _by_channel(layer: Layer) -> list[Layer]:
    return [replace(layer, name=f"{layer.name}Channel_{channel}", channels=1) for channel in range(layer.channels)]
