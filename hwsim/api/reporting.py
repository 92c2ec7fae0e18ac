"""What a document becomes: a report, or a table of its layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwsim.report.table import Value
    from hwsim.sim.analyze.document import AnalysisDocument
    from hwsim.sim.document import RunDocument, TimeDocument
    from hwsim.sim.quantize.document import QuantizeDocument


def report(document: RunDocument | TimeDocument | AnalysisDocument | QuantizeDocument, folder: str | Path) -> Path:
    """Write the report of a document: a page, its figures, the table of layers and the document itself.

    Parameters
    ----------
    document
        What `simulate` or `time` returned, or the ``document`` of `analyze` or `quantize`.
    folder
        Where to write; an earlier report there is replaced as a whole.

    Returns
    -------
    Path
        The page, ``report.html``: one file that works offline.

    Raises
    ------
    InputError
        If `folder` holds anything else than an earlier report, or cannot be written.

    Examples
    --------
    >>> import hwsim, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = hwsim.report(hwsim.time("digits_cnn"), f"{folder}/times")
    ...     sorted(path.name for path in page.parent.iterdir())
    ['figures', 'layers.csv', 'report.html', 'time.json']
    """
    from hwsim.sim.document import RunDocument, TimeDocument
    from hwsim.sim.quantize.document import QuantizeDocument

    if isinstance(document, RunDocument):
        from hwsim.report.write import write_report

        return write_report(document, Path(folder))
    if isinstance(document, TimeDocument):
        from hwsim.report.time_report import write_time_report

        return write_time_report(document, Path(folder))
    if isinstance(document, QuantizeDocument):
        from hwsim.report.quantize_report import write_quantize_report

        return write_quantize_report(document, Path(folder))
    from hwsim.report.headroom_report import write_headroom

    return write_headroom(document, Path(folder))


def layer_table(document: RunDocument | TimeDocument) -> list[dict[str, Value]]:
    """Return the layers of a document as flat records of plain values, with the columns of a report's ``layers.csv``.

    A list of dictionaries is what ``csv.DictWriter``, ``pandas.DataFrame`` and ``polars.DataFrame`` take.

    Parameters
    ----------
    document
        What `simulate` or `time` returned.

    Returns
    -------
    list of dict
        One for each layer, with the same keys in the same order; units are in the names, None where a value does not exist.

    Examples
    --------
    >>> import hwsim
    >>> table = hwsim.layer_table(hwsim.time("digits_cnn", weight_bits=4))
    >>> [(layer["name"], layer["macs"], layer["weight_bits"]) for layer in table if layer["macs"]][0]
    ('conv1_conv', 9216, 4)
    """
    from hwsim.report.table import COLUMNS, TIME_COLUMNS
    from hwsim.sim.document import RunDocument

    if isinstance(document, RunDocument):
        return [{column.name: column.value(layer) for column in COLUMNS} for layer in document.layers]
    return [{column.name: column.value(layer) for column in TIME_COLUMNS} for layer in document.layers]
