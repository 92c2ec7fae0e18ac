"""What the commands around a core share."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigArgument = Annotated[
    str, typer.Argument(help="An accelerator file with a \\[core] table, or a preset.", metavar="CONFIG")
]
