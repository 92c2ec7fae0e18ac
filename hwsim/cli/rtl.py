"""``hwsim rtl``: the commands around a core in hardware."""

from __future__ import annotations

import typer

from hwsim.cli.rtl_emit import rtl_emit
from hwsim.cli.rtl_verify import rtl_verify

rtl = typer.Typer(
    name="rtl",
    help="Cores in hardware: their Verilog, held to the kernels, run, synthesized.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = {"emit": rtl_emit, "verify": rtl_verify}
for name, command in COMMANDS.items():
    rtl.command(name)(command)
