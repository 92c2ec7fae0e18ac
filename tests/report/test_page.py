"""The page: well-formed, self-contained, escaped, and there for every kind of run."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hwsim.report.write import write_report
from hwsim.sim.document import Accuracy, Layer, ModelInfo, RunDocument

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class _Page(HTMLParser):
    """Checks the nesting of tags and collects what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.texts: list[str] = []
        self.drawings: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.references += [str(value) for name, value in attrs if name in {"href", "xlink:href", "src"}]
        self.references += [match for _, value in attrs for match in re.findall(r"url\((#[^)]+)\)", value or "")]
        if tag == "svg":
            self.drawings.append(values)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _page(document: RunDocument, folder: Path) -> _Page:
    page = _Page()
    page.feed(write_report(document, folder / "report").read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


def _strange_document(
    kind: str, document: Callable[..., RunDocument], layer: Callable[..., Layer], bare: Callable[..., Layer]
) -> RunDocument:
    match kind:
        case "no products":
            return document((bare(),))
        case "no layers":
            return document(())
        case "single layer":
            return document((layer(4),))
        case "130 layers":
            return document(130)
        case "no float network":
            accuracy = Accuracy(top1=1.0, correct=10, n=10, float32=None)
            return document(tuple(layer(i, sqnr_db=None) for i in range(1, 4)), accuracy=accuracy)
        case "no images":
            return document(2, accuracy=Accuracy(top1=0.0, correct=0, n=0, float32=None))
        case "infinite SQNR":
            return document((layer(1, sqnr_db=float("inf")), layer(2)))
        case "nothing observed":
            reduction = layer(1).reduction
            assert reduction is not None
            unseen = reduction.model_copy(update={"observed_safe_bits": None, "headroom_bits": None})
            return document((layer(1, reduction=unseen, weights=None),))
        case _:
            return document((layer(1, name="卷积\n$x^2$ " + "long_" * 400),))


@pytest.mark.parametrize(
    "kind",
    [
        "no products",
        "no layers",
        "single layer",
        "130 layers",
        "no float network",
        "no images",
        "infinite SQNR",
        "nothing observed",
        "long name",
    ],
)
@pytest.mark.filterwarnings("error:Glyph")
def test_every_kind_of_run_has_a_well_formed_page(
    kind: str,
    tmp_path: Path,
    make_document: Callable[..., RunDocument],
    make_layer: Callable[..., Layer],
    make_bare_layer: Callable[..., Layer],
) -> None:
    page = _page(_strange_document(kind, make_document, make_layer, make_bare_layer), tmp_path)
    assert len(page.ids) == len(set(page.ids))
    # Nothing is loaded from elsewhere, and every reference finds its target.
    assert set(page.references) <= {f"#{name}" for name in page.ids}
    assert "script" not in page.tags
    assert "link" not in page.tags


def test_sections_stand_in_their_order(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    sections = ["summary", "accuracy", "bandwidth", "cycles", "accumulators", "sqnr", "layers", "details", "provenance"]
    page = _page(make_document(5), tmp_path)
    assert [name for name in page.ids if name in sections] == sections


def test_every_drawing_has_a_text_for_readers(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    page = _page(make_document(5), tmp_path)
    assert len(page.drawings) == 8 + 2 * 5
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.drawings)


def test_names_from_files_are_text(
    tmp_path: Path, make_document: Callable[..., RunDocument], make_layer: Callable[..., Layer]
) -> None:
    attack = "<script>alert(1)</script>\"' onload=x --><svg/onload=alert(2)>"
    model = ModelInfo(
        name=attack, source_format="onnx", sha256=attack, input_shape=(1,), parameters=1, quantized_by="model"
    )
    layers = (make_layer(4, name=attack, op=attack),)
    page = _page(make_document(layers, model=model, notes=(attack,), time_model=attack), tmp_path)
    assert "script" not in page.tags
    assert all("onload" not in drawing for drawing in page.drawings)
    assert len(page.drawings) == 8 + 2
    assert page.texts.count(attack) >= 2


def test_invisible_characters_do_not_reach_the_page(
    tmp_path: Path, make_document: Callable[..., RunDocument], make_layer: Callable[..., Layer]
) -> None:
    page = "".join(_page(make_document((make_layer(1, name="a\x00\u202eb"),)), tmp_path).texts)
    assert r"a\x00\u202eb" in page
    assert "\x00" not in page
    assert "\u202e" not in page


def test_the_overflow_figure_is_there_only_when_sums_overflowed(
    tmp_path: Path, make_document: Callable[..., RunDocument]
) -> None:
    assert not (write_report(make_document(3), tmp_path / "a").parent / "figures/overflow_events.svg").exists()
    assert (write_report(make_document(5), tmp_path / "b").parent / "figures/overflow_events.png").exists()
