"""Runs a QONNX model with the package ``qonnx``, in an environment of its own: ``qonnx_execute.py MODEL INPUTS.npy OUT.npz``."""

from __future__ import annotations

import sys
import warnings

import numpy as np


def main(model_path: str, inputs_path: str, out_path: str) -> None:
    """Write every tensor of every input, stacked, by name."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    # Shapes that old files lack.
    warnings.simplefilter("ignore")
    model = ModelWrapper(model_path).transform(InferShapes())
    name, rows = model.graph.input[0].name, np.load(inputs_path)
    found: dict[str, list[np.ndarray]] = {}
    for row in rows:
        context = execute_onnx(model, {name: row[None]}, return_full_exec_context=True)
        for node in model.graph.node:
            for output in node.output:
                found.setdefault(output, []).append(np.asarray(context[output]))
    np.savez(out_path, **{name: np.stack(values) for name, values in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
