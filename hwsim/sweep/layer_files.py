"""Registers of single layers as a parameter: files as ``hwsim narrow`` writes and ``hwsim run --layers`` reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.sim.layer_registers import REGISTERS, LayerTable, load_layer_registers
from hwsim.spec import InputError
from hwsim.sweep.parameters import NONE
from hwsim.sweep.space import Space


@dataclass(frozen=True)
class LayerFile:
    """What a file says, so that other processes need not read it.

    Parameters
    ----------
    text
        How the file of the sweep names it.
    content
        Registers by layer, as JSON with sorted keys: equal for files that say the same.
    """

    text: str
    content: str

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @property
    def tables(self) -> dict[str, LayerTable]:
        """The registers, as `hwsim.sim.run.Settings` takes them."""
        return {layer: LayerTable(**own) for layer, own in json.loads(self.content).items()}


def open_layers(space: Space) -> dict[str, LayerFile]:
    """Return the files that the parameter ``layers`` names, by what it calls them.

    Raises
    ------
    InputError
        Where one cannot be read.
    """
    domain = space.parameters.get("layers")
    found = {}
    for text in map(str, domain.listed() if domain is not None else ()):
        if text != NONE:
            try:
                found[text] = LayerFile(text, _content(load_layer_registers(Path(space.path(text)))))
            except InputError as error:
                raise InputError(f"parameters.layers: {error}") from None
    return found


def _content(layers: Mapping[str, LayerTable]) -> str:
    plain: dict[str, dict[str, Any]] = {
        layer: {name: str(value) for name in REGISTERS if (value := getattr(table, name)) is not None}
        for layer, table in layers.items()
    }
    return json.dumps(plain, sort_keys=True)
