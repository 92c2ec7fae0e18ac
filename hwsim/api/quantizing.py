"""Quantization after training, and sweeps of quantizations and machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

    from hwsim.api.inputs import Data, Model
    from hwsim.graph import InputScaling
    from hwsim.quant import Scheme
    from hwsim.sim.quantize.mixed import MixedSettings
    from hwsim.sim.quantize.run import QuantizeResult
    from hwsim.sweep.api import SpaceLike


def quantize(
    model: Model, data: Data | None = None, *, output: str | Path | None = None,
    form: Literal["onnx-qdq", "qonnx"] = "onnx-qdq", scheme: str | Scheme | None = None, weight_bits: int | None = None,
    activation_bits: int | None = None, repairs: Sequence[str] = (), mixed: str | MixedSettings | None = None,
    float_layers: Sequence[str] = (), calibration_images: int = 256, input_scaling: InputScaling | None = None,
    evaluated: int = 0, analyzed: int = 0,
    threads: int | None = None,
) -> QuantizeResult:  # fmt: skip
    """Quantize a float network after training, and say what that costs; what ``hwsim quantize`` does.

    Parameters
    ----------
    model
        As for `simulate`; one that is quantized already is quantized anew.
    data
        As for `simulate`; its training split sets the ranges.
    output
        An ``.onnx`` file to write, which `load` reads back; None for none.
    form
        Its dialect.
    scheme
        Which integers: words joined by commas, such as ``"per-tensor,power-of-two"``, or an object; the default is symmetric
        weights per channel and affine activations per tensor.
    weight_bits, activation_bits
        2 to 16, in place of the scheme's.
    repairs
        Names of `hwsim.quant.repair.REPAIRS`, in the order in which they are applied.
    mixed
        Bits by layer within a budget: ``"size:60%"``, ``"bandwidth:100000"`` or ``"cycles:75%"``, or an object that also says
        which widths there are, what is minimized, and on which machine.
    float_layers
        Names of layers that stay in float32, which no file or machine here holds: not with `output`.
    calibration_images
        Samples that set ranges and that repairs look at.
    input_scaling
        How pixels become real inputs, where the model does not say.
    evaluated
        Samples to measure accuracy on.
    analyzed
        Samples to look for the causes of noise on.
    threads
        Worker threads; all cores by default. The result does not depend on it.

    Returns
    -------
    QuantizeResult
        ``document`` (`QuantizeDocument`): the integers of each layer, how far they are from the floats, accuracy, advice. And
        ``graph``: the network.

    Raises
    ------
    InputError
        Where model, data and scheme do not fit together, or the dialect has no such integers.

    Examples
    --------
    >>> import hwsim
    >>> made = hwsim.quantize("digits_cnn", weight_bits=4, calibration_images=20, evaluated=20)
    >>> [(layer.name, layer.weights.format) for layer in made.document.layers][0]
    ('conv1_conv', 'int4')
    """
    from dataclasses import replace

    from hwsim.api.call import call_text
    from hwsim.api.inputs import open_inputs, usable_cores
    from hwsim.cosim.files import write_files
    from hwsim.quant import parse_scheme
    from hwsim.quant.pipeline import find_repairs
    from hwsim.sim.quantize.mixed import Budget, MixedSettings
    from hwsim.sim.quantize.run import QuantizeSettings, quantize_model
    from hwsim.spec import require
    from hwsim.train.hessian import curvatures

    command = call_text(quantize, locals())
    path = None if output is None else Path(output)
    require(path is None or path.suffix == ".onnx", "output", "a .onnx file", output)
    require(form in ("onnx-qdq", "qonnx"), "form", "onnx-qdq or qonnx", form)
    require(
        path is None or not float_layers,
        "float_layers",
        "left out with an output file, which cannot hold them",
        float_layers,
    )
    chosen = parse_scheme(scheme or "", option="scheme") if scheme is None or isinstance(scheme, str) else scheme
    widths: dict[str, Any] = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    chosen = replace(chosen, **{name: bits for name, bits in widths.items() if bits is not None})
    bits = MixedSettings(Budget.parse(mixed, "mixed")) if isinstance(mixed, str) else mixed
    settings = QuantizeSettings(
        scheme=chosen, repairs=find_repairs(repairs, option="repairs"), mixed=bits, float_layers=tuple(float_layers),
        calibration_images=calibration_images,
        evaluated=evaluated, analyzed=analyzed, scaling=input_scaling,
        threads=usable_cores() if threads is None else threads,
    )  # fmt: skip
    loaded, dataset = open_inputs(model, data)
    result = quantize_model(loaded, dataset, settings, command=command, curvatures=curvatures)
    if path is not None:
        from hwsim.export import onnx_qdq, onnx_qonnx

        writer = onnx_qonnx if form == "qonnx" else onnx_qdq
        content = writer(result.graph).SerializeToString(deterministic=True)
        write_files(path.parent, {path.name: content}, "output")
    return result


def sweep(
    space: SpaceLike, results: str | Path, *, workers: int | None = None, scheduler: str | None = None
) -> pd.DataFrame:
    """Run every configuration of a space, each distinct piece of work once; what ``hwsim sweep`` does.

    It needs the extra ``sweep``: ``pip install 'hwsim[sweep]'``.

    Parameters
    ----------
    space
        A TOML file (``docs/sweep.md``), or its content as a dict.
    results
        Folder of the results; what is finished there is not done again.
    workers
        Processes on this machine, 0 for none but this one; all cores by default.
    scheduler
        Address of a Dask scheduler, in place of processes.

    Returns
    -------
    pandas.DataFrame
        A row for each configuration.

    Raises
    ------
    InputError
        For a space that cannot be swept, or where the store or the cluster fails.

    Examples
    --------
    >>> import hwsim, tempfile
    >>> space = {
    ...     "models": [{"model": "digits_cnn"}], "parameters": {"rows": [4, 8, 16]}, "objectives": {"cycles": "min"},
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = hwsim.sweep(space, folder, workers=0)
    >>> [int(rows.cycles[rows.rows == size].iloc[0]) for size in (4, 8, 16)] == sorted(rows.cycles, reverse=True)
    True
    """
    from hwsim.sweep.api import sweep as run

    return run(space, results, workers=workers, scheduler=scheduler)
