"""The bundled models: where they are and what they were made for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.spec.errors import InputError

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class BundledModel:
    """A model that is part of hwsim.

    Parameters
    ----------
    name
        What ``hwsim run NAME`` takes.
    path
        The model file.
    dataset
        Name of the data set that it classifies.
    description
        One line on the network.
    """

    name: str
    path: Path
    dataset: str
    description: str

    def recipe(self) -> dict[str, Any]:
        """Return how the model was made, as written by its training script.

        The keys include ``model_sha256``, ``accuracy`` (``correct``, ``n``), ``seed``, ``training``,
        ``versions``, ``data`` and ``curve``.
        """
        recipe: dict[str, Any] = json.loads(self.path.with_name("recipe.json").read_text("utf-8"))
        return recipe


BUNDLED = (
    BundledModel(
        "digits_cnn",
        FOLDER / "digits_cnn" / "model.onnx",
        "digits",
        "three 3x3 convolutions with batch norm and ReLU, two max pools, one fully connected layer; float32",
    ),
    BundledModel(
        "digits_mobilenet",
        FOLDER / "digits_mobilenet" / "model.onnx",
        "digits",
        "three inverted residual blocks (1x1, depthwise 3x3, 1x1) with batch norm and ReLU6; float32",
    ),
    BundledModel(
        "cifar_lenet",
        FOLDER / "cifar_lenet" / "model.onnx",
        "cifar10",
        "LeNet of an int8 lab: 5x5 and 3x3 convolution, max pools, three fully connected layers, one bias; float32",
    ),
    BundledModel(
        "cifar_resnet8",
        FOLDER / "cifar_resnet8" / "model.onnx",
        "cifar10",
        "ResNet-8 of MLPerf Tiny: three residual blocks, their shortcuts without batch norm; float32",
    ),
    BundledModel(
        "cifar_mobilenet_v1_025",
        FOLDER / "cifar_mobilenet_v1_025" / "model.onnx",
        "cifar10",
        "MobileNetV1 of width 0.25 for 32x32: 13 depthwise separable convolutions; float32",
    ),
    BundledModel(
        "cifar_resnet20",
        FOLDER / "cifar_resnet20" / "model.onnx",
        "cifar10",
        "ResNet-20 of He et al. with 1x1 shortcuts: nine residual blocks; float32",
    ),
    BundledModel(
        "cifar_mobilenet_v2_050",
        FOLDER / "cifar_mobilenet_v2_050" / "model.onnx",
        "cifar10",
        "MobileNetV2 of width 0.5 for 32x32: 17 inverted residual blocks; float32",
    ),
    BundledModel(
        "cifar_mobilenet_v1_050",
        FOLDER / "cifar_mobilenet_v1_050" / "model.onnx",
        "cifar10",
        "MobileNetV1 of width 0.5 for 32x32: 13 depthwise separable convolutions; float32",
    ),
)
"""Every bundled model."""


def find(name: str) -> BundledModel:
    """Return the bundled model called `name`.

    Raises
    ------
    InputError
        If there is none; the message lists the names.
    """
    for model in BUNDLED:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in BUNDLED)
    raise InputError(f"bundled model must be one of {names}, not {name!r}")
