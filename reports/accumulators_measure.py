"""What `reports/accumulators.py` measures: accuracy by the width of the registers, and what fitting weights to them costs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from hwsim.data import Dataset, open_dataset
from hwsim.graph import Graph, InputScaling
from hwsim.load import LoadedModel, load_model
from hwsim.models.catalog import BUNDLED
from hwsim.ops.products import ProductsUnit
from hwsim.quant import Scheme
from hwsim.quant.repair import REPAIRS
from hwsim.quant.repair.base import QuantizedRepair
from hwsim.sim.analyze.layers import prove
from hwsim.sim.execute import execute, execute_float
from hwsim.sim.feed import Feed
from hwsim.sim.fitted import fitted
from hwsim.sim.narrow.order import Order
from hwsim.sim.narrow.runs import Runs
from hwsim.sim.network import Network, Samples, calibration_samples, prepare_network
from hwsim.sim.program import Program
from hwsim.sim.time.bandwidth import crossing_bytes, stored_as
from hwsim.spec import Arithmetic, BiasAt, InputError, Overflow, Reduction, Register

CALIBRATION = 128
"""Images that set the ranges of activations, where hwsim quantizes."""

MACHINE = Reduction(Register(40, Overflow.WRAP), bias_at=BiasAt.END)
"""What is not searched: the bias is added by the requantizer, so that every width can start; behind chains nothing overflows."""

SEQUENTIAL, TREE, CHAIN = (Order.parse(text) for text in ("sequential", "tree:8", "chain:16"))
ORDERS = (SEQUENTIAL, TREE, CHAIN)

WIDTHS = range(10, 33)
FITTED_WIDTHS = (32, 20, 18, 17, 16, 15, 14, 13, 12, 11, 10)

Json = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A network of the report.

    Parameters
    ----------
    key, title
        What files and headings call it.
    model, data
        Files of the data pack, or names that hwsim knows.
    float_model
        Its float network, where weights are fitted to registers; empty for none.
    scaling
        How pixels enter the float network, where it does not say.
    """

    key: str
    title: str
    model: str
    data: str
    float_model: str = ""
    scaling: InputScaling | None = None

    def missing(self) -> str:
        """Say what is not there; empty where all is."""
        root = Path(os.environ.get("HWSIM_DATA", ""))
        if self.model.endswith(".tflite"):
            return "" if (root / self.model).exists() else f"HWSIM_DATA has no {self.model}"
        return "" if any(model.name == self.model for model in BUNDLED) else f"hwsim has no {self.model}"

    def load(self, *, real: bool = False) -> tuple[LoadedModel, Dataset]:
        """Return the network, or its float network, and its data."""
        name = self.float_model if real else self.model
        root = Path(os.environ.get("HWSIM_DATA", ""))
        model = load_model(root / name if name.endswith(".tflite") else name)
        return model, open_dataset(str(root / self.data) if self.data.endswith(".npz") else self.data)


SOURCES = (
    Source(
        "resnet8",
        "ResNet-8",
        "mlperf_tiny/resnet8_int8.tflite",
        "cifar10",
        "mlperf_tiny/resnet8_float.tflite",
        InputScaling((0.0,), (1.0,)),
    ),
    Source("dscnn", "DS-CNN", "mlperf_tiny/kws_dscnn_int8.tflite", "mlperf_tiny/kws01.npz"),
    Source("zoo_resnet8", "ResNet-8 of the zoo (`cifar_resnet8`)", "cifar_resnet8", "cifar10"),
    *(
        Source(name, title, f"cifar_{name}", "cifar10", f"cifar_{name}")
        for name, title in (
            ("mobilenet_v1_025", "MobileNetV1 0.25"),
            ("mobilenet_v1_050", "MobileNetV1 0.5"),
            ("mobilenet_v2_050", "MobileNetV2 0.5"),
        )
    ),
)
"""Another network is another row; one whose files are not there is named and left out."""


def begun(before: Json, source: Source, model: LoadedModel, data: Dataset, images: int) -> Json:
    """Return what an earlier call measured of the same network on the same images, or a document without counts."""
    head = {"title": source.title, "data": data.name, "model": model.sha256, "n": min(images, len(data))}
    return before if all(before.get(field) == value for field, value in head.items()) else head


def prepared(
    model: LoadedModel, data: Dataset, bits: tuple[int, int] | None, scaling: InputScaling | None = None
) -> Network:
    """Return integers as the makers stored them, or of so many bits for weights and activations."""
    own = bits is None and model.graph.quantized
    weights, activations = (None, None) if own else bits or (8, 8)
    return prepare_network(
        model, data, weight_bits=weights, activation_bits=activations, calibration_images=CALIBRATION,
        scaling=scaling,
        profile=model.graph.profile,
    )  # fmt: skip


def corrected(network: Network, samples: Samples, bits: tuple[int, int]) -> Graph:
    """Return the integer network with the mean error of each channel taken out of its bias."""
    repair = next(repair for repair in REPAIRS if repair.name == "correct-bias")
    assert isinstance(repair, QuantizedRepair)
    scheme = Scheme(weight_bits=bits[0], activation_bits=bits[1])
    return repair.repair(network.real, network.integer, samples, scheme)


def curves(source: Source, images: int, threads: int, before: Json) -> Iterator[Json]:
    """Run all widths in all orders; yield the counts after each curve, see `begun` for `before`."""
    model, data = source.load()
    found = begun(before, source, model, data, images)
    network = prepared(model, data, None)
    feed = Feed(network.integer, data, model.graph.input.quantization)
    with threadpool_limits(limits=1, user_api="blas"):
        arithmetic = replace(Arithmetic(MACHINE), profile=model.graph.profile)
        runs = Runs(network.integer, arithmetic, feed, found["n"], threads=threads)
        found["exact"] = runs.exact.correct
        orders = found.setdefault("orders", {})
        for order in ORDERS:
            rows = orders.setdefault(order.text, {"proven": _proven(runs, order)})
            for overflow in Overflow:
                # Where every register wraps and one width holds them all, sums are right modulo 2**bits in any order.
                if overflow.value not in rows and not (overflow is Overflow.WRAP and order is TREE):
                    rows[overflow.value] = _curve(runs, order, overflow)
                    yield found


def _proven(runs: Runs, order: Order) -> dict[str, int]:
    widest = order.of(MACHINE, 48, Overflow.WRAP)
    return {
        node.name: order.proven_bits(prove(runs.graph, node, 0, runs.unit(node.name, widest)))
        for node in runs.graph.nodes
        if node.name in runs.layers
    }


def _curve(runs: Runs, order: Order, overflow: Overflow) -> Json:
    rows: Json = {}
    for bits in reversed(WIDTHS):
        outcome = runs.run({name: order.of(MACHINE, bits, overflow) for name in runs.layers})
        struck = {name: events for name, events in outcome.events.items() if events}
        rows[str(bits)] = {
            "correct": outcome.correct, "events": outcome.total, "layers": len(struck),
            "most": max(struck, key=lambda name: struck[name]) if struck else "",
            "most_events": max(struck.values(), default=0),
            "changed": int((outcome.predictions != runs.exact.predictions).sum()),
        }  # fmt: skip
        print(
            f"{order.text} {bits}:{overflow.value}: {outcome.correct} of {outcome.n}, {outcome.total} events",
            flush=True,
        )
    return rows


def fitting(source: Source, images: int, threads: int, before: Json) -> Iterator[Json]:
    """Fit the weights of the float network to registers of every width; yield the counts after each format."""
    model, data = source.load(real=True)
    result = begun(before, source, model, data, images)
    formats = result.setdefault("formats", {})
    for bits in ((8, 8), (4, 8), (4, 4)):
        name = f"W{bits[0]}A{bits[1]}"
        if name not in formats:
            with threadpool_limits(limits=1, user_api="blas"):
                formats[name] = _fitted_format(source, model, data, bits, result["n"], threads)
            yield result


def _fitted_format(
    source: Source, model: LoadedModel, data: Dataset, formats: tuple[int, int], n: int, threads: int
) -> Json:
    network = prepared(model, data, formats, source.scaling)
    feed = Feed(network.integer, data, model.graph.input.quantization)
    samples = calibration_samples(model, network.real, data, CALIBRATION)
    rows: Json = {}
    float_feed = Feed(network.real, data, model.graph.input.quantization)
    float_correct = execute_float(network.real, float_feed, n, threads=threads)[1]
    runs = Runs(corrected(network, samples, formats), Arithmetic(MACHINE), feed, n, threads=threads)
    for bits in FITTED_WIDTHS:
        rows[str(bits)] = row = _fitted_row(network, bits, model.sha256, feed, n, threads)
        saturating = {name: SEQUENTIAL.of(MACHINE, bits, Overflow.SATURATE) for name in runs.layers}
        row["saturating"] = runs.run(saturating).correct
        if row["correct"] is not None:
            arithmetic = Arithmetic(replace(MACHINE, acc=Register(bits, Overflow.SATURATE)))
            again = fitted(network, arithmetic, model.sha256)
            repaired = corrected(again, samples, formats)
            row["repaired"] = execute(Program(repaired, arithmetic), feed, n, threads=threads).correct
        print(f"W{formats[0]}A{formats[1]} {bits} bits: {row}", flush=True)
    return {"float": float_correct, "widths": rows}


def _fitted_row(network: Network, bits: int, sha256: str, feed: Feed, n: int, threads: int) -> Json:
    arithmetic = Arithmetic(replace(MACHINE, acc=Register(bits, Overflow.SATURATE)))
    try:
        graph = fitted(network, arithmetic, sha256).integer
    except InputError as error:
        return {"correct": None, "refused": str(error), "zeros": None, "weights": None, "repaired": None}
    found = execute(Program(graph, arithmetic), feed, n, threads=threads)
    zeros, weights = _zeros(graph)
    return {"correct": found.correct, "refused": "", "zeros": zeros, "weights": weights, "repaired": None}


def _zeros(graph: Graph) -> tuple[int, int]:
    stored = [graph.inputs_of(node)[1].data for node in graph.nodes if node.op.weighted]
    return sum(int((data == 0).sum()) for data in stored if data is not None), sum(
        data.size for data in stored if data is not None
    )


@dataclass(frozen=True)
class Row:
    """A row of the table of static quantization."""

    name: str
    bits: tuple[int, int] | None
    acc: str
    fit: bool = False
    correct: bool = False


ROWS = (
    Row("int8 as stored, int32 accumulators", None, "32:wrap"),
    Row("int8 as stored, int16 accumulators that wrap", None, "16:wrap"),
    Row("int8 as stored, int16 accumulators that saturate", None, "16:saturate"),
    Row("int8, fitted to int16", (8, 8), "16:saturate", fit=True),
    Row("int8, fitted to int16, biases corrected", (8, 8), "16:saturate", fit=True, correct=True),
    Row("int4 weights, int8 activations, int16", (4, 8), "16:saturate"),
    Row("int4 weights, int8 activations, int16, biases corrected", (4, 8), "16:saturate", correct=True),
    Row("int4, int16", (4, 4), "16:saturate"),
    Row("int4, int16, biases corrected", (4, 4), "16:saturate", correct=True),
)


def static_table(source: Source, images: int, threads: int, before: Json) -> Iterator[Json]:
    """Yield accuracy, overflow and bytes of the rows, once, where they are not there; the first is float32."""
    stored, data = source.load()
    real, _ = source.load(real=True)
    result = begun(before, source, stored, data, images)
    if "rows" in result:
        return
    rows: list[Json] = []
    n = result["n"]
    for row in ROWS:
        model = stored if row.bits is None else real
        network = prepared(model, data, row.bits, None if row.bits is None else source.scaling)
        arithmetic = Arithmetic(replace(MACHINE, acc=Register.parse(row.acc)))
        if row.fit:
            network = fitted(network, arithmetic, model.sha256)
        if row.correct and row.bits is not None:
            graph = corrected(network, calibration_samples(model, network.real, data, CALIBRATION), row.bits)
            network = replace(network, integer=graph)
        feed = Feed(network.integer, data, model.graph.input.quantization)
        with threadpool_limits(limits=1, user_api="blas"):
            if not rows:
                float_feed = Feed(network.real, data, model.graph.input.quantization)
                correct = execute_float(network.real, float_feed, n, threads=threads)[1]
                rows.append({"name": "float32", "correct": correct, "events": None, "sums": None,
                             **_bytes(stored_as(model.graph, None, None), arithmetic)})  # fmt: skip
            program = Program(network.integer, arithmetic)
            found = execute(program, feed, n, threads=threads)
        sums = sum(_sums(program)) * n
        events = sum(monitor.events for monitor in found.monitors.values())
        rows.append({"name": row.name, "correct": found.correct, "events": events, "sums": sums,
                     **_bytes(network.integer, arithmetic)})  # fmt: skip
        print(rows[-1], flush=True)
    result["rows"] = rows
    yield result


def _sums(program: Program) -> Iterator[int]:
    graph = program.graph
    for node in graph.nodes:
        unit = program.units[node.name]
        if isinstance(unit, ProductsUnit):
            pixels = graph.outputs_of(node)[0].elements
            yield unit.reduction.writes(unit.depth) * pixels


def _bytes(graph: Graph, arithmetic: Arithmetic) -> Mapping[str, int]:
    moved = crossing_bytes(graph, arithmetic)
    return {
        "weight_bytes": moved["weights"],
        "constant_bytes": moved["biases"] + moved["scales"],
        "activation_bytes": moved["activations_in"] + moved["activations_out"],
    }
