"""The ``hwsim`` command. One module per command; errors of the user's become one line and exit code 2 here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hwsim.cli.bench import bench
from hwsim.cli.inspect import inspect
from hwsim.cli.listing import data, models
from hwsim.cli.report import report
from hwsim.cli.run import run
from hwsim.cli.terminal import console, fail
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
COMMANDS = (run, inspect, report, models, data, bench)
for command in COMMANDS:
    app.command()(command)


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
        app()
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone (a pager, head): nothing to say and nobody to say it to.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        # What no option is to blame for: a full disk, a name that is too long.
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
