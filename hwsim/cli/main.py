"""The ``hwsim`` command. One module per command; errors of the user's become one line and exit code 2 here."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from hwsim.cli.analyze import analyze
from hwsim.cli.bench import bench
from hwsim.cli.export import export
from hwsim.cli.inspect import inspect
from hwsim.cli.listing import data, models
from hwsim.cli.narrow import narrow
from hwsim.cli.quantize import quantize
from hwsim.cli.report import report
from hwsim.cli.rtl import rtl
from hwsim.cli.run import run
from hwsim.cli.scalesim import scalesim
from hwsim.cli.sweep import sweep
from hwsim.cli.terminal import console, fail
from hwsim.cli.time import time
from hwsim.cli.train import train
from hwsim.cli.vectors import vectors
from hwsim.spec import InputError

app = typer.Typer(
    name="hwsim",
    help="Bit-accurate simulation of quantized CNNs on accelerators: accuracy, overflow, memory bandwidth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    run,
    quantize,
    train,
    time,
    inspect,
    analyze,
    narrow,
    sweep,
    report,
    models,
    data,
    bench,
    vectors,
    scalesim,
    export,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(rtl)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.print(f"hwsim {version('hwsim')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    try:
        try:
            app()
        finally:
            # Not at exit, where nobody could answer for what the output refuses.
            sys.stdout.flush()
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone (a pager, head): nothing to say and nobody to say it to.
        _drop_output()
        sys.exit(141)
    except OSError as error:
        # What no option is to blame for: a full disk, a name that is too long.
        _drop_output()
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not try it again at exit and complain."""
    # A caller in the same process may have put something without a file in its place.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
