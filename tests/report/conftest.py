"""Synthetic documents: consistent in their totals, free in everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hwsim.sim.document import (
    AcceleratorInfo,
    Accuracy,
    DataInfo,
    EnergyInfo,
    Events,
    FirstOverflow,
    FloatAccuracy,
    Histogram,
    Layer,
    ModelInfo,
    Overflow,
    PortTraffic,
    Provenance,
    QuantizationInfo,
    ReductionInfo,
    RunDocument,
    Segment,
    TilingInfo,
    Total,
    Traffic,
)

MakeDocument = Callable[..., RunDocument]
MakeLayer = Callable[..., Layer]

_ROWS, _COLS, _CLOCK_HZ, _BYTES_PER_CYCLE, _FRAME_RATE, _ACC_BITS = 16, 16, 200e6, 8.0, 30.0, 16


def _histogram(spread: float, levels: int, clipped: bool) -> Histogram:
    """A bell of `spread` over a grid that ends inside it where `clipped`."""
    edge = spread * (0.6 if clipped else 1.0)
    bins = 48
    centres = [spread * (2 * (i + 0.5) / bins - 1) for i in range(bins)]
    counts = tuple(round(4000 * math.exp(-((3.2 * x / spread) ** 2))) for x in centres)
    return Histogram(
        lo=-spread,
        hi=spread,
        counts=counts,
        grid_lo=-edge,
        grid_hi=edge,
        grid_step=2 * edge / levels,
        clipped=sum(n for x, n in zip(centres, counts, strict=True) if abs(x) > edge),
        n=sum(counts),
    )


def _reduction(index: int, events: int) -> ReductionInfo:
    observed = 11 + index % 5 + (3 if events else 0)
    return ReductionInfo(
        kernel="ordered" if events or index % 3 else "exact",
        proof="no bound: the products of channel 5 can reach 98,304, the accumulator holds 32,767"
        if events
        else "the sum of |w| times the largest activation is below 2^15 in every channel",
        acc_bits=_ACC_BITS,
        psum_bits=None,
        overflow=Overflow(
            tree=Events(positive=0, negative=0),
            psum=Events(positive=events // 50, negative=0),
            acc=Events(positive=events, negative=events // 7),
            channels=7 if events else 0,
            sums=9_000_000,
        ),
        first=FirstOverflow(image=2, pixel=113, channel=5, register_name="acc") if events else None,
        proven_safe_bits=observed + 1 + index % 4,
        observed_safe_bits=observed,
        headroom_bits=_ACC_BITS - observed,
        observed_images=1000,
    )


def _ports(inputs: int, results: int) -> PortTraffic:
    return PortTraffic(weights=inputs, activations=2 * inputs, outliers=0, results=results, total=3 * inputs + results)


def _timeline(compute: int, stall: int, read: int, write: int) -> tuple[Segment, ...]:
    """A load that nothing overlaps, where the layer stalls, and the rest of its time."""
    load = Segment(cycles=stall, compute_cycles=0, dram_cycles=stall, read_bytes=read // 2, write_bytes=0)
    rest = Segment(
        cycles=compute, compute_cycles=compute, dram_cycles=compute // 2, read_bytes=read - (read // 2 if stall else 0),
        write_bytes=write,
    )  # fmt: skip
    return (load, rest) if stall else (rest,)


def layer(index: int = 1, **changes: Any) -> Layer:
    """A convolution that depends on `index` alone, with `changes` to its fields."""
    size = max(2, 32 >> (index // 6))
    channels = 8 * (1 + index // 4)
    macs = size * size * channels * channels * 9
    traffic = {
        "weights": channels * channels * 9,
        "biases": 4 * channels,
        "scales": 5 * channels,
        "activations_in": size * size * channels,
        "activations_out": size * size * channels,
    }
    total = sum(traffic.values())
    compute = int(macs / (_ROWS * _COLS) * (1.1 + 0.2 * (index % 5))) + 60
    stall = max(0, int(total / _BYTES_PER_CYCLE) - compute) + (900 if index % 7 == 3 else 0)
    fields: dict[str, Any] = {
        "name": f"features/block_{index}/conv2d",
        "op": "conv2d",
        "input_shape": (1, size, size, channels),
        "output_shape": (1, size, size, channels),
        "macs": macs,
        "weight_bits": 8 if index % 4 else 4,
        "activation_bits": 8,
        "reduction": _reduction(index, 10 ** (2 + index % 5) if index % 6 == 4 else 0),
        "sqnr_db": 38.0 - 0.25 * index + 3 * math.sin(index),
        "weights": _histogram(0.2 + 0.05 * (index % 3), 255 if index % 4 else 15, clipped=index % 3 == 0),
        "activations": _histogram(6.0, 255, clipped=index % 2 == 0),
        "dram_bytes": Traffic(**traffic, total=total),
        "compute_cycles": compute,
        "stall_cycles": stall,
        "cycles": compute + stall,
        "least_cycles": macs // (_ROWS * _COLS),
        "utilization": macs / ((compute + stall) * _ROWS * _COLS),
        "port_bytes": _ports(total, size * size * channels),
        "bound_bytes": total - 8 * channels,
        "bound_term": "compulsory",
        "dram_bytes_per_second": total / (compute + stall) * _CLOCK_HZ,
        "peak_bytes_per_cycle": total / compute,
        "input_on_chip": index % 2 == 0,
        "output_on_chip": index % 3 == 0,
        "placement": f"on chip: {total} of 262144 bytes hold tensors" if index % 3 == 0 else "DRAM: it is too large",
        "tiling": TilingInfo(
            order="weights", height=size, width=size, channels=channels, products=9 * channels, tiles=3
        ),
        "timeline": _timeline(compute, stall, total - traffic["activations_out"], traffic["activations_out"]),
    }
    return Layer(**(fields | changes))


def bare_layer(**changes: Any) -> Layer:
    """A layer that has nothing: no products, no bytes, no cycles, no statistics."""
    nothing = Traffic(weights=0, biases=0, scales=0, activations_in=0, activations_out=0, total=0)
    empty: dict[str, Any] = {
        "name": "reshape",
        "op": "reshape",
        "output_shape": (),
        "macs": 0,
        "weight_bits": None,
        "activation_bits": None,
        "reduction": None,
        "sqnr_db": None,
        "weights": None,
        "activations": None,
        "dram_bytes": nothing,
        "compute_cycles": 0,
        "stall_cycles": 0,
        "cycles": 0,
        "least_cycles": 0,
        "utilization": 0.0,
        "port_bytes": _ports(0, 0),
        "bound_bytes": 0,
        "dram_bytes_per_second": 0.0,
        "peak_bytes_per_cycle": 0.0,
        "output_on_chip": False,
        "placement": "nothing moves",
        "tiling": None,
        "timeline": (),
    }
    return layer(**(empty | changes))


def _total(layers: tuple[Layer, ...]) -> Total:
    names = ("weights", "biases", "scales", "activations_in", "activations_out", "total")
    traffic = Traffic(**{name: sum(getattr(item.dram_bytes, name) for item in layers) for name in names})
    cycles = sum(item.cycles for item in layers)
    macs = sum(item.macs for item in layers)
    events = [
        register
        for item in layers
        if item.reduction
        for register in (item.reduction.overflow.tree, item.reduction.overflow.psum, item.reduction.overflow.acc)
    ]
    return Total(
        macs=macs,
        dram_bytes=traffic,
        port_bytes=PortTraffic(
            **{name: sum(getattr(item.port_bytes, name) for item in layers) for name in PortTraffic.model_fields}
        ),
        bound_bytes=sum(item.bound_bytes for item in layers),
        least_cycles=sum(item.least_cycles for item in layers),
        energy=(
            EnergyInfo(
                table="one",
                unit="pJ",
                source="a paper",
                stretched="nothing",
                macs=1e6,
                sram=2e6,
                dram=3e6,
                total=6e6,
                leakage=None,
            ),
            EnergyInfo(
                table="two",
                unit="MACs",
                source="another",
                stretched="memories",
                macs=None,
                sram=2e3,
                dram=None,
                total=None,
                leakage=1.0,
            ),
        ),
        compute_cycles=sum(item.compute_cycles for item in layers),
        stall_cycles=sum(item.stall_cycles for item in layers),
        cycles=cycles,
        utilization=macs / (cycles * _ROWS * _COLS) if cycles else 0.0,
        seconds_per_image=cycles / _CLOCK_HZ,
        images_per_second=_CLOCK_HZ / cycles if cycles else 0.0,
        operations_per_byte=2 * macs / traffic.total if traffic.total else 0.0,
        peak_bytes_per_cycle=max((item.dram_bytes.total / item.cycles for item in layers if item.cycles), default=0.0),
        frames_per_second=_FRAME_RATE,
        bandwidth_bytes_per_second=traffic.total * _FRAME_RATE,
        overflow_events=sum(event.positive + event.negative for event in events),
    )


def document(layers: tuple[Layer, ...] | int = 7, **changes: Any) -> RunDocument:
    """A run of `layers` (or that many of `layer`), with `changes` to the fields of the document."""
    if isinstance(layers, int):
        layers = tuple(layer(index) for index in range(1, layers + 1))
    fields: dict[str, Any] = {
        "schema_version": 2,
        "model": ModelInfo(
            name="resnet8_cifar10",
            source_format="tflite",
            sha256="a1" * 32,
            input_shape=(1, 32, 32, 3),
            parameters=78_666,
            quantized_by="hwsim",
        ),
        "data": DataInfo(name="cifar10", split="test", n=1000, sha256="b2" * 32),
        "quantization": QuantizationInfo(
            scheme="symmetric, per channel", weight_bits=8, activation_bits=8, calibration_images=256
        ),
        "accelerator": AcceleratorInfo(
            name="edge-16x16",
            rows=_ROWS,
            cols=_COLS,
            lanes=1,
            multipliers=_ROWS * _COLS,
            dataflow="weight_stationary",
            memory="262144 bytes of SRAM, double buffered; DRAM latency 32 cycles, bursts of 32 bytes",
            not_built="",
            clock_hz=_CLOCK_HZ,
            dram_bytes_per_cycle=_BYTES_PER_CYCLE,
            reduction="acc 16-bit saturate, bias at start, zero points subtract",
            requantization="tflite",
        ),
        "time_model": "weight_stationary, one layer after the other, DRAM overlapped with computing",
        "accuracy": Accuracy(
            top1=0.8712,
            correct=871,
            n=1000,
            float32=FloatAccuracy(top1=0.879, correct=879, n=1000, agree=950, source="float model"),
        ),
        "layers": layers,
        "total": _total(layers),
        "notes": ("Softmax runs in float32 on the host.",),
        "provenance": Provenance(
            command="hwsim run resnet8 --data cifar10 --acc 16:saturate --report out",
            seed=7,
            versions={"hwsim": "0.1.0", "numpy": "2.4.6"},
        ),
    }
    return RunDocument(**(fields | changes))


@pytest.fixture
def make_document() -> MakeDocument:
    """The factory of documents."""
    return document


@pytest.fixture
def make_layer() -> MakeLayer:
    """The factory of layers with statistics."""
    return layer


@pytest.fixture
def make_bare_layer() -> MakeLayer:
    """The factory of layers without any."""
    return bare_layer
