"""How long and how hard each CIFAR-10 network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from .cifar_images import Normalization

CENTRED = Normalization((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
"""Inputs of -1 to 1, as in the lab that the LeNet is from."""

WHITENED = Normalization((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
"""Mean and standard deviation of the training pixels."""


@dataclass(frozen=True)
class Schedule:
    """One training run: Nesterov SGD, the learning rate up for a fifth of the steps and down along a cosine.

    Parameters
    ----------
    epochs
        Passes over the 50,000 training images.
    max_learning_rate
        The rate at its peak.
    weight_decay
        On weights only: biases and the parameters of batch norms have none.
    sides
        Image sizes in pixels, each for an equal share of the epochs: small images are cheaper, and the last are 32.
    batch
        Images per step.
    label_smoothing
        Share of the target that is spread over all classes.
    normalization
        What the network's input is made by.
    """

    epochs: int
    max_learning_rate: float
    weight_decay: float = 5e-4
    sides: tuple[int, ...] = (32,)
    batch: int = 128
    label_smoothing: float = 0.0
    normalization: Normalization = WHITENED

    def side(self, epoch: int) -> int:
        """Return the image size of an epoch, the first of which is 0."""
        return self.sides[epoch * len(self.sides) // self.epochs]


SCHEDULES = {
    "cifar_lenet": Schedule(24, 0.05, normalization=CENTRED),
    "cifar_resnet8": Schedule(40, 0.2, sides=(24, 32)),
    "cifar_mobilenet_v1_025": Schedule(60, 0.2, sides=(24, 28, 32)),
    "cifar_resnet20": Schedule(36, 0.2, sides=(24, 28, 32), label_smoothing=0.05),
    "cifar_mobilenet_v2_050": Schedule(24, 0.2, sides=(24, 28, 32), label_smoothing=0.05),
    "cifar_mobilenet_v1_050": Schedule(24, 0.2, sides=(24, 28, 32), label_smoothing=0.05),
}
