"""What the catalog knows about a named data set, and where such sets are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hwsim.data.dataset import Dataset
from hwsim.spec.errors import InputError

VARIABLE = "HWSIM_DATA"
"""Environment variable that names the folder of data sets."""

ImageSize = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """A data set that has a name.

    Parameters
    ----------
    name
        What ``--data`` takes.
    description, layout, origin, licence
        One line each: what it is, the files expected under ``HWSIM_DATA``, where to get it, its terms.
    needs
        Glob patterns, relative to ``HWSIM_DATA``, that must each match for the test split; empty if the set
        is always there.
    opener
        Called with the split and the image size; returns the set.
    """

    name: str
    description: str
    layout: str
    origin: str
    licence: str
    needs: tuple[str, ...]
    opener: Callable[[str, ImageSize | None], Dataset]

    def is_present(self) -> bool:
        """Tell whether the files of the test split are there (their contents are checked on opening)."""
        if not self.needs:
            return True
        root = os.environ.get(VARIABLE)
        return bool(root) and all(any(Path(root or "").glob(pattern)) for pattern in self.needs)

    def locate(self, relative: str) -> Path:
        """Return the path of the folder or file `relative` of this set.

        Raises
        ------
        InputError
            If ``HWSIM_DATA`` is unset or has no such entry; the line says where to get the set.
        """
        root = os.environ.get(VARIABLE)
        path = Path(root or "") / relative
        if root and path.exists():
            return path
        reason = f"{path} does not exist" if root else f"{VARIABLE} is unset"
        raise InputError(
            f"data set {self.name} must be at {VARIABLE}/{self.layout} (get it from {self.origin}, then "
            f"export {VARIABLE}=FOLDER), not missing: {reason}"
        )
