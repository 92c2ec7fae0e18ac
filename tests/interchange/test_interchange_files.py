"""What `hwsim.interchange` writes, read by a YAML parser and by `hwsim.scalesim`, against the layers that it came from."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.interchange import scalesim_config, scalesim_topology, timeloop_problem, zigzag_workload
from hwsim.memory.bounds import Axis, Products
from hwsim.scalesim import Config, parse_config, parse_topology, topology_text
from hwsim.scalesim.config import config_text
from hwsim.spec import Accelerator, Dataflow, InputError, Memory, Operand, Sliding, Workload

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra dev)")


@st.composite
def workloads(draw: st.DrawFn, *, sayable: bool = False) -> Workload:
    """Draw a convolution, plain, grouped or depthwise; with `sayable` one that a topology has words for."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = (1, 1) if sayable else draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    stride = (stride[0], stride[0]) if sayable else stride
    output = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    before = tuple(draw(st.integers(0, (kernel[axis] - 1) * dilation[axis])) for axis in range(2))
    reach = [(output[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1 for axis in range(2)]
    image = tuple(max(1, reach[axis] - before[axis] - draw(st.integers(0, 1))) for axis in range(2))
    groups, inputs, outputs = (draw(st.integers(1, most)) for most in (4, 3, 5))
    sliding = Sliding(image, groups * inputs, output, kernel, stride, dilation, before)  # type: ignore[arg-type]
    pixels = output[0] * output[1]
    operands = (Operand("activations_out", pixels * groups * outputs, 6),)
    window = kernel[0] * kernel[1] * inputs
    if inputs == 1 and groups > 1:
        # Depthwise layers have a group per output channel.
        return Workload("dw, DP/1", "depthwise_conv2d", pixels, window, 1, groups * outputs, operands, 4, 8, sliding)
    return Workload("conv: 1", "conv2d", pixels, window, outputs, groups, operands, 4, 8, sliding)


@given(workloads(sayable=True))
def test_a_topology_has_the_products_of_the_layer(workload: Workload) -> None:
    """Rows are read back with SCALE-Sim's rules; products with padding are products there."""
    (topology,) = [scalesim_topology([workload])]
    layers = parse_topology(topology_text(topology.layers), "x.csv")
    assert workload.sliding is not None
    assert sum(layer.macs for layer in layers) == workload.macs
    assert {(layer.ofmap_height, layer.ofmap_width) for layer in layers} == {workload.sliding.output}
    assert sum(layer.filters for layer in layers) == workload.n * workload.groups
    assert len(layers) == min(workload.groups, workload.sliding.channels)


@given(workloads())
def test_a_layer_that_a_topology_has_no_words_for_is_a_gemm(workload: Workload) -> None:
    topology = scalesim_topology([workload])
    layers = parse_topology(topology_text(topology.layers), "x.csv")
    assert sum(layer.macs for layer in layers) == workload.macs
    said = any("GEMM" in note for note in topology.notes)
    assert said == any(layer.filter_height == 1 and "stride" in str(layer) and _no_words(workload) for layer in layers)


def _no_words(workload: Workload) -> bool:
    sliding = workload.sliding
    assert sliding is not None
    dilated = any(d > 1 and k > 1 for d, k in zip(sliding.dilation, sliding.kernel, strict=True))
    return dilated or sliding.stride[0] != sliding.stride[1]


def test_notes_say_what_a_topology_cannot() -> None:
    """3 x 3 on 8 x 8 with padding, weights of 4 bits, and an addition."""
    sliding = Sliding((8, 8), 3, (8, 8), (3, 3), before=(1, 1))
    conv = Workload("conv", "conv2d", 64, 27, 5, 1, (), 4, 8, sliding)
    add = Workload("add", "add", 0, 0, 0, 1, (), 0, 8)
    topology = scalesim_topology([conv, add])
    assert [(layer.ifmap_height, layer.ifmap_width) for layer in topology.layers] == [(10, 10)]
    assert topology.notes == (
        "1 layers without products are left out",
        "1 layers have padding: it is part of the input size, and its words are read from DRAM",
        "operands of 4 bits count as one word of a byte",
    )


def test_a_machine_as_a_configuration() -> None:
    """300 KiB for everything are three of 100; own buffers stay what they are, in KiB rounded down and at least one."""
    machine = Accelerator("edge 16/x", 12, 14, memory=Memory(sram_bytes=300 * 1024))
    config = scalesim_config(machine)
    assert config == Config("edge_16_x", 12, 14, 100, 100, 100, "ws")
    assert parse_config(config_text(config), "x.cfg") == config
    own = Memory(weight_sram_bytes=4096, activation_sram_bytes=2047, result_sram_bytes=10)
    machine = Accelerator("own", 4, 4, memory=own, dataflow=Dataflow.OUTPUT_STATIONARY)
    assert scalesim_config(machine) == Config("own", 4, 4, 1, 4, 1, "os")


def projected(rank: list[list[str]], instance: dict[str, int]) -> int:
    """Return the size of a rank of a data space: a sum of products of dimensions and coefficients, from 0 to its end."""
    return 1 + sum((instance[term[0]] - 1) * (instance[term[1]] if len(term) > 1 else 1) for term in rank)


@given(workloads())
def test_a_timeloop_problem_has_the_operands_of_the_layer(workload: Workload) -> None:
    """The inputs are what the windows reach over, padding included; the comment has the padding and the widths."""
    text = timeloop_problem(workload)
    problem: dict[str, Any] = yaml.safe_load(text)["problem"]
    shape, instance = problem["shape"], problem["instance"]
    assert problem["version"] == 0.4
    assert set(instance) == set(shape["dimensions"]) | {entry["name"] for entry in shape["coefficients"]}
    products = Products.of(workload)
    macs = 1
    for dimension in shape["dimensions"]:
        macs *= instance[dimension]
    assert macs == workload.macs
    sizes = {}
    for space in shape["data_spaces"]:
        sizes[space["name"]] = 1
        for rank in space["projection"]:
            sizes[space["name"]] *= projected(rank, instance)
    reach = [(axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1 for axis in _axes(products)]
    assert sizes["Weights"] == products.weights
    assert sizes["Outputs"] == products.results
    assert sizes["Inputs"] == products.groups * products.inputs * reach[0] * reach[1]
    assert [space["name"] for space in shape["data_spaces"] if space.get("read_write")] == ["Outputs"]
    assert re.search(r"^# bits of an element: weights 4, inputs 8, outputs 6$", text, re.MULTILINE)
    assert f"# padding: {products.height.before} rows above, {products.width.before} columns on the left" in text


def _axes(products: Products) -> tuple[Axis, Axis]:
    return products.height, products.width


@given(st.lists(workloads(), min_size=1, max_size=3))
def test_a_zigzag_workload_has_the_loops_of_its_layers(layers: list[Workload]) -> None:
    found = yaml.safe_load(zigzag_workload(layers, 24))
    assert [entry["id"] for entry in found] == list(range(len(layers)))
    for entry, workload in zip(found, layers, strict=True):
        sizes = dict(zip(entry["loop_dims"], entry["loop_sizes"], strict=True))
        macs = 1
        for size in sizes.values():
            macs *= size
        assert macs == workload.macs
        assert isinstance(entry["name"], str)
        assert entry["operand_precision"] == {"W": 4, "I": 8, "O": 24, "O_final": 6}
        named = set(re.findall(r"\[(\w+)\]", entry["equation"])) - {"ix", "iy"}
        assert named == {dimension.lower() for dimension in sizes}
        sliding = workload.sliding
        assert sliding is not None
        assert entry["pr_loop_sizes"] == [sliding.image[1], sliding.image[0]]
        for relation, pads, size, axis in zip(
            entry["dimension_relations"], entry["padding"], entry["pr_loop_sizes"], (1, 0), strict=True
        ):
            stride, dilation = map(int, re.fullmatch(r"i\w=(\d)\*o\w\+(\d)\*f\w", relation).groups())  # type: ignore[union-attr]
            assert (stride, dilation) == (sliding.stride[axis], sliding.dilation[axis])
            reach = (sliding.output[axis] - 1) * stride + (sliding.kernel[axis] - 1) * dilation + 1
            assert pads[0] == sliding.before[axis]
            assert sum(pads) + size >= reach


def test_a_fully_connected_layer_everywhere() -> None:
    layer = Workload("fc", "fully_connected", 1, 20, 30, 1, (), 8, 8)
    (row,) = scalesim_topology([layer]).layers
    assert (row.pixels, row.window, row.filters) == (1, 20, 30)
    instance = yaml.safe_load(timeloop_problem(layer))["problem"]["instance"]
    assert (instance["C"], instance["M"], instance["P"], instance["R"]) == (20, 30, 1, 1)
    (entry,) = yaml.safe_load(zigzag_workload([layer]))
    assert "padding" not in entry and entry["loop_sizes"] == [1, 30, 20, 1, 1, 1, 1]


def test_long_names_are_cut_for_zigzag_and_stay_apart() -> None:
    """ZigZag calls a file after each layer; names from TFLite can have more characters than that of a file may, 255."""
    layers = [Workload(name, "fully_connected", 1, 20, 30, 1, (), 8, 8) for name in ("a" * 300, "a" * 299, "fc")]
    names = [entry["name"] for entry in yaml.safe_load(zigzag_workload(layers))]
    assert len(set(names)) == 3 and max(map(len, names)) < 200 and names[2] == "fc"


def test_layers_without_products_are_errors_where_nothing_is_left() -> None:
    add = Workload("add", "add", 0, 0, 0, 1, (), 0, 8)
    with pytest.raises(InputError, match="add: layer must be one with products, not add"):
        timeloop_problem(add)
    with pytest.raises(InputError, match="network must be one with products, not without"):
        zigzag_workload([add])
