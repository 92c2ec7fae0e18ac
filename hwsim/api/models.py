"""Models in, and models out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hwsim.api.running import DEFAULT_MACHINE

if TYPE_CHECKING:
    from hwsim.api.inputs import Data, Model
    from hwsim.api.machine import Machine
    from hwsim.graph import InputScaling
    from hwsim.load.catalog import LoadedModel
    from hwsim.quant.outliers import OutlierRule
    from hwsim.spec import Profile

Form = Literal["workloads", "onnx-qdq", "qonnx", "weights"]
"""What `export` writes, see ``docs/export.md``."""


def load(model: str | Path) -> LoadedModel:
    """Load a model: TFLite (int8, uint8, float), or ONNX (float, QDQ, QCDQ, QOperator, QONNX).

    Parameters
    ----------
    model
        A ``.tflite`` or ``.onnx`` file, or the name of a bundled model.

    Returns
    -------
    LoadedModel
        Its ``graph``, ``path``, ``source_format`` and ``sha256``. Activations are NHWC. ``graph.quantized`` tells whether it
        runs in integers of its own; ``graph.nodes`` and ``graph.tensors`` hold operators, formats, scales and weights.

    Raises
    ------
    InputError
        If there is no such model, or it is damaged, or hwsim cannot run it: one line that names the file and the node.

    Examples
    --------
    >>> import hwsim
    >>> model = hwsim.load("digits_cnn")
    >>> model.source_format, model.graph.quantized, model.graph.input.shape
    ('onnx', False, (1, 8, 8, 1))
    >>> hwsim.load("digits_cnm")
    Traceback (most recent call last):
    ...
    hwsim.spec.errors.InputError: model must be a file ending in .tflite or .onnx, or a bundled model: ...
    """
    from hwsim.load.catalog import load_model

    return load_model(model)


def export(
    model: Model, folder: str | Path, form: Form = "workloads", *, accelerator: Machine = DEFAULT_MACHINE,
    data: Data | None = None, weight_bits: int | None = None, activation_bits: int | None = None,
    calibration_images: int = 256, input_scaling: InputScaling | None = None, requantize: Profile | str | None = None,
    word_bits: int | None = None, outliers: str | OutlierRule | None = None, outlier_encoding: str = "smallest",
) -> list[Path]:  # fmt: skip
    """Write a model for other tools; what ``hwsim export`` does.

    Parameters
    ----------
    model
        As for `simulate`.
    folder
        Where to write; it is made where it is missing, and other files in it stay.
    form
        ``"onnx-qdq"`` and ``"qonnx"``: the quantized model as ONNX. ``"weights"``: memories of its weights, and its
        requantization as JSON. ``"workloads"``: its layers for SCALE-Sim (with the machine), Timeloop and ZigZag.
    accelerator
        As for `simulate`.
    data, weight_bits, activation_bits, calibration_images, input_scaling
        As for `simulate`.
    requantize
        Rounding profile that the exported parameters are for.
    word_bits
        Width of a word of the weight memories; 32 or more by default.
    outliers
        As for `simulate`; only the weight memories have a place for them.
    outlier_encoding
        Of the memories of outliers: a name of `hwsim.memory.sparse.ENCODINGS`, or the smallest for each layer.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        For what cannot be exported in this form, or a folder that cannot be written.

    Examples
    --------
    >>> import hwsim, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (path,) = hwsim.export("digits_cnn", folder, "onnx-qdq", calibration_images=20)
    ...     again = hwsim.load(path)
    >>> path.name, again.graph.quantized
    ('digits_cnn_qdq.onnx', True)
    """
    from hwsim.api import export_files
    from hwsim.api.machine import member
    from hwsim.cosim.files import write_files
    from hwsim.quant.outliers import OutlierRule
    from hwsim.spec import Profile, require

    require(form == "weights" or word_bits is None, "word_bits", 'left out but for the form "weights"', word_bits)
    require(calibration_images >= 1, "calibration_images", "1 or more", calibration_images)
    quantizing = export_files.Quantizing(
        weight_bits, activation_bits, data, calibration_images, input_scaling,
        None if requantize is None else member(Profile, requantize, "requantize"),
        OutlierRule.parse(outliers, option="outliers") if isinstance(outliers, str) else outliers,
    )  # fmt: skip
    wanted = member(export_files.Form, form, "form")
    made = export_files.export_files(
        model, wanted, accelerator, quantizing, word_bits, outlier_encoding=outlier_encoding
    )
    return write_files(Path(folder), made.files, "folder")
