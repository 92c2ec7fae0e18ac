"""SCALE-Sim configuration files: what the compatible mode needs of them, and writing them."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hwsim.scalesim.files import read_text, whole_number
from hwsim.spec import InputError, require

Dataflow = Literal["os", "ws", "is"]

MOST_KB = 1 << 20
"""The largest buffer: 1 GiB."""


@dataclass(frozen=True, slots=True)
class Config:
    """One machine of SCALE-Sim; a word is a byte there, whatever it holds.

    Parameters
    ----------
    run_name
        Names the folder of its reports.
    rows, cols
        Of the array: ArrayHeight, ArrayWidth.
    ifmap_kb, filter_kb, ofmap_kb
        Buffers in units of 1024 bytes, both halves together.
    dataflow
        ``os``, ``ws`` or ``is``.
    """

    run_name: str
    rows: int
    cols: int
    ifmap_kb: int
    filter_kb: int
    ofmap_kb: int
    dataflow: Dataflow

    def __post_init__(self) -> None:
        good = self.run_name.isprintable() and "/" not in self.run_name and self.run_name not in ("", ".", "..")
        require(good, "run_name", "a name of a folder", repr(self.run_name))


NUMBERS = {
    "rows": ("ArrayHeight", 4096),
    "cols": ("ArrayWidth", 4096),
    "ifmap_kb": ("IfmapSramSzkB", MOST_KB),
    "filter_kb": ("FilterSramSzkB", MOST_KB),
    "ofmap_kb": ("OfmapSramSzkB", MOST_KB),
}
"""By field: its name in ``[architecture_presets]`` and the largest value."""


def read_config(path: Path) -> Config:
    """Return the configuration of a file; see `parse_config`."""
    return parse_config(read_text(path), str(path))


def parse_config(text: str, name: str) -> Config:
    """Return the configuration of a text in SCALE-Sim's format.

    Sections and keys that do not change a figure in the mode that is reproduced (offsets, request buffers, ``[layout]``) may be
    missing, so that files of version 2 can be read. What would change one and is not reproduced is an error.

    Parameters
    ----------
    text
        Of the file.
    name
        The file's, for messages.

    Raises
    ------
    InputError
        One line that names the file, the section and key, the value and what is allowed.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, name)
    except configparser.Error as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from None
    _refuse_other_modes(parser, name)
    values = {
        field: whole_number(name, f"[architecture_presets] {key}", _value(parser, name, "architecture_presets", key), 1, most)
        for field, (key, most) in NUMBERS.items()
    }  # fmt: skip
    dataflow = _value(parser, name, "architecture_presets", "Dataflow")
    require(dataflow in get_args(Dataflow), f"{name}: [architecture_presets] Dataflow", "os, ws or is", repr(dataflow))
    run_name = parser.get("general", "run_name", fallback=Path(name).stem)
    try:
        return Config(run_name=run_name, dataflow=dataflow, **values)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f"{name}: [general] {error}") from None


def config_text(config: Config) -> str:
    """Return a file that SCALE-Sim 3 reads: all of its keys, those that hwsim does not use at its defaults."""
    return f"""\
[general]
run_name = {config.run_name}

[architecture_presets]
ArrayHeight = {config.rows}
ArrayWidth = {config.cols}
IfmapSramSzkB = {config.ifmap_kb}
FilterSramSzkB = {config.filter_kb}
OfmapSramSzkB = {config.ofmap_kb}
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 10
Dataflow = {config.dataflow}
ReadRequestBuffer = 32
WriteRequestBuffer = 32

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def _refuse_other_modes(parser: configparser.ConfigParser, name: str) -> None:
    only = (
        ("run_presets", "InterfaceBandwidth", "CALC", "the mode that hwsim reproduces; in USER mode stalls depend on [layout]"),
        ("run_presets", "UseRamulatorTrace", "False", "the mode that hwsim reproduces"),
        ("sparsity", "SparsitySupport", "false", "the mode that hwsim reproduces"),
        ("layout", "IfmapCustomLayout", "False", "the mode that hwsim reproduces"),
        ("layout", "FilterCustomLayout", "False", "the mode that hwsim reproduces"),
    )  # fmt: skip
    for section, key, wanted, why in only:
        value = parser.get(section, key, fallback=wanted)
        # SCALE-Sim takes any text but "True" and "true" for false; its own files spell it in both ways.
        same = value == wanted if wanted == "CALC" else value.lower() in ("false", "0", "no", "off")
        require(same, f"{name}: [{section}] {key}", f"{wanted} ({why})", repr(value))


def _value(parser: configparser.ConfigParser, name: str, section: str, key: str) -> str:
    require(parser.has_section(section), f"{name}: section [{section}]", "there", "missing")
    require(parser.has_option(section, key), f"{name}: [{section}] {key}", "given", "missing")
    return parser.get(section, key)
