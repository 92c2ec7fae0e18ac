"""What `reports/training.py` measures: training with the machine in the loop against quantization after training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwsim.api.inputs import open_inputs
from hwsim.api.machine import machine_of
from hwsim.quant import Scheme
from hwsim.quant.pipeline import find_repairs, quantize_network
from hwsim.quant.ranges import MeanSquaredError, MovingAverage
from hwsim.sim.execute import execute
from hwsim.sim.feed import Feed
from hwsim.sim.network import calibration_samples
from hwsim.sim.program import Program
from hwsim.spec import PRESETS, Accelerator
from hwsim.train.run import TrainResult, train_model
from hwsim.train.settings import Augmentation, Distillation, Fitting, Gradients, Saturated, TrainSettings

WIDE = "32:wrap"
CIFAR_IMAGES = 2000
"""Test images of CIFAR-10 that networks are evaluated on, the first ones."""

REPAIRS = ("clip-weights", "adaround", "correct-bias")
"""The strongest repairs after training, for comparison."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A training.

    Parameters
    ----------
    key
        What the stored measurements call it.
    model, bits
        A bundled network, and the width of weights and activations.
    acc
        The accumulator in the loop.
    settings
        What else of the recipe is not a default.
    also
        Another accumulator to run the trained integers on.
    repaired
        Also measure the network with all repairs after training.
    """

    key: str
    model: str
    bits: int
    acc: str = WIDE
    settings: tuple[tuple[str, Any], ...] = ()
    also: str | None = None
    repaired: bool = False


def _case(
    key: str,
    model: str,
    bits: int,
    acc: str = WIDE,
    *,
    also: str | None = None,
    repaired: bool = False,
    **settings: Any,
) -> Case:
    return Case(key, model, bits, acc, tuple(settings.items()), also, repaired)


_AUGMENTED = Augmentation(shift=4, mirror=True)

_LEARNED = {
    "batch": 128, "augmentation": _AUGMENTED, "learn_steps": True, "distillation": Distillation(0.7, 3.0), "warm_up": 0.25,
    "gradients": Gradients.BFLOAT16,
}  # fmt: skip
"""What CIFAR-10's networks are trained by with learned steps."""

CASES = (
    _case("cnn-4", "digits_cnn", 4, epochs=8, also="8:saturate", repaired=True),
    _case("cnn-3", "digits_cnn", 3, epochs=8, repaired=True),
    _case("cnn-2", "digits_cnn", 2, epochs=8, repaired=True),
    _case("mobilenet-4", "digits_mobilenet", 4, epochs=12, repaired=True),
    _case("mobilenet-3", "digits_mobilenet", 3, epochs=12, repaired=True),
    _case("cnn-8-14", "digits_cnn", 8, "14:saturate", epochs=8),
    _case("cnn-4-8", "digits_cnn", 4, "8:saturate", epochs=8),
    _case("cnn-4-8-through", "digits_cnn", 4, "8:saturate", epochs=8, saturated=Saturated.THROUGH),
    _case("cnn-4-10-wrap", "digits_cnn", 4, "10:wrap", epochs=8),
    _case("cnn-4-10-penalty", "digits_cnn", 4, "10:wrap", epochs=8, fitting=Fitting.PENALTY),
    _case("cnn-4-10-projection", "digits_cnn", 4, "10:wrap", epochs=8, fitting=Fitting.PROJECTION),
    _case(
        "resnet8-4-edges", "cifar_resnet8", 4, images=30720, epochs=3, batch=128, augmentation=_AUGMENTED, edge_bits=8,
        repaired=True,
    ),
    _case("cnn-6-12", "digits_cnn", 6, "12:saturate", epochs=8),
    _case("lenet-4", "cifar_lenet", 4, images=16384, epochs=2, batch=128, augmentation=_AUGMENTED),
    _case("lenet-8-16", "cifar_lenet", 8, "16:saturate", images=16384, epochs=2, batch=128, augmentation=_AUGMENTED),
    _case("lenet-4-learned", "cifar_lenet", 4, images=30720, epochs=3, **_LEARNED),
    _case("resnet8-4-edges-learned", "cifar_resnet8", 4, epochs=5, edge_bits=8, **_LEARNED),
    _case("mobilenet-3-distilled", "digits_mobilenet", 3, epochs=12, distillation=Distillation()),
)  # fmt: skip
"""In the order in which they are measured."""


def machine(acc: str) -> Accelerator:
    """Return the machine of the report with an accumulator: biases are added behind it, so that any width can start."""
    return machine_of(PRESETS[0], acc=acc, bias_at="end", requantize="ort-float32")


def measure(case: Case, say: Callable[[str], None], checkpoints: Path | None = None) -> Json:
    """Train, or go on from a checkpoint, and return the document with what else the case asks for."""
    loaded, dataset = open_inputs(case.model, None)
    count = min(len(dataset), CIFAR_IMAGES)
    scheme = Scheme(weight_bits=case.bits, activation_bits=case.bits, activation_ranges=MovingAverage())
    settings = TrainSettings(
        accelerator=machine(case.acc), scheme=scheme, evaluated=count, **dict(case.settings)
    )  # fmt: skip
    result = train_model(
        loaded, dataset, settings, command=f"reports/training.py --only {case.key}",
        report=lambda epoch: say(f"{case.key}: epoch {epoch.epoch}, loss {epoch.loss:.4f}, right {epoch.top1:.4f}"),
        checkpoint=None if checkpoints is None else checkpoints / f"{case.key}.pt",
    )  # fmt: skip
    found: Json = {"document": result.document.model_dump(mode="json")}
    if case.also is not None:
        found["also"] = {"acc": case.also, "correct": _correct(result, dataset, count, case.also)}
    if case.repaired:
        samples = calibration_samples(loaded, loaded.graph, dataset, settings.calibration_images)
        made = quantize_network(
            loaded.graph, samples, replace(scheme, activation_ranges=MeanSquaredError()), find_repairs(REPAIRS)
        )
        program = Program(made.graph, machine(WIDE).arithmetic)
        found["repaired"] = execute(program, Feed(made.graph, dataset), count, threads=1).correct
    return found


def _correct(result: TrainResult, dataset: Any, count: int, acc: str) -> int:
    program = Program(result.graph, machine(acc).arithmetic)
    return execute(program, Feed(result.graph, dataset), count, threads=1).correct
