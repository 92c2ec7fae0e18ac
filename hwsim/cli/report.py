"""``hwsim report``: the report of an earlier run, from its JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from hwsim.cli.terminal import console
from hwsim.sim.document import RunDocument
from hwsim.spec import InputError


def report(
    document: Annotated[Path, typer.Argument(help="A JSON document of hwsim run.", metavar="RESULTS")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")],
) -> None:
    """Write the HTML report of a run from its JSON document."""
    try:
        parsed = RunDocument.model_validate_json(document.read_bytes())
    except OSError as error:
        raise InputError(f"RESULTS must be a readable file, not {document} ({error.strerror})") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the document"
        raise InputError(f"{document}: not a document of hwsim run: {where}: {problem['msg']}") from None
    # Matplotlib takes a third of a second to import, which other commands should not wait for.
    from hwsim.report.write import write_report

    console.print(f"Report: {write_report(parsed, output)}", highlight=False)
