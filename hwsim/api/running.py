"""What runs a network, or times it, or proves its accumulators: the functions behind the commands of the same names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from hwsim.api.inputs import Data, Model
    from hwsim.api.machine import Machine, MachineOptions
    from hwsim.graph import InputScaling
    from hwsim.quant import Scheme
    from hwsim.quant.outliers import OutlierRule
    from hwsim.sim.analyze.run import Analysis
    from hwsim.sim.document import RunDocument, TimeDocument

DEFAULT_MACHINE = "edge-16x16"


def simulate(
    model: Model, data: Data | None = None, *, accelerator: Machine = DEFAULT_MACHINE, images: int | None = None,
    weight_bits: int | None = None, activation_bits: int | None = None, calibration_images: int = 256,
    input_scaling: InputScaling | None = None, float_reference: bool = True, observed: int = 64,
    frames_per_second: float = 30.0, threads: int | None = None, scheme: str | Scheme | None = None,
    outliers: str | OutlierRule | None = None, layers: str | Path | None = None, accumulator_aware: bool = False,
    activation_compression: str | None = None, **machine: Unpack[MachineOptions],
) -> RunDocument:  # fmt: skip
    """Run a network bit-accurately on a data set; what ``hwsim run`` does.

    Parameters
    ----------
    model
        A ``.tflite`` or ``.onnx`` file, the name of a bundled model, or what `load` returned.
    data
        The name of a set, a folder of images, a ``.npz`` file, an open set, or a pair of arrays (inputs as the model takes
        them, labels); None for the set that a bundled model was made for.
    accelerator
        The name of a preset, a TOML file, or an object. A preset rounds as the makers of a quantized model do; a file and an
        object round as they say.
    images
        Run the first so many samples only.
    weight_bits, activation_bits
        2 to 16: quantize the network here. None keeps a quantized model's own integers, and means 8 for a float model.
    calibration_images
        Samples that set ranges, where hwsim quantizes.
    input_scaling
        How pixels become real inputs, where the model does not say.
    float_reference
        Also run the float network, for its accuracy.
    observed
        Most samples to look at closely: running sums, noise, histograms.
    frames_per_second
        Frame rate for the bandwidth.
    threads
        Worker threads; all cores by default. The result does not depend on it.
    scheme
        How to quantize: words joined by commas, as for `quantize`, or an object.
    outliers
        Weights that are kept apart, in 16 bits: ``"1%"``, ``"3/channel"``, ``">0.5"``, ``"least-error"``, or an object.
    layers
        A TOML file with registers of single layers, in place of the machine's.
    accumulator_aware
        Fit the weights to the machine's registers, so that no input overflows them.
    activation_compression
        How activations are stored in the DRAM, with sizes measured on the samples that are looked at closely: the name of a
        scheme of `hwsim.memory.compression.SCHEMES`. Values do not change, bytes and stalls do.
    **machine
        Fields of the machine to change, see `hwsim.api.MachineOptions`.

    Returns
    -------
    RunDocument
        Accuracy, and by layer: overflow events, bytes, cycles, noise. The same call gives the same bytes of ``to_json()``.

    Raises
    ------
    InputError
        Where model, data and machine do not fit together: one line that says what is allowed.

    Examples
    --------
    >>> import hwsim
    >>> run = hwsim.simulate("digits_cnn", images=20, observed=2, acc="16:saturate")
    >>> run.accuracy.n, run.accelerator.reduction
    (20, 'acc 16:saturate, bias at start, zero points subtract')
    >>> [layer["name"] for layer in hwsim.layer_table(run) if layer["acc_overflow_events"]]
    ['conv1_conv', 'conv2_conv', 'conv3_conv', 'logits']
    """
    from hwsim.api.call import call_text
    from hwsim.api.inputs import open_inputs, usable_cores
    from hwsim.api.machine import machine_of, rounding_as
    from hwsim.memory.compression import scheme_named
    from hwsim.quant import parse_scheme
    from hwsim.quant.outliers import OutlierRule
    from hwsim.sim.layer_registers import load_layer_registers
    from hwsim.sim.run import Settings, run

    command = call_text(simulate, locals())
    code = None if activation_compression is None else scheme_named(activation_compression, "activation_compression")
    made = machine_of(accelerator, **machine)
    loaded, dataset = open_inputs(model, data)
    anew = any(given is not None for given in (weight_bits, activation_bits, outliers, scheme))
    settings = Settings(
        accelerator=rounding_as(made, accelerator, machine.get("requantize"), loaded.graph, anew=anew), images=images,
        weight_bits=weight_bits, activation_bits=activation_bits, calibration_images=calibration_images, observed=observed,
        scaling=input_scaling, frames_per_second=frames_per_second, reference=float_reference,
        threads=usable_cores() if threads is None else threads, accumulator_aware=accumulator_aware,
        layers={} if layers is None else load_layer_registers(Path(layers)),
        scheme=parse_scheme(scheme, option="scheme") if isinstance(scheme, str) else scheme,
        outliers=OutlierRule.parse(outliers, option="outliers") if isinstance(outliers, str) else outliers,
        activation_compression=code,
    )  # fmt: skip
    return run(loaded, dataset, settings, command=command)


def time(
    model: Model, *, accelerator: Machine = DEFAULT_MACHINE, weight_bits: int | None = None,
    activation_bits: int | None = None, outliers: str | OutlierRule | None = None, compression: str | None = None,
    tiles: str | Path | None = None, frames_per_second: float = 30.0, **machine: Unpack[MachineOptions],
) -> TimeDocument:  # fmt: skip
    """Time a network on a machine without running it; what ``hwsim time`` does.

    Parameters
    ----------
    model
        As for `simulate`.
    accelerator
        As for `simulate`.
    weight_bits, activation_bits
        Widths of all weights and activations; None keeps a quantized model's own, and means 8 for a float model.
    outliers
        As for `simulate`; their places follow from the weights.
    compression
        How weights are stored: the name of a scheme of `hwsim.memory.compression.SCHEMES`.
    tiles
        A TOML file that says how layers are cut (``docs/time.md``); otherwise the search does.
    frames_per_second
        Frame rate for the bandwidth.
    **machine
        Fields of the machine to change, see `hwsim.api.MachineOptions`.

    Returns
    -------
    TimeDocument
        By layer and in total: DRAM bytes by operand, port bytes, compute and stall cycles, energy, lower bounds.

    Raises
    ------
    InputError
        For an operator without a cost, buffers that hold no tile, or tiles that are none of a layer.

    Examples
    --------
    An array of 4 x 4 needs more cycles than one of 16 x 16:

    >>> import hwsim
    >>> cycles = [hwsim.time("digits_mobilenet", rows=size, cols=size).total.cycles for size in (4, 16)]
    >>> cycles[0] > cycles[1]
    True
    """
    from hwsim.api.call import call_text
    from hwsim.api.inputs import loaded_model
    from hwsim.api.machine import machine_of
    from hwsim.memory.compression import scheme_named
    from hwsim.quant.outliers import OutlierRule
    from hwsim.sim.time.given import load_tiles
    from hwsim.sim.time.run import time_model
    from hwsim.spec import require

    command = call_text(time, locals())
    require(0 < frames_per_second < 1e9, "frames_per_second", "positive and below 1e9", frames_per_second)
    return time_model(
        loaded_model(model), machine_of(accelerator, **machine), weight_bits=weight_bits, activation_bits=activation_bits,
        outliers=OutlierRule.parse(outliers, option="outliers") if isinstance(outliers, str) else outliers,
        compression=None if compression is None else scheme_named(compression, "compression"),
        tiles=None if tiles is None else load_tiles(Path(tiles)), frames_per_second=frames_per_second, command=command,
    )  # fmt: skip


def analyze(
    model: Model, data: Data | None = None, *, accelerator: Machine = DEFAULT_MACHINE, observe: bool = True,
    images: int | None = None, weight_bits: int | None = None, activation_bits: int | None = None,
    calibration_images: int = 256, input_scaling: InputScaling | None = None, threads: int | None = None,
    outliers: str | OutlierRule | None = None, accumulator_aware: bool = False, **machine: Unpack[MachineOptions],
) -> Analysis:  # fmt: skip
    """Find the accumulator width that each layer needs, proven for every input and observed on data; as ``hwsim analyze``.

    Parameters
    ----------
    model
        As for `simulate`.
    data
        As for `simulate`; a quantized model without data is only proven.
    accelerator
        As for `simulate`.
    observe
        Also run the samples.
    images, weight_bits, activation_bits, calibration_images, input_scaling, threads, outliers, accumulator_aware
        As for `simulate`.
    **machine
        Fields of the machine to change, see `hwsim.api.MachineOptions`.

    Returns
    -------
    Analysis
        ``document`` (`AnalysisDocument`), and ``certificate``, which ``hwsim analyze --verify`` checks.

    Raises
    ------
    InputError
        Where model, data and machine do not fit together.

    Examples
    --------
    >>> import hwsim
    >>> total = hwsim.analyze("digits_cnn", images=5, calibration_images=20).document.total
    >>> total.observed_bits <= total.proven_bits <= total.any_order_bits
    True
    """
    from threadpoolctl import threadpool_limits

    from hwsim.api.call import call_text
    from hwsim.api.inputs import open_if_given, usable_cores
    from hwsim.api.machine import machine_of, rounding_as
    from hwsim.quant.outliers import OutlierRule
    from hwsim.sim.analyze.run import analyze as examine
    from hwsim.sim.run import Settings

    command = call_text(analyze, locals())
    made = machine_of(accelerator, **machine)
    loaded, dataset = open_if_given(model, data)
    anew = any(given is not None for given in (weight_bits, activation_bits, outliers))
    settings = Settings(
        accelerator=rounding_as(made, accelerator, machine.get("requantize"), loaded.graph, anew=anew), images=images,
        weight_bits=weight_bits, activation_bits=activation_bits, calibration_images=calibration_images,
        scaling=input_scaling, threads=usable_cores() if threads is None else threads,
        accumulator_aware=accumulator_aware,
        outliers=OutlierRule.parse(outliers, option="outliers") if isinstance(outliers, str) else outliers,
    )  # fmt: skip
    # One thread per BLAS call, as in a run.
    with threadpool_limits(limits=1, user_api="blas"):
        return examine(loaded, dataset, settings, observe=observe, command=command)
