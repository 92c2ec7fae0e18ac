"""Weight memories: every layer's integers as an array, as packed bytes, and as words for ``$readmemh``."""

from __future__ import annotations

import hashlib
import io
import json
import re
from typing import Any

import numpy as np

from hwsim.cosim.packing import pack
from hwsim.cosim.vectors import readmemh
from hwsim.export.outliers import SMALLEST, Words, outlier_memories
from hwsim.graph import Array, Graph, Node, Tensor
from hwsim.quant.post_training import channel_axis
from hwsim.spec import Format, InputError, Packing, require

SCHEMA_VERSION = 1

WORD_BITS = 32
"""Least width of a word, where none is asked for."""

BIAS = Format(32)

ORDERS = {"conv2d": "OHWI", "depthwise_conv2d": "1HWC", "fully_connected": "OI"}
"""Axes of the weights by operator, the last running fastest."""


def weight_files(graph: Graph, word_bits: int | None = None, outliers: str = SMALLEST) -> dict[str, bytes]:
    """Return the weight memories of a quantized network by file name, with ``manifest.json``.

    Parameters
    ----------
    graph
        An integer network.
    word_bits
        Width of a word of the memories: a multiple of 8 and of the width of each layer's weights. None takes the narrowest
        of at least 32 bits.
    outliers
        Encoding of the sparse parts (`hwsim.memory.sparse.ENCODINGS`), or the smallest of each layer.

    Returns
    -------
    dict
        Of each layer with weights `NNN_NAME.npy`, `.bin` and `.hex`, and of its bias `NNN_NAME_bias` likewise, in words of
        32 bits; thresholds as `.npy` only. Where weights have outliers, these are zero in the memory, and apart:
        `NNN_NAME_outliers.npy`, and the arrays of the encoding as `.bin` and `.hex`.

    Raises
    ------
    InputError
        Naming the layer whose weights are not integers or do not fit the words.
    """
    words = Words(outliers, word_bits or WORD_BITS)
    files: dict[str, bytes] = {}
    layers: list[dict[str, Any]] = []
    for number, node in enumerate(node for node in graph.nodes if node.op.weighted):
        try:
            layers.append(_layer(graph, node, number, word_bits, files, words))
        except InputError as error:
            raise InputError(f"{graph.name}: node {node.name} ({node.op.kind}): {error}") from None
    require(bool(layers), f"{graph.name}", "a network with layers of weights", "none")
    manifest = {"schema_version": SCHEMA_VERSION, "network": graph.name, "layers": layers}
    return {"manifest.json": to_json(manifest), **files}


def file_name(text: str) -> str:
    """Return a name from a model as a part of one of a file; it comes from an untrusted file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:60] or "layer"


def to_json(document: Any) -> bytes:
    """Return a document as the text of a file; floats have the digits that tell them apart."""
    return (json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode()


def word_packing(count: int, bits: int, word_bits: int | None) -> Packing:
    """Return how integers of some bits lie in a memory.

    Elements follow one another from the lowest bit of the lowest word, none across a word.

    >>> word_packing(100, 5, None).bus_bits, word_packing(100, 8, None).bus_bits, word_packing(100, 8, 64).bus_bits
    (40, 32, 64)
    """
    unit = Packing.of(1, bits, None, "word_bits").bus_bits
    return Packing.of(count, bits, -(-WORD_BITS // unit) * unit if word_bits is None else word_bits, "word_bits")


def _layer(
    graph: Graph, node: Node, number: int, word_bits: int | None, files: dict[str, bytes], words: Words
) -> dict[str, Any]:  # fmt: skip
    weights = graph.tensors[node.inputs[1]]
    known = weights.quantization
    if known is None or weights.data is None:
        raise InputError(
            f"weights {weights.name!r} must be integers, not floats (give --weight-bits or --activation-bits)"
        )
    stem = f"{number:03}_{file_name(node.name)}"
    entry: dict[str, Any] = {
        "name": node.name,
        "operator": node.op.kind,
        "weights": _memory(stem, weights, known.format, word_bits, files)
        | {
            "order": ORDERS[node.op.kind],
            "scale": np.atleast_1d(known.scale).tolist(),
            "zero_point": np.atleast_1d(known.zero_point).tolist(),
            "axis": known.axis,
        },
    }
    if weights.outliers is not None and weights.outliers.entries:

        def write(name: str, content: bytes) -> dict[str, str]:
            files[name] = content
            return _file(name, content)

        stem_of_outliers = f"{stem}_outliers"
        entry["outliers"] = outlier_memories(stem_of_outliers, weights, channel_axis(node.op), words, _npy, write)
    if len(node.inputs) > 2:
        # Biases have no zero point and count in steps of the accumulator.
        entry["bias"] = _memory(f"{stem}_bias", graph.tensors[node.inputs[2]], BIAS, None, files)
    if len(node.inputs) > 3:
        entry["thresholds"] = _thresholds(f"{stem}_thresholds", graph.tensors[node.inputs[3]], files)
    return entry


def _thresholds(stem: str, table: Tensor, files: dict[str, bytes]) -> dict[str, Any]:
    """Add the table that a layer compares its sums with: of each channel its sign, then its thresholds in rising order."""
    assert table.data is not None
    content = _npy(table.data)
    files[f"{stem}.npy"] = content
    return {"tensor": table.name, "shape": list(table.shape), "files": {"npy": _file(f"{stem}.npy", content)}}


def _memory(stem: str, tensor: Tensor, form: Format, word_bits: int | None, files: dict[str, bytes]) -> dict[str, Any]:
    """Add the three files of a tensor and return what the manifest says of them."""
    values = tensor.data
    assert values is not None
    require(
        form.lo <= int(values.min()) and int(values.max()) <= form.hi, f"{tensor.name!r}", f"within {form}", "wider"
    )
    packing = word_packing(values.size, form.bits, word_bits)
    words = pack(values.reshape(1, -1), packing)
    made = {"npy": _npy(values.astype(form.storage)), "bin": words.tobytes(), "hex": readmemh(words)}
    for ending, content in made.items():
        files[f"{stem}.{ending}"] = content
    return {
        "tensor": tensor.name,
        "shape": list(tensor.shape),
        "format": str(form),
        "element_bits": form.bits,
        "signed": form.signed,
        "word_bits": packing.bus_bits,
        "elements_per_word": packing.per_beat,
        "words": packing.beats,
        "files": {ending: _file(f"{stem}.{ending}", content) for ending, content in made.items()},
    }


def _file(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest()}


def _npy(values: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values))
    return stream.getvalue()
