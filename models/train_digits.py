"""Train the bundled digits networks and write them as ONNX, each beside the recipe that reproduces it.

Run ``python models/train_digits.py [--model NAME] [--seed 0]`` in a checkout, or
``python -m hwsim.models.train_digits --output FOLDER`` where hwsim is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if not __package__:
    # Run as a file: name the package that the file is in, so that its neighbours and hwsim can be imported.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = Path(__file__).resolve().parent.name

from hwsim.data import open_dataset
from hwsim.spec.errors import InputError

from .digits_networks import NETWORKS, Step, forward, make_layers
from .digits_onnx import PIXEL_MEAN, PIXEL_STD, to_onnx

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).resolve().parent

SCRIPTS = ("train_digits.py", "digits_networks.py", "digits_onnx.py")
"""What decides the result, besides the data and the versions of the packages."""

TABLE_START, TABLE_END = "<!-- table: written by train_digits.py -->\n", "<!-- end of table -->\n"

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, LABEL_SMOOTHING = 80, 32, 4e-3, 1e-2, 0.05
ROTATION_DEGREES, ZOOM, SHIFT_PIXELS, NOISE = 12.0, 0.1, 0.8, 0.04


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the images rotated, zoomed, shifted and with noise, each by a random amount."""
    import torch
    from torch.nn import functional

    def uniform(scale: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * scale

    angle, zoom = torch.deg2rad(uniform(ROTATION_DEGREES)), 1 + uniform(ZOOM)
    shift = 2 * SHIFT_PIXELS / images.shape[-1]  # affine_grid spans -1..1 over the image
    rows = [
        torch.stack([zoom * angle.cos(), -zoom * angle.sin(), uniform(shift)], 1),
        torch.stack([zoom * angle.sin(), zoom * angle.cos(), uniform(shift)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return moved + NOISE * torch.randn(moved.shape, generator=generator)


def load(split: str) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Return normalized images ``[N, 1, 8, 8]``, labels ``[N]`` and the digest of a split of the digits."""
    import torch

    data = open_dataset("digits", split=split)
    pixels = data.batch(0, len(data)).transpose(0, 3, 1, 2).astype(np.float32)
    images = torch.from_numpy((pixels - PIXEL_MEAN) / PIXEL_STD)
    return images, torch.from_numpy(data.labels.copy()), data.digest()


def train(steps: list[Step], seed: int) -> tuple[torch.nn.ModuleDict, list[dict[str, float]]]:
    """Return the trained parameters (those of the last epoch: none is picked by its score) and the curve."""
    import torch
    from torch.nn import functional

    # One thread: the order of float sums, and so the file, then does not depend on the number of cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    (images, labels, _), (test_images, test_labels, _) = load("train"), load("test")
    layers = make_layers(steps)
    optimizer = torch.optim.AdamW(layers.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=EPOCHS * batches)
    curve = []
    for epoch in range(1, EPOCHS + 1):
        layers.train()
        total = 0.0
        for chosen in torch.split(torch.randperm(len(images), generator=generator), BATCH):
            logits = forward(steps, layers, augment(images[chosen], generator))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        correct = count_correct(steps, layers, test_images, test_labels)
        curve.append({"epoch": epoch, "train_loss": round(total / len(images), 5), "test_correct": correct})
    return layers, curve


def count_correct(
    steps: list[Step], layers: torch.nn.ModuleDict, images: torch.Tensor, labels: torch.Tensor
) -> int:
    """Return how many images the network, in inference mode, puts in their class."""
    import torch

    layers.eval()
    with torch.inference_mode():
        return int((forward(steps, layers, images).argmax(1) == labels).sum())


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def make(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train network `name`, write ``model.onnx`` and ``recipe.json`` to `folder`, and return the recipe."""
    import onnx
    import torch

    layers, curve = train(NETWORKS[name][1], seed)
    content = to_onnx(name, layers).SerializeToString(deterministic=True)
    (_, _, train_digest), (images, labels, test_digest) = load("train"), load("test")
    correct = count_correct(NETWORKS[name][1], layers, images, labels)
    recipe = {
        "network": name,
        "description": NETWORKS[name][0],
        "parameters": sum(value.numel() for value in layers.parameters()),
        "seed": seed,
        "training": {
            "epochs": EPOCHS,
            "batch": BATCH,
            "optimizer": "AdamW",
            "schedule": "OneCycleLR",
            "max_learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "label_smoothing": LABEL_SMOOTHING,
            "selection": "last epoch",
        },
        "augmentation": {
            "rotation_degrees": ROTATION_DEGREES,
            "zoom": ZOOM,
            "shift_pixels": SHIFT_PIXELS,
            "noise_std": NOISE,
        },
        "data": {"name": "digits", "train_sha256": train_digest, "test_sha256": test_digest},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
        },
        "machine": platform.machine(),
        "scripts_sha256": {script: sha256((FOLDER / script).read_bytes()) for script in SCRIPTS},
        "model_sha256": sha256(content),
        "model_bytes": len(content),
        "accuracy": {"split": "test", "correct": correct, "n": len(labels)},
        "curve": curve,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n", "utf-8")
    return recipe


def table(recipes: list[dict[str, Any]]) -> str:
    """Return the Markdown table of the bundled models that README.md holds."""
    heads = (
        "model",
        "network",
        "parameters",
        "file",
        "float top-1, digits test",
        "seed",
        "SHA-256 of model.onnx",
    )
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for recipe in recipes:
        correct, n = recipe["accuracy"]["correct"], recipe["accuracy"]["n"]
        cells = [
            f"`{recipe['network']}`",
            recipe["description"],
            f"{recipe['parameters']:,}",
            f"{recipe['model_bytes']:,} bytes",
            f"{100 * correct / n:.2f} % ({correct} of {n})",
            str(recipe["seed"]),
            f"`{recipe['model_sha256'][:16]}...`",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def write_table(folder: Path) -> None:
    """Bring the table in ``README.md`` in `folder` up to date with the recipes beside it."""
    recipes = [json.loads((folder / name / "recipe.json").read_text("utf-8")) for name in NETWORKS]
    readme = folder / "README.md"
    before, start, rest = readme.read_text("utf-8").partition(TABLE_START)
    _, end, after = rest.partition(TABLE_END)
    readme.write_text(before + start + table(recipes) + end + after, "utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Train the networks asked for; without ``--output`` the bundled files are replaced."""
    parser = argparse.ArgumentParser(description="Train the bundled digits networks and write them as ONNX.")
    parser.add_argument("--model", choices=list(NETWORKS), help="default: all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="write to OUTPUT/MODEL/, not over the bundled files")
    options = parser.parse_args(arguments)
    try:
        for name in [options.model] if options.model else NETWORKS:
            accuracy = make(name, options.seed, (options.output or FOLDER) / name)["accuracy"]
            print(f"{name}: {accuracy['correct']} of {accuracy['n']} correct")
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} must be installed to train: pip install 'hwsim[train]'")
    except InputError as error:
        sys.exit(str(error))
    if options.output is None:
        write_table(FOLDER)


if __name__ == "__main__":
    main()
