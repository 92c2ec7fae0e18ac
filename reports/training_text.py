"""The page of `reports/training.py`, of what is stored."""

from __future__ import annotations

from collections.abc import Iterator

from training_bits import KEY, bits_section
from training_measure import CASES, Json

PLAIN = (
    "cnn-4", "cnn-3", "cnn-2", "mobilenet-4", "mobilenet-3", "mobilenet-3-distilled", "lenet-4", "lenet-4-learned",
    "resnet8-4-edges", "resnet8-4-edges-learned",
)  # fmt: skip
NARROW = ("cnn-8-14", "cnn-6-12", "cnn-4-8", "cnn-4-8-through", "cnn-4-10-wrap", "lenet-8-16")
FITTED = ("cnn-4-10-penalty", "cnn-4-10-projection")

HEAD = """# Training with the machine in the loop

What training the integers themselves gives over quantizing after training, on the bundled networks.
[docs/train.md](../docs/train.md) says how it is done; every forward pass is the integer network on the machine, computed by the
kernels of `hwsim run`.

Made by `python reports/training.py`; the documents behind every row, with curves, hashes and versions, are in
`reports/training.json`. Machine: edge-16x16 with the accumulator that the row names, biases added behind it, rounding
`ort-float32`. Weights symmetric per channel, activations affine per tensor, ranges by moving average, {calibration} calibration
images; `learned steps` begin there and are trained (LSQ). `untrained` is the same scheme on the same machine without training.
Digits: all {digits} test images, {digits_train} for training; one image is 0.28 points. CIFAR-10: the first {cifar} test images
(a standard error of 0.7 to 1.1 points), and few training images, because this was one thread of a busy machine. No epoch is
picked by its score: every row is the last epoch of one seed.
"""


def page(stored: Json) -> str:
    """Return the page as Markdown."""
    stored = dict(stored)
    bits = stored.pop(KEY, None)
    documents = {key: found["document"] for key, found in stored.items()}
    by_set = {document["data"]["name"]: document for document in documents.values()}
    digits, cifar = by_set["digits"], by_set.get("cifar10")
    head = HEAD.format(
        calibration=digits["quantization"]["calibration_images"], digits=digits["evaluated"]["n"],
        digits_train=digits["data"]["n"], cifar=cifar["evaluated"]["n"] if cifar else "",
    )  # fmt: skip
    by_layer = () if bits is None else bits_section(bits)
    parts = (_plain(stored), _narrow(stored), _fitted(stored), by_layer, _lessons(stored))
    return "\n".join([head, *(line for part in parts for line in part)]) + "\n"


def _plain(stored: Json) -> Iterator[str]:
    yield "## Few bits, wide accumulators\n"
    yield (
        "`repaired` is the strongest recipe after training here: ranges of least squared error, `clip-weights`, `adaround`, "
        "`correct-bias`, all at the width of the row (edges too).\n"
    )
    yield "| network | bits | float | untrained | repaired | trained | recipe |"
    yield "|---|---|---|---|---|---|---|"
    for key in PLAIN:
        if key in stored:
            found = stored[key]
            document = found["document"]
            repaired = "" if "repaired" not in found else _percent(found["repaired"], document["evaluated"]["n"])
            yield (
                f"| {document['model']['name']} | {_bits(key)} | {_float(document)} | {_top1(document, 'before')} | "
                f"{repaired} | {_top1(document, 'after')} | {_recipe(document)} |"
            )
    yield ""


def _narrow(stored: Json) -> Iterator[str]:
    yield "## Narrow accumulators in the loop\n"
    yield (
        "Registers overflow, in training as in the run; weights may be anything. The gradient of a sum beyond a saturating "
        "register is 0, or `through`, that of the exact sum; that of a wrapped sum is that of the exact sum.\n"
    )
    yield "| network | bits | accumulator | float | untrained | its overflows | trained | its overflows | recipe |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for key in NARROW:
        if key in stored:
            document = stored[key]["document"]
            yield _overflow_row(key, document)
    elsewhere = [(key, found["also"]) for key, found in stored.items() if "also" in found]
    for key, also in elsewhere:
        document = stored[key]["document"]
        count = document["evaluated"]["n"]
        yield (
            f"\nOf {document['model']['name']} at {_bits(key)}, trained with a wide accumulator and then run with "
            f"{also['acc']}: {_percent(also['correct'], count)}."
        )
    yield ""


def _fitted(stored: Json) -> Iterator[str]:
    yield "## Weights that no input can overflow (A2Q+)\n"
    yield (
        "The bounds as a penalty on the loss, or as a projection after each step; the integers of every step are fitted to the "
        "register. `untrained` are weights fitted after training. The verifier of certificates accepted each network.\n"
    )
    yield "| network | bits | accumulator | float | untrained | its overflows | trained | its overflows | recipe |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for key in FITTED:
        if key in stored:
            assert stored[key]["document"]["certified"]
            yield _overflow_row(key, stored[key]["document"])
    yield ""


def _lessons(stored: Json) -> Iterator[str]:
    """Yield sentences that the figures decide, in whichever direction."""
    yield "## What the figures say\n"
    for key in PLAIN:
        if key in stored:
            document = stored[key]["document"]
            below = 100 * (_share(document, "after") - _share(document, "float"))
            gained = 100 * (_share(document, "after") - _share(document, "before"))
            training = document["training"]
            how = ", learned steps" if training.get("learned_steps") else ""
            how += ", distilled" if training["distillation"] is not None else ""
            within = "within" if below >= -2 else "not within"
            yield (
                f"- {document['model']['name']}, {_bits(key)}{how}: {gained:+.2f} points over no "
                f"training, {below:+.2f} against float: {within} 2 points of it."
            )
    for key in (*NARROW, *FITTED):
        if key in stored:
            document = stored[key]["document"]
            gained = 100 * (_share(document, "after") - _share(document, "before"))
            what = (
                "changes nothing"
                if gained == 0
                else f"{'recovers' if gained > 0 else 'loses'} {abs(gained):.2f} points"
            )
            name, acc, how = document["model"]["name"], _acc(document), _how(document)
            yield f"- {name}, {_bits(key)}, {acc}, {how}: training {what}."


def _overflow_row(key: str, document: Json) -> str:
    before, after = (f"{document[when]['overflow_events']:,}" for when in ("before", "after"))
    return (
        f"| {document['model']['name']} | {_bits(key)} | {_acc(document)} | {_float(document)} | {_top1(document, 'before')} | "
        f"{before} | {_top1(document, 'after')} | {after} | {_how(document)}; {_recipe(document)} |"
    )


def _acc(document: Json) -> str:
    found: str = document["accelerator"]["reduction"].split(",")[0].removeprefix("acc ")
    return found


def _how(document: Json) -> str:
    training = document["training"]
    if training["fitting"] is not None:
        return f"by {training['fitting']}"
    return "wrapping" if "wrap" in _acc(document) else f"gradient {training['saturated']}"


def _bits(key: str) -> str:
    case = next(case for case in CASES if case.key == key)
    edges = dict(case.settings).get("edge_bits")
    return f"W{case.bits}A{case.bits}" + ("" if edges is None else f", edges {edges}")


def _recipe(document: Json) -> str:
    training = document["training"]
    parts = [f"{training['epochs']} epochs of {document['data']['n']:,} images"]
    if training["shift_pixels"] or training["mirror"]:
        parts.append("shifted and mirrored")
    if training.get("learned_steps"):
        parts.append("learned steps")
    soft = training["distillation"]
    if soft is not None:
        parts.append(f"soft targets {soft['weight']:g} at T = {soft['temperature']:g}")
    return ", ".join(parts)


def _share(document: Json, which: str) -> float:
    accuracy = document["after" if which == "float" else which]["accuracy"]
    found: float = (accuracy["float32"] if which == "float" else accuracy)["top1"]
    return found


def _top1(document: Json, which: str) -> str:
    return f"{100 * _share(document, which):.2f}"


def _float(document: Json) -> str:
    return _top1(document, "float")


def _percent(correct: int, n: int) -> str:
    return f"{100 * correct / n:.2f}"
