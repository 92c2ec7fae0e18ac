"""Shapes of three networks as SCALE-Sim's topologies have them: height, width, kernel, kernel, channels, filters, stride.

AlexNet without padding; ResNet-18 with the padding left out; MobileNet with each depthwise layer as one dense filter over all
channels, which is how that topology says it.
"""

from __future__ import annotations

from hwsim.scalesim import Layer

ALEXNET = (
    (224, 224, 11, 11, 3, 96, 4), (27, 27, 5, 5, 96, 256, 1), (13, 13, 3, 3, 256, 384, 1), (13, 13, 3, 3, 384, 384, 1),
    (13, 13, 3, 3, 384, 256, 1),
)  # fmt: skip
RESNET18 = (
    (224, 224, 7, 7, 3, 64, 2), *((56, 56, 3, 3, 64, 64, 1),) * 4,
    (56, 56, 3, 3, 64, 128, 2), (56, 56, 1, 1, 64, 128, 2), *((28, 28, 3, 3, 128, 128, 1),) * 3,
    (28, 28, 3, 3, 128, 256, 2), (28, 28, 1, 1, 128, 256, 2), *((14, 14, 3, 3, 256, 256, 1),) * 3,
    (14, 14, 3, 3, 256, 512, 2), (14, 14, 1, 1, 256, 512, 2), *((7, 7, 3, 3, 512, 512, 1),) * 3,
    (1, 1, 1, 1, 512, 1000, 1),
)  # fmt: skip


def _mobilenet() -> tuple[tuple[int, ...], ...]:
    """Depthwise and pointwise layers in turn (Howard et al., 2017, table 1): size, channels, filters, stride."""
    blocks = (
        (112, 32, 64, 1), (112, 64, 128, 2), (56, 128, 128, 1), (56, 128, 256, 2), (28, 256, 256, 1), (28, 256, 512, 2),
        *((14, 512, 512, 1),) * 5, (14, 512, 1024, 2), (7, 1024, 1024, 2),
    )  # fmt: skip
    found: list[tuple[int, ...]] = [(224, 224, 3, 3, 3, 32, 2)]
    for number, (size, channels, filters, stride) in enumerate(blocks):
        # The last block's depthwise layer has stride 2 in the topology, and its pointwise layer 7 x 7 all the same.
        after = size if number == len(blocks) - 1 else size // stride
        found += [(size, size, 3, 3, channels, 1, stride), (after, after, 1, 1, channels, filters, 1)]
    return tuple(found)


NETS = {"alexnet": ALEXNET, "mobilenet": _mobilenet(), "resnet18": RESNET18}


def layers(net: str) -> list[Layer]:
    """Return a network's layers, named by their numbers."""
    return [Layer(f"L{number}", *sizes) for number, sizes in enumerate(NETS[net])]


def reduced(net: str) -> list[Layer]:
    """Return the different layers of a network with an eighth of the pixels in each direction and of the channels, about.

    Kernels, strides and the proportions of pixels, window and filters stay, so that every layer still takes several folds.
    """
    found: dict[tuple[int, ...], None] = {}
    for height, width, kernel_height, kernel_width, channels, filters, stride in NETS[net]:
        sizes = (max(kernel_height, -(-height // 8) + 2), max(kernel_width, -(-width // 8) + 2))
        small = (channels if channels < 8 else channels // 8, filters if filters < 8 else -(-filters // 8))
        found[*sizes, kernel_height, kernel_width, *small, stride] = None
    return [Layer(f"L{number}", *sizes) for number, sizes in enumerate(found)]
