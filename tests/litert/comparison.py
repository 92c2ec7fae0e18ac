"""Holds hwsim and LiteRT to the same bits, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.load.tflite import load_tflite, tensor_indices
from litert.reference import Reference

Array = npt.NDArray[Any]


def assert_bit_exact(path: Path, inputs: Array, batch: int = 4) -> int:
    """Compare every activation of every layer; return how many tensors were compared per input.

    Parameters
    ----------
    path
        The TFLite file.
    inputs
        ``[N, ...]`` in the model's input type.
    batch
        Inputs that hwsim runs at once; LiteRT runs them one by one. Only one batch of tensors is held at a time.
    """
    from hwsim.sim import Program
    from hwsim.spec import Arithmetic

    graph = load_tflite(path)
    indices = tensor_indices(path)
    written = [(node, name) for node in graph.nodes for name in node.outputs]
    reference = Reference(path)
    program = Program(graph, arithmetic=Arithmetic())
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        ours = program.run(part, keep=True)
        for place in range(len(part)):
            theirs = reference.run(part[place : place + 1], [indices[name] for _, name in written])
            for node, name in written:
                expected, actual = theirs[indices[name]], ours[name][place : place + 1]
                _compare(f"input {start + place}, node {node.name!r} ({node.op.kind})", expected, actual)
    return len(written)


def _compare(where: str, expected: Array, actual: Array) -> None:
    assert actual.dtype == expected.dtype, f"{where}: {actual.dtype}, LiteRT has {expected.dtype}"
    assert actual.size == expected.size, f"{where}: shape {actual.shape}, LiteRT has {expected.shape}"
    if expected.tobytes() == np.ascontiguousarray(actual).tobytes():
        return
    flat, wanted = actual.reshape(-1), expected.reshape(-1)
    different = np.flatnonzero(flat != wanted)
    first = different[0] if different.size else 0
    raise AssertionError(
        f"{where}: {different.size} of {wanted.size} elements differ, "
        f"first at {first}: {flat[first]}, LiteRT has {wanted[first]}"
    )
