"""Activations that are compressed in the DRAM: sizes of real tensors, and what they change of traffic, cycles and bounds."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from hwsim.load import load_model
from hwsim.memory.compression import Bitmask, scheme_named
from hwsim.sim.document import RunDocument
from hwsim.sim.program import Program
from hwsim.sim.run import Settings, run
from hwsim.sim.time.bandwidth import measured_bits
from hwsim.sim.time.document import total_times
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS, Arithmetic, Fusion, InputError, Memory
from sim.digits_runs import digits, feed, network

IMAGES = 3
SPILLED = replace(
    PRESETS[0],
    memory=Memory(weight_sram_bytes=1 << 14, activation_sram_bytes=900, result_sram_bytes=1 << 12, burst_bytes=1),
)
"""A machine whose buffers hold none of the digits network's larger tensors."""


@functools.cache
def measured(name: str = "bitmask") -> dict[str, int]:
    """Mean bits of the first images' activations."""
    program = Program(network().integer, Arithmetic())
    return measured_bits(program, feed(), IMAGES, scheme_named(name, "code"))


def test_sizes_are_those_of_real_tensors() -> None:
    """Zero-value compression of n elements of 8 bits: n + 8 * nonzeros bits, the mean of the images rounded up; 8 n at most."""
    graph, program = network().integer, Program(network().integer, Arithmetic())
    total: dict[str, int] = {}
    for image in range(IMAGES):
        batch = feed().integers(image, image + 1)
        values = {graph.inputs[0]: batch, **program.run(batch, keep=True)}
        for name, array in values.items():
            quantization = graph.tensors[name].quantization
            assert quantization is not None
            nonzero = int(np.count_nonzero(array != int(quantization.zero_point)))
            total[name] = total.get(name, 0) + min(8 * array.size, array.size + 8 * nonzero)
    expected = {name: math.ceil(bits / IMAGES) for name, bits in total.items()}
    assert measured() == {name: bits for name, bits in expected.items() if bits < 8 * graph.tensors[name].elements}
    assert len(measured()) >= 4


def test_bytes_and_stalls_are_those_of_the_compressed_tensors() -> None:
    """In bursts of one byte a tensor in one tile moves its bits, rounded up to a byte; every tile rounds up once more."""
    graph = network().integer
    plain, found = time_network(graph, SPILLED), time_network(graph, SPILLED, stored=measured())
    smaller = 0
    for node, before, after in zip(graph.nodes, plain, found, strict=True):
        moved = after.time.dram_bytes
        assert (moved["weights"], moved["biases"]) == (
            before.time.dram_bytes["weights"],
            before.time.dram_bytes["biases"],
        )
        assert after.time.compute_cycles == before.time.compute_cycles
        assert after.time.ports == before.time.ports, "on chip everything is as it is"
        if moved["activations_out"] and after.time.tiling is not None:
            stored = measured().get(node.outputs[0], 8 * graph.tensors[node.outputs[0]].elements)
            runs = after.time.tiles * after.time.tiling.height * after.time.tiling.width
            assert math.ceil(stored / 8) <= moved["activations_out"] <= math.ceil(stored / 8) + runs
            smaller += moved["activations_out"] < before.time.dram_bytes["activations_out"]
    assert smaller >= 2
    assert sum(layer.time.total_bytes for layer in found) < sum(layer.time.total_bytes for layer in plain)
    assert sum(layer.time.cycles for layer in found) < sum(layer.time.cycles for layer in plain)
    total = total_times(found, SPILLED, 30.0)
    assert total["bound_bytes"] <= total["dram_bytes"].total and total["least_cycles"] <= total["cycles"]


@pytest.mark.parametrize("size", [1500, 2500, 6000])
def test_what_is_smaller_never_costs_traffic(size: int) -> None:
    graph = network().integer
    for fusion in Fusion:
        machine = replace(PRESETS[0], memory=Memory(sram_bytes=size, burst_bytes=1, fusion=fusion))
        plain, found = (
            sum(layer.time.total_bytes for layer in time_network(graph, machine, stored=sizes))
            for sizes in ({}, measured())
        )
        # A tile's share is rounded up to a byte by itself.
        assert found <= plain


@functools.cache
def document(code: str | None) -> RunDocument:
    """A run on the machine above."""
    settings = Settings(
        accelerator=SPILLED, images=6, observed=IMAGES, calibration_images=128, reference=False,
        activation_compression=None if code is None else scheme_named(code, "code"),
    )  # fmt: skip
    return run(load_model("digits_cnn"), digits(), settings)


def test_a_run_counts_them_layer_by_layer() -> None:
    plain, found = document(None), document("bitmask")
    assert found.accuracy == plain.accuracy
    assert [layer.reduction for layer in found.layers] == [layer.reduction for layer in plain.layers]
    timed = time_network(network().integer, SPILLED, stored=measured())
    assert [layer.dram_bytes.total for layer in found.layers] == [layer.time.total_bytes for layer in timed]
    assert [layer.stall_cycles for layer in found.layers] == [layer.time.stall_cycles for layer in timed]
    assert found.total.stall_cycles < plain.total.stall_cycles
    assert found.total.bound_bytes <= found.total.dram_bytes.total
    graph = network().integer
    dense = {name: 8 * tensor.elements for name, tensor in graph.tensors.items() if not tensor.constant}
    stored = sum(measured().get(name, bits) for name, bits in dense.items())
    assert found.notes[-1].startswith(
        f"Activations are stored as bitmask, measured on {IMAGES} images: the mean of all tensors of an image is "
        f"{math.ceil(stored / 8)} bytes instead of {math.ceil(sum(dense.values()) / 8)}; "
    )


def test_without_buffers_nothing_is_compressed() -> None:
    settings = Settings(
        accelerator=replace(PRESETS[0], memory=Memory(direct=True)), images=2, calibration_images=16,
        activation_compression=Bitmask(),
    )  # fmt: skip
    with pytest.raises(InputError) as error:
        run(load_model("digits_cnn"), digits(), settings)
    assert str(error.value) == "compression of activations must be left out on a machine without buffers, not bitmask"
    with pytest.raises(InputError, match=r"^code must be one of bitmask, .*, huffman, not 'zip'$"):
        scheme_named("zip", "code")
