"""A model by its path or by the name of a bundled one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hwsim.graph import Graph
from hwsim.spec import InputError

SourceFormat = Literal["tflite", "onnx"]

_FORMATS: dict[str, SourceFormat] = {".tflite": "tflite", ".onnx": "onnx"}

HASH_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network with where it came from.

    Parameters
    ----------
    graph
        The network.
    path
        The file that was read.
    source_format
        What the file is.
    sha256
        Hex digest of the file, for provenance.
    """

    graph: Graph
    path: Path
    source_format: SourceFormat
    sha256: str


def load_model(path_or_name: str | Path) -> LoadedModel:
    """Load a ``.tflite`` or ``.onnx`` file, or the bundled model of that name.

    Parameters
    ----------
    path_or_name
        A path, or the name of a bundled model: what has a known suffix or a folder in it is a path.

    Raises
    ------
    InputError
        If there is no such file or name, or the model cannot be used.
    """
    path, name = _locate(path_or_name)
    source_format = _FORMATS[path.suffix.lower()]
    digest = _sha256(path)
    # Readers are imported on use: the libraries of one format need not be paid for by the other.
    if source_format == "tflite":
        from hwsim.load.tflite import load_tflite

        graph = load_tflite(path)
    else:
        from hwsim.load.onnx import load_onnx

        graph = load_onnx(path)
    return LoadedModel(replace(graph, name=name), path, source_format, digest)


def _locate(path_or_name: str | Path) -> tuple[Path, str]:
    """Return the file and the name of the network: the bundled model's, or that of the file."""
    path = Path(path_or_name)
    if path.suffix.lower() in _FORMATS:
        return path, path.stem
    if path.parent == Path() and not path.suffix:
        from hwsim.models.catalog import find

        try:
            bundled = find(str(path_or_name))
            return bundled.path, bundled.name
        except InputError as error:
            raise InputError(
                f"model must be a file ending in {' or '.join(_FORMATS)}, or a bundled model: {error}"
            ) from None
    raise InputError(
        f"model must be a file ending in {' or '.join(_FORMATS)}, or the name of a bundled model, "
        f"not {str(path_or_name)!r}"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"model must be a readable file, not {str(path)!r}: a folder or a device")
        with path.open("rb") as stream:
            while chunk := stream.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"model must be a readable file, not {str(path)!r}: {reason}") from None
    return digest.hexdigest()
