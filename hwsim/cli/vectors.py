"""``hwsim vectors``: stimulus and expected results of a core as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim.cli.inputs import open_inputs
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    ActivationBitsOption,
    CalibrationImagesOption,
    OutlierBitsOption,
    OutliersOption,
    WeightBitsOption,
    outliers_of,
)
from hwsim.cli.rtl_options import ConfigArgument
from hwsim.cli.terminal import check_parent, console
from hwsim.cosim.stimulus import NamedCase
from hwsim.cosim.vectors import MANIFEST, write_cases, write_vectors
from hwsim.quant.outliers import OutlierRule
from hwsim.report.text import plural
from hwsim.sim.core_file import load_core
from hwsim.sim.feed import Feed
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.spec import Core, require

NETWORK = "Vectors of a network"

CASES, SEED = 8, 1


def vectors(
    config: ConfigArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder: new, empty, or with earlier vectors.")],
    cases: Annotated[
        int | None, typer.Option("--cases", help="GEMMs, constructed and random ones in turn (8).")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the random ones (1).")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="GEMMs of this network's layers, as it runs.", rich_help_panel=NETWORK),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", help="Only this layer; may be given several times.", rich_help_panel=NETWORK),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="As for hwsim run.", rich_help_panel=NETWORK)] = None,
    images: Annotated[
        int | None, typer.Option("--images", help="The first N samples (1).", rich_help_panel=NETWORK)
    ] = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
) -> None:
    """Write GEMMs for a core: operands and expected results as .npy, the beats of every port for $readmemh."""
    core, rule = load_core(config), outliers_of(outliers, outlier_bits)
    check_parent(output, "--output")
    if model is None:
        given = {
            "--layer": layer, "--data": data, "--images": images, "--weight-bits": weight_bits,
            "--activation-bits": activation_bits, "--outliers": outliers,
        }  # fmt: skip
        for option, value in given.items():
            require(value is None, option, "left out without --model", value)
        written = write_vectors(
            core, output, cases=CASES if cases is None else cases, seed=SEED if seed is None else seed
        )
        count = CASES if cases is None else cases
    else:
        require(cases is None, "--cases", "left out with --model", cases)
        require(seed is None, "--seed", "left out with --model", seed)
        require(images is None or images >= 1, "--images", "1 or more", images)
        require(calibration_images >= 1, "--calibration-images", "1 or more", calibration_images)
        core, found, source = _of_network(
            model, core, data, images or 1, tuple(layer or ()), weight_bits, activation_bits, rule, calibration_images
        )  # fmt: skip
        written, count = write_cases(core, output, found, source), len(found)
    console.print(f"{plural(count, 'case')} in {len(written)} files, listed in {output / MANIFEST}", highlight=False)


def _of_network(
    model: str, base: Core, data: str | None, images: int, layers: tuple[str, ...], weight_bits: int | None,
    activation_bits: int | None, rule: OutlierRule | None, calibration_images: int,
) -> tuple[Core, list[NamedCase], dict[str, Any]]:  # fmt: skip
    """Return a network's core and cases, and where they come from."""
    from hwsim.hardware.network_vectors import network_cases

    arithmetic = base.arithmetic
    loaded, dataset = open_inputs(model, data)
    network = prepare_network(
        loaded, dataset, weight_bits=weight_bits, activation_bits=activation_bits, calibration_images=calibration_images,
        scaling=None, profile=arithmetic.profile, scheme=outlier_scheme(rule, weight_bits),
    )  # fmt: skip
    feed = Feed(network.integer, dataset, loaded.graph.input.quantization)
    batch = feed.integers(0, min(images, len(dataset)))
    core, cases = network_cases(network.integer, base, arithmetic, batch, layers)
    source = {
        "model": loaded.graph.name, "model_sha256": loaded.sha256, "data": dataset.name, "images": len(batch),
        "scheme": network.info.scheme, "weight_bits": network.info.weight_bits,
        "activation_bits": network.info.activation_bits,
    }  # fmt: skip
    return core, cases, source
