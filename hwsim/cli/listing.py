"""``hwsim models`` and ``hwsim data``: what there is to run, and on what."""

from __future__ import annotations

from rich.table import Table

from hwsim.cli.terminal import console
from hwsim.data import DATASETS
from hwsim.models.catalog import BUNDLED


def models() -> None:
    """List the bundled models."""
    table = Table()
    for header in ("model", "data", "float top-1", "network"):
        table.add_column(header)
    for model in BUNDLED:
        accuracy = model.recipe()["accuracy"]
        top1 = f"{100 * accuracy['correct'] / accuracy['n']:.2f} %"
        table.add_row(model.name, model.dataset, top1, model.description)
    console.print(table)


def data() -> None:
    """List the data sets: which are here, and where to put the others."""
    for source in DATASETS:
        present = "here" if source.is_present() else "not here"
        console.print(f"{source.name} ({present}): {source.description}", highlight=False)
        console.print(f"    layout   {source.layout}", highlight=False)
        console.print(f"    from     {source.origin} ({source.licence})", highlight=False)
    console.print("Data sets are read from the folder that HWSIM_DATA names; digits needs none.", highlight=False)
