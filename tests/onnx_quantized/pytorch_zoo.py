"""The bundled CIFAR-10 networks in PyTorch: what `models` trained, with the parameters of the ONNX files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx
from onnx import numpy_helper

from hwsim.models.catalog import find
from hwsim.models.cifar_networks import NETWORKS, forward, make_layers

PARAMETERS = {"scale": "weight", "mean": "running_mean", "variance": "running_var"}
"""Names of a batch norm's in ONNX and in PyTorch, where they differ."""


def zoo_network(name: str) -> Any:
    """Return a module in inference mode that computes what the bundled ONNX file does."""
    import torch

    steps = NETWORKS[name].steps
    # The layers know their groups; steps that do take a detour, for training in bfloat16, that is no operator of the network.
    plain = [replace(step, groups=1) for step in steps]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = make_layers(steps)

        def forward(self, image: Any) -> Any:
            return forward(plain, self.layers, image)

    network = Network().eval()
    stored = {}
    for tensor in onnx.load(find(name).path).graph.initializer:
        layer, parameter = tensor.name.rsplit(".", 1)
        values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        stored[f"{layer}.{PARAMETERS.get(parameter, parameter)}"] = values
    # Counters of training, which no ONNX file has.
    missing, _ = network.layers.load_state_dict(stored, strict=False)
    assert all(key.endswith(".num_batches_tracked") for key in missing)
    return network
