"""``hwsim bench``: how fast, side by side with the outside reference."""

from __future__ import annotations

from typing import Annotated

import typer

from hwsim.cli.options import ModelArgument


def bench(
    model: ModelArgument,
    rounds: Annotated[int, typer.Option("--rounds", help="Interleaved measurements of each side.")] = 7,
) -> None:
    """Compare the speed of hwsim with LiteRT's reference kernels on one core (needs pip install 'hwsim[compare]')."""
