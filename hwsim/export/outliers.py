"""The sparse part of a layer's weights as memories: its entries, and the arrays of one encoding, bit by bit as they are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.cosim.vectors import readmemh
from hwsim.graph import Array, Graph, Tensor
from hwsim.memory.sparse import ENCODINGS, smallest, sparse_sizes
from hwsim.spec import InputError, require

SMALLEST = "smallest"

ENCODING_NAMES = (SMALLEST, *(encoding.name for encoding in ENCODINGS))
"""What a sparse part may be encoded as."""

ARRAYS = ("values", "indices", "pointers")

Write = Callable[[str, bytes], dict[str, str]]
"""Keeps a file of that name and content; returns what a manifest says of it."""


@dataclass(frozen=True)
class Words:
    """How outliers are written: the encoding, and the bits of a word of the ``.hex`` files, as the dense memory's: bytes."""

    encoding: str = SMALLEST
    bits: int = 32

    def __post_init__(self) -> None:
        require(self.encoding in ENCODING_NAMES, "outlier encoding", ", ".join(ENCODING_NAMES), repr(self.encoding))


def outlier_memories(
    stem: str, tensor: Tensor, axis: int, words: Words, npy: Callable[[Array], bytes], write: Write
) -> dict[str, Any]:  # fmt: skip
    """Write the outliers of a weight tensor; return what the manifest says of them.

    Parameters
    ----------
    stem
        Beginning of the files' names.
    tensor
        Weights with outliers.
    axis
        What counts their output channels.
    words
        The encoding and its words.
    npy, write
        Make and keep a file.

    Raises
    ------
    InputError
        For an encoding that cannot hold the layer.
    """
    outliers = tensor.outliers
    assert outliers is not None
    matrix = outliers.matrix(tensor.shape, axis)
    channel, product = np.nonzero(matrix)
    entries = np.column_stack([channel, product, matrix[channel, product]]).astype(np.int32)
    sizes = sparse_sizes(matrix, outliers.format)
    name = smallest(sizes) if words.encoding == SMALLEST else words.encoding
    encoding = next(encoding for encoding in ENCODINGS if encoding.name == name)
    require(name in sizes, "outlier encoding", f"one that holds {matrix.shape[1]} products", name)
    streams = encoding.encode(matrix, outliers.format)
    arrays = {}
    # An encoding without pointers has two streams.
    for part, array, stream in zip(ARRAYS, sizes[name].arrays, streams, strict=False):
        content = np.packbits(stream, bitorder="little")
        assert len(content) == array.bytes
        lines = np.pad(content, (0, -len(content) % (words.bits // 8))).reshape(-1, words.bits // 8)
        arrays[part] = {
            "elements": array.elements,
            "element_bits": array.element_bits,
            "bytes": array.bytes,
            "word_bits": words.bits,
            "words": len(lines),
            "files": {
                "bin": write(f"{stem}_{part}.bin", content.tobytes()),
                "hex": write(f"{stem}_{part}.hex", readmemh(lines)),
            },
        }
    return {
        "entries": outliers.entries,
        "format": str(outliers.format),
        "element_bits": outliers.format.bits,
        "channels": matrix.shape[0],
        "products": matrix.shape[1],
        "columns": ["output channel", "product", "value"],
        "files": {"npy": write(f"{stem}.npy", npy(entries))},
        "encoding": name,
        "bytes": sizes[name].bytes,
        "arrays": arrays,
    }


def refuse_outliers(graph: Graph) -> None:
    """Raise `InputError` for a network whose weights have outliers: ONNX has no tensor of weights in two widths."""
    for node in graph.nodes:
        if node.op.weighted and graph.tensors[node.inputs[1]].outliers is not None:
            raise InputError(
                f"{graph.name}: node {node.name}: weights must be without outliers to be exported as ONNX (--as weights has them)"
            )
