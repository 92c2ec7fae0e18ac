"""Small networks as PyTorch exports them: in float, and quantized by its PT2E flow (torchao).

``python -m onnx_quantized.pytorch_networks`` in ``tests`` writes those that ``tests/onnx_quantized/pytorch`` keeps, for
environments without PyTorch. It was run with torch 2.15, torchao 0.18 and onnxscript 0.7.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from onnx_quantized.pytorch_recipes import quantizer

STORED = Path(__file__).parent / "pytorch"
SHAPE = (3, 8, 6)
SEED = 1


def networks() -> dict[str, Callable[[], Any]]:
    """Return constructors by name: convolutions with batch norm, a residual sum, depthwise convolutions."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.body = nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=1),
                nn.BatchNorm2d(8),
            )
            self.head = nn.Linear(8 * 4 * 3, 5)

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            x = nn.functional.avg_pool2d(torch.relu(x + self.body(x)), 2)
            return self.head(torch.flatten(x, 1))

    class Depthwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), *self.block(8, 12, 2), *self.block(12, 16, 1))
            self.head = nn.Linear(16, 6)

        @staticmethod
        def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
            return [
                nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.Hardswish(),
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6(),
            ]  # fmt: skip

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.head(self.net(x).mean((2, 3))), 1)

    def plain() -> Any:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 7),
        )  # fmt: skip

    return {"plain": plain, "residual": Residual, "depthwise": Depthwise}


NAMES = ("plain", "residual", "depthwise")


def trained(name: str) -> Any:
    """Return a network with random weights and batch norms that have seen data."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = networks()[name]().train()
    for _ in range(20):
        network(torch.randn(16, *SHAPE))
    return network.eval()


def export_float(name: str, path: Path, *, dynamo: bool = True) -> Any:
    """Write a network in float32 with a batch of any size; return it."""
    import torch

    network = trained(name)
    _export(network, torch.randn(2, *SHAPE), path, dynamo=dynamo)
    return network


def export_quantized(name: str, path: Path, recipe: str) -> Any:
    """Quantize a network, write it, and return what PyTorch runs."""
    import torch

    network = trained(name)
    samples = [torch.randn(2, *SHAPE), *(torch.randn(16, *SHAPE) for _ in range(8))]
    return quantize_and_export(network, samples[0], samples[1:], path, recipe)


def quantize_and_export(network: Any, sample: Any, batches: Sequence[Any], path: Path, recipe: str) -> Any:
    """Quantize a network after training with PT2E, write it as QDQ, and return what PyTorch runs.

    Parameters
    ----------
    network
        In inference mode.
    sample
        Two inputs to trace it with.
    batches
        Inputs that ranges are taken from.
    path
        Of the ONNX file.
    recipe
        One of `pytorch_recipes.RECIPES`.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    with _quiet(), torch.no_grad():
        module = torch.export.export(network, (sample,), dynamic_shapes=_batches()).module()
        prepared = prepare_pt2e(module, quantizer(recipe))
        for batch in batches:
            prepared(batch)
        converted = convert_pt2e(prepared)
    _export(converted, sample, path, dynamo=True)
    return converted


def _batches() -> tuple[dict[int, Any]]:
    import torch

    return ({0: torch.export.Dim("batch")},)


def _export(network: Any, sample: Any, path: Path, *, dynamo: bool) -> None:
    import torch

    with _quiet():
        if dynamo:
            torch.onnx.export(
                network,
                (sample,),
                str(path),
                dynamo=True,
                verbose=False,
                dynamic_shapes=_batches(),
                external_data=False,
            )
        else:
            torch.onnx.export(
                network, (sample,), str(path), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}}
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch warns of its own deprecations, and the exporter talks."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def stripped(path: Path) -> bytes:
    """Return a model without what only says how it came about: the exporter writes stack traces, with paths, into it."""
    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.doc_string = ""
    del graph.value_info[:]
    return model.SerializeToString(deterministic=True)


def main() -> None:
    """Write the stored files."""
    import tempfile

    STORED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for name in NAMES:
            export_float(name, path)
            (STORED / f"{name}.onnx").write_bytes(stripped(path))
            export_quantized(name, path, "xnnpack")
            (STORED / f"{name}_xnnpack.onnx").write_bytes(stripped(path))


if __name__ == "__main__":
    main()
