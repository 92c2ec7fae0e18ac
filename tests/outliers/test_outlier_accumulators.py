"""Accumulators that outliers are added to: extremes against all inputs, certificates, and what `hwsim analyze` says of them."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyze.test_certificates import DIGEST, changed, graph_of, numbers
from analyze.test_extremes_oracle import SMALL_RANGES, exact, recorded
from cli.command import Command
from hwsim.certify.document import Certificate
from hwsim.certify.verify import WrongClaimError, verify
from hwsim.graph import Graph
from hwsim.kernels.monitor import REGISTERS, Closer, Monitor
from hwsim.kernels.outliers import Sparse
from hwsim.kernels.reduce import reduce_panel
from hwsim.sim.analyze.certificate import write_certificate
from hwsim.sim.analyze.document import AnalysisDocument
from hwsim.sim.analyze.extremes import extremes
from hwsim.sim.analyze.layers import prove
from hwsim.spec import BiasAt, Overflow, Reduction, Register, bits_for
from kernels.reduction_cases import reductions
from outliers.outlier_oracle import SparseLayer, reduce, sparse_layers


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command line, in an empty folder."""
    return Command(monkeypatch, capsys, tmp_path)


@st.composite
def tiny(draw: Any) -> tuple[list[int], list[int], int, tuple[int, int], Reduction, int | None]:
    """Draw one channel whose inputs can all be tried: dense weights, outliers, bias, activations, order and K tile."""
    pairs = draw(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from((0, 0, 20, -17))), min_size=1, max_size=5))
    reduction = draw(reductions())
    per = reduction.lanes * (reduction.chain or 1)
    tile = draw(st.sampled_from((None, per, 2 * per)))
    dense = [0 if apart else weight for weight, apart in pairs]
    spans = draw(st.sampled_from(SMALL_RANGES))
    return dense, [apart for _, apart in pairs], draw(st.integers(-30, 30)), spans, reduction, tile


def written(row: tuple[int, ...], case: Any) -> list[tuple[str, int]]:
    """Return what the oracle writes to each register that the reduction has."""
    dense, sparse, bias, _, reduction, tile = case
    return recorded(bias, reduction, lambda: reduce(list(row), dense, sparse, bias, exact(reduction), tile))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(tiny())
def test_extremes_are_those_of_all_inputs(case: Any) -> None:
    dense, sparse, bias, (low, high), reduction, tile = case
    matrix = Sparse.of(np.array(sparse)[:, None], tile)
    found = extremes(np.array(dense)[:, None], np.array([bias]), low, high, reduction, matrix)
    seen: dict[str, list[int]] = {}
    for row in itertools.product(range(low, high + 1), repeat=len(dense)):
        for name, total in written(row, case):
            seen.setdefault(name, []).append(total)
    ends = {name: (int(part.low[0]), int(part.high[0])) for name, part in found.items()}
    assert ends == {name: (min(seen[name]), max(seen[name])) for name in REGISTERS if name in seen}
    # The constructed input reaches the accumulator's ends at the very writes that are named.
    for part, at, largest in (
        (found["acc"].high, found["acc"].high_at, True),
        (found["acc"].low, found["acc"].low_at, False),
    ):
        whole = [d + s for d, s in zip(dense, sparse, strict=True)]
        worst = tuple((high if largest else low) if w > 0 else (low if largest else high) for w in whole)
        _, stop, entries = at[0].tolist()
        start = bias if reduction.bias_at is BiasAt.START else 0
        apart = [a * w for a, w in zip(worst, sparse, strict=True) if w][:entries]
        assert start + sum(a * w for a, w in zip(worst[:stop], dense[:stop], strict=True)) + sum(apart) == part[0]


def test_outliers_count_from_their_tile_on() -> None:
    """Activations 0..1, K tiles of 2: p = 5, [70], then -9, [60]. Sums: 5, 75, 75 (the -9 at 0), 135."""
    dense, sparse = np.array([[5], [0], [-9], [0]]), np.array([[0], [70], [0], [60]])
    parts = [extremes(dense, np.array([0]), 0, 1, Reduction(), Sparse.of(sparse, tile))["acc"] for tile in (2, None)]
    assert [int(part.high[0]) for part in parts] == [135, 135]
    assert [part.high_at[0].tolist() for part in parts] == [[0, 4, 2], [0, 4, 2]]
    # The smallest is -9, at its own write: by then one outlier is in where tiles have 2 products.
    assert [(int(part.low[0]), part.low_at[0].tolist()) for part in parts] == [(-9, [0, 3, 1]), (-9, [0, 3, 0])]


def test_the_declared_order_is_tighter_where_zero_is_no_activation() -> None:
    """Activations 1..2, weights 3 and -4, outlier 50.

    Sums behind tiles of one product: 3..6, then 53..106, then 45..102. Behind all: 3..6, then -5..2, then 45..102.
    """
    dense, sparse = np.array([[3], [0], [-4]]), np.array([[0], [50], [0]])
    parts = [extremes(dense, np.array([0]), 1, 2, Reduction(), Sparse.of(sparse, tile))["acc"] for tile in (1, None)]
    assert [(int(part.low[0]), int(part.high[0])) for part in parts] == [(0, 106), (-5, 102)]


def certificate_of(case: SparseLayer) -> tuple[Certificate, Graph]:
    """Return a network of one layer and its certificate."""
    graph = graph_of(case.layer)
    proof = prove(graph, graph.nodes[0], 1, case.prepare())
    reduction = case.layer.arithmetic.reduction
    return write_certificate(graph, DIGEST, [proof], reduction, outlier_tile=case.tile), graph


@settings(max_examples=80, deadline=None, derandomize=True)
@given(sparse_layers())
def test_what_the_analysis_claims_is_accepted_and_holds(case: SparseLayer) -> None:
    """The verifier goes product by product in plain integers, the analysis by prefix sums; and the images stay within both."""
    certificate, graph = certificate_of(case)
    verify(certificate, graph, DIGEST)
    assert Certificate.model_validate_json(certificate.to_json()) == certificate
    monitor = Monitor(case.layer.output.shape[-1], observe=True)
    case.prepare().run([case.layer.images], monitor)
    acc = certificate.layers[0].registers[-1]
    assert np.all(monitor.low >= acc.channel_low) and np.all(monitor.high <= acc.channel_high)
    assert monitor.events == 0 or not certificate.no_overflow


CHAINED = Reduction(
    Register(24, Overflow.WRAP), 2, Register(18, Overflow.SATURATE), 2, Register(19, Overflow.WRAP), BiasAt.END
)


def chained() -> SparseLayer:
    """Return a layer whose outliers follow K tiles of 4 products."""
    drawn: list[SparseLayer] = []

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(sparse_layers(reduction=CHAINED, bits=8))
    def draw(case: SparseLayer) -> None:
        drawn.append(case)

    draw()
    return next(
        case for case in drawn
        if case.tile == 4 and case.layer.inputs[1].outliers is not None and case.layer.inputs[1].outliers.entries >= 3
        and np.any(case.layer.inputs[1].data != 0)
    )  # fmt: skip


@pytest.mark.parametrize("by", [1, -1])
def test_any_one_number_changed_is_refused(by: int) -> None:
    certificate, graph = certificate_of(chained())
    document = certificate.model_dump()
    paths = [path for path in numbers(document) if path[0] == "layers"]
    assert ("layers", 0, "outliers") in paths and ("layers", 0, "registers", 2, "high", "outliers") in paths
    for path in paths:
        with pytest.raises(WrongClaimError, match=r"^layer only: "):
            verify(changed(document, path, by), graph, DIGEST)


def test_other_outliers_and_tiles_within_chains_are_refused() -> None:
    case = chained()
    certificate, graph = certificate_of(case)
    weights = graph.tensors["w"]
    assert weights.outliers is not None
    values = weights.outliers.values.copy()
    values[:2] = values[1::-1] if values[0] != values[1] else -values[:2]
    other = dataclasses.replace(weights, outliers=dataclasses.replace(weights.outliers, values=values))
    with pytest.raises(WrongClaimError, match=r"^layer only: weights_sha256"):
        verify(certificate, dataclasses.replace(graph, tensors={**graph.tensors, "w": other}), DIGEST)
    none = dataclasses.replace(graph, tensors={**graph.tensors, "w": dataclasses.replace(weights, outliers=None)})
    with pytest.raises(WrongClaimError, match=r"^layer only: outliers is claimed to be \d+ and is 0"):
        verify(certificate, none, DIGEST)
    machine = certificate.machine.model_copy(update={"outlier_tile": 2})
    if len(certificate.layers) and certificate.layers[0].products > 2:
        with pytest.raises(WrongClaimError, match=r"machine: outliers follow 2 products, within a chain of 4"):
            verify(certificate.model_copy(update={"machine": machine}), graph, DIGEST)


def test_a_certificate_without_outliers_says_nothing_of_them() -> None:
    case = chained()
    graph = graph_of(case.layer)
    plain = dataclasses.replace(graph.tensors["w"], outliers=None)
    layer = dataclasses.replace(case.layer, inputs=(case.layer.inputs[0], plain, *case.layer.inputs[2:]))
    graph = graph_of(layer)
    text = write_certificate(graph, DIGEST, [prove(graph, graph.nodes[0], 1, layer.prepare())], CHAINED).to_json()
    assert "outlier" not in text


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_events_where_outliers_are_added(data: Any) -> None:
    """Against a loop in Python integers: one product at a time, outliers behind their tile."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    depth, channels, tile = int(rng.integers(1, 14)), int(rng.integers(1, 4)), int(rng.integers(1, 6))
    panel, dense = rng.integers(-128, 128, (3, depth)), rng.integers(-8, 8, (depth, channels))
    sparse = np.where(rng.random((depth, channels)) < 0.3, rng.integers(-900, 900, (depth, channels)), 0)
    dense[sparse != 0] = 0
    acc = Register(int(rng.integers(9, 17)), list(Overflow)[int(rng.integers(2))])
    monitor = Monitor(channels, Closer(3))
    reduce_panel(panel, dense, None, Reduction(acc), monitor, sparse=Sparse.of(sparse, tile))
    assert monitor.detail is not None
    merged, total = np.zeros((2, channels), int), np.zeros((2, channels), int)
    for row, n in itertools.product(panel.tolist(), range(channels)):
        held = 0

        def add(product: int, outlier: bool, held: int, n: int = n) -> int:
            held += product
            for kind, event in enumerate((held > acc.format.hi, held < acc.format.lo)):
                total[kind, n] += event
                merged[kind, n] += event and outlier
            if acc.overflow is Overflow.SATURATE:
                return min(max(held, acc.format.lo), acc.format.hi)
            return (held - acc.format.lo) % (1 << acc.bits) + acc.format.lo

        for first in range(0, depth, tile):
            part = range(first, min(first + tile, depth))
            for k in part:
                held = add(row[k] * int(dense[k, n]), False, held)
            for k in part:
                if sparse[k, n]:
                    held = add(row[k] * int(sparse[k, n]), True, held)
    assert np.array_equal(monitor.detail.merged, merged)
    assert np.array_equal(monitor.counts[2], total)


def test_the_table_the_document_and_the_certificate(hwsim: Command, tmp_path: Path) -> None:
    """13 bits wrap in both parts; the events are those of `hwsim run`, and the certificate is accepted for this network alone."""
    (tmp_path / "lanes.toml").write_text("[core]\noutlier_lanes = 2\n")
    network = ("digits_cnn", "--weight-bits", "4", "--outliers", "3%", "--calibration-images", "8")
    options = ("--images", "4", "--accelerator", "lanes.toml")
    files = ("--json", "a.json", "--certificate", "c.json", "--report", "page")
    answer = hwsim("analyze", *network, *options, "--acc", "13:wrap", *files)
    assert answer.code == 0, answer
    assert " dense " in answer.out and " outliers " in answer.out
    found = AnalysisDocument.model_validate_json((tmp_path / "a.json").read_text())
    assert [layer.outliers and layer.outliers.entries for layer in found.layers] == [4, 138, 276, 38]
    for layer in found.layers:
        path = layer.outliers
        assert path is not None and (path.bits, path.tile) == (16, 16)
        assert path.dense_bits <= layer.acc.proven_bits and path.apart_bits <= layer.acc.proven_bits
        assert path.positive <= layer.acc.positive and path.negative <= layer.acc.negative
    merged = sum(layer.outliers.positive + layer.outliers.negative for layer in found.layers if layer.outliers)
    assert 0 < merged < found.total.events
    rows = list(csv.DictReader((tmp_path / "page" / "layers.csv").read_text().splitlines()))
    assert [row["outliers"] for row in rows] == ["4", "138", "276", "38"]
    assert sum(int(row["outlier_events"]) for row in rows) == merged
    ran = hwsim("run", *network, *options, "--acc", "13:wrap", "--observe", "4", "--no-float", "--json", "r.json")
    assert ran.code == 0, ran
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["total"]["overflow_events"] == found.total.events
    proven = [layer["reduction"]["proven_safe_bits"] for layer in document["layers"] if layer["reduction"]]
    assert [layer.acc.any_order_bits for layer in found.layers] == proven
    verified = hwsim("analyze", *network, "--verify", "c.json")
    assert verified.code == 0 and "every claim of 4 layers holds" in verified.out, verified
    other = hwsim("analyze", *network[:3], "--outliers", "2%", *network[5:], "--verify", "c.json")
    assert other.code == 1 and "certificate refused: layer conv1_conv: " in other.err, other


def test_widths_of_the_parts_by_numpy() -> None:
    """One channel, activations 0..255: dense 7, -7 need -1785..1785; outliers 90 and 300 need 0..99450."""
    found = extremes(np.array([[7], [-7], [0], [0]]), np.array([0]), 0, 255, Reduction(),
                     Sparse.of(np.array([[0], [0], [90], [300]])))["acc"]  # fmt: skip
    assert (int(found.low[0]), int(found.high[0])) == (-1785, 1785 + 99450)
    assert bits_for(-1785, 1785 + 99450) == 18
