"""``hwsim rtl``: the commands around a core in hardware."""

from __future__ import annotations

import typer

from hwsim.cli.rtl_emit import rtl_emit
from hwsim.cli.rtl_run import rtl_run
from hwsim.cli.rtl_synth import rtl_synth
from hwsim.cli.rtl_verify import rtl_verify

rtl = typer.Typer(
    name="rtl",
    help="Cores in hardware: their Verilog, held to the kernels, run, synthesized.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
rtl.command("emit")(rtl_emit)
rtl.command("verify")(rtl_verify)
rtl.command("run")(rtl_run)
rtl.command("synth")(rtl_synth)
