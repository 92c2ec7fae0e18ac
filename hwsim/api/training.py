"""Training with the hardware in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from hwsim.api.running import DEFAULT_MACHINE

if TYPE_CHECKING:
    from hwsim.api.inputs import Data, Model
    from hwsim.api.machine import Machine, MachineOptions
    from hwsim.graph import Graph, InputScaling
    from hwsim.quant import Scheme
    from hwsim.spec import Accelerator
    from hwsim.train.run import TrainResult
    from hwsim.train.settings import TrainSettings

QDQ_BITS = (4, 8, 16)
"""Widths that ONNX QDQ has."""

Dialect = Literal["onnx-qdq", "qonnx"]


def train(
    model: Model, data: Data | None = None, *, output: str | Path | None = None, form: Dialect = "onnx-qdq",
    scheme: str | Scheme | None = None, weight_bits: int | None = None, activation_bits: int | None = None,
    edge_bits: int | None = None, epochs: int = 10, learning_rate: float = 1e-3, batch: int = 64,
    optimizer: Literal["adam", "sgd"] = "adam", warm_up: float = 0.0, weight_decay: float = 0.0,
    learn_steps: bool = False, gradients: Literal["float32", "bfloat16"] = "float32",
    train_images: int | None = None, freeze: int | None = None, distill: float | None = None, temperature: float = 4.0,
    fit: Literal["penalty", "projection"] | None = None, penalty: float = 1.0,
    saturated: Literal["zero", "through"] = "zero", shift: int = 0, mirror: bool = False, calibration_images: int = 256,
    evaluated: int | None = None, input_scaling: InputScaling | None = None, checkpoint: str | Path | None = None,
    seed: int = 0, accelerator: Machine = DEFAULT_MACHINE, **machine: Unpack[MachineOptions],
) -> TrainResult:  # fmt: skip
    """Train the integers of a float network on the machine that will run them; what ``hwsim train`` does.

    It needs the extra ``train``: ``pip install 'hwsim[train]'``.

    Parameters
    ----------
    model
        As for `simulate`; of one that is quantized already, its dequantized network is trained.
    data
        As for `simulate`; its training split trains, its own samples evaluate.
    output
        An ``.onnx`` file to write, which `simulate` runs with the same machine; the document is written beside it as JSON.
    form
        Its dialect.
    scheme
        Which integers, as for `quantize`; the default has ranges of activations by moving average.
    weight_bits, activation_bits
        2 to 16, in place of the scheme's.
    edge_bits
        Bits of the input, of the weights of the first and the last layer, and of the scores; None for those of the others.
    epochs, learning_rate, batch
        The rate falls to 0 along a cosine.
    optimizer
        SGD has a momentum of 0.9.
    warm_up
        Epochs over which the rate rises first.
    weight_decay
        Of weights alone.
    learn_steps
        Train the step sizes of weights and activations too (LSQ).
    gradients
        Operands of their products; values are those of the integers either way.
    train_images
        Training samples in use, the first ones; None for all.
    freeze
        Epochs after which statistics of batch norm and ranges stay; None for half of them.
    distill, temperature
        Weight of the float network's soft targets in the loss, and what scores are divided by; None for none.
    fit
        Keep the weights within what the registers hold, whatever the input: by a penalty, or by projection after each step.
    penalty
        Its weight in the loss.
    saturated
        The gradient of sums beyond a saturating accumulator: 0, or that of the exact sum.
    shift, mirror
        Move training images by up to so many pixels; mirror half of them.
    calibration_images
        Training samples that set the first ranges.
    evaluated
        Samples to measure accuracy on; None for all.
    input_scaling
        How pixels become real inputs, where the model does not say.
    checkpoint
        A file that is kept after every epoch, from which a training that was stopped goes on.
    seed
        Of all chance. The result depends on nothing else.
    accelerator
        As for `simulate`, except that a preset rounds as `simulate` rounds the file that is written: ``ort-float32``.
    **machine
        Fields of the machine to change, see `hwsim.api.MachineOptions`.

    Returns
    -------
    TrainResult
        ``document`` (`TrainDocument`): the curve, and what was reached before and after. And ``graph``: the integer network.

    Raises
    ------
    InputError
        Where PyTorch is missing, where model, data, machine and recipe do not fit together, or where the loss diverges.

    Examples
    --------
    A recipe is checked before PyTorch is asked for; what follows it takes some seconds:

    >>> import hwsim
    >>> hwsim.train("digits_cnn", epochs=0)
    Traceback (most recent call last):
    ...
    hwsim.spec.errors.InputError: epochs must be an integer from 1 to 100000, not 0
    >>> made = hwsim.train("digits_cnn", weight_bits=3, activation_bits=3, epochs=2)  # doctest: +SKIP
    >>> made.document.after.accuracy.correct > made.document.before.accuracy.correct  # doctest: +SKIP
    True
    """
    from dataclasses import replace

    from hwsim.api.call import call_text
    from hwsim.api.inputs import open_inputs
    from hwsim.api.machine import machine_of, member
    from hwsim.quant import parse_scheme
    from hwsim.spec import require
    from hwsim.train.run import train_model
    from hwsim.train.settings import (
        Augmentation,
        Distillation,
        Fitting,
        Gradients,
        Optimizer,
        Saturated,
        TrainSettings,
    )

    command = call_text(train, locals())
    path = None if output is None else Path(output)
    require(path is None or path.suffix == ".onnx", "output", "a .onnx file", output)
    require(form in ("onnx-qdq", "qonnx"), "form", "onnx-qdq or qonnx", form)
    words = scheme if isinstance(scheme, str) else ""
    chosen = parse_scheme(words, TrainSettings().scheme, "scheme") if scheme is None or words else scheme
    widths: dict[str, Any] = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    assert not isinstance(chosen, str | None)
    chosen = replace(chosen, **{name: bits for name, bits in widths.items() if bits is not None})
    settings = TrainSettings(
        accelerator=rounding_as_file(machine_of(accelerator, **machine), accelerator, machine.get("requantize")),
        scheme=chosen, edge_bits=edge_bits, epochs=epochs, learning_rate=learning_rate, batch=batch,
        optimizer=member(Optimizer, optimizer, "optimizer"), warm_up=warm_up, weight_decay=weight_decay,
        learn_steps=learn_steps, gradients=member(Gradients, gradients, "gradients"), images=train_images,
        freeze=freeze, distillation=None if distill is None else Distillation(distill, temperature),
        fitting=None if fit is None else member(Fitting, fit, "fit"), penalty=penalty,
        saturated=member(Saturated, saturated, "saturated"), augmentation=Augmentation(shift, mirror),
        calibration_images=calibration_images, evaluated=evaluated, scaling=input_scaling, seed=seed,
    )  # fmt: skip
    if path is not None:
        check_form(form, settings, "form")
    kept = None if checkpoint is None else Path(checkpoint)
    result = train_model(*open_inputs(model, data), settings, command=command, checkpoint=kept)
    if path is not None:
        from hwsim.cosim.files import write_files

        document = result.document.to_json().encode()
        write_files(
            path.parent, {path.name: onnx_file(result.graph, form), path.with_suffix(".json").name: document}, "output"
        )
    return result


def rounding_as_file(accelerator: Accelerator, machine: Machine, requantize: object) -> Accelerator:
    """Return the machine that an exported file will run on: where neither an option nor a file states the rounding, the file's.

    `machine` is what `accelerator` was made from. What training models must be what runs afterwards.
    """
    from dataclasses import replace

    from hwsim.spec import PRESETS, Profile

    if requantize is not None or all(preset.name != machine for preset in PRESETS):
        return accelerator
    return replace(accelerator, arithmetic=replace(accelerator.arithmetic, profile=Profile.ORT_FLOAT32))


def check_form(form: Dialect, settings: TrainSettings, field: str) -> None:
    """Raise `InputError` before the work where a dialect has no integers of the widths; `field` is what names it."""
    from hwsim.spec import require

    scheme = settings.scheme
    widths = (
        ("weight_bits", scheme.weight_bits),
        ("activation_bits", scheme.activation_bits),
        ("edge_bits", settings.edge_bits),
    )
    for name, bits in widths if form == "onnx-qdq" else ():
        require(bits is None or bits in QDQ_BITS, name, f"4, 8 or 16 with {field} onnx-qdq (qonnx takes 2 to 16)", bits)


def onnx_file(graph: Graph, form: Dialect) -> bytes:
    """Return an integer network as ONNX."""
    # It brings ONNX's library, which is loaded on use.
    from hwsim.export import onnx_qdq, onnx_qonnx

    made: bytes = (onnx_qonnx if form == "qonnx" else onnx_qdq)(graph).SerializeToString(deterministic=True)
    return made
