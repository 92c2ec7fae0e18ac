"""Weight memories read back, bit by bit, and the requantization's integers against their definition."""

from __future__ import annotations

import hashlib
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from export.exported import digits
from hwsim.export import parameters, weight_files
from hwsim.graph import Array
from hwsim.spec import InputError, Profile


def from_words(text: bytes, entry: dict[str, Any]) -> Array:
    """Read a hex file as a memory's port would be read: words are numbers, elements lie in them from the lowest bit."""
    bits, per_word = entry["element_bits"], entry["elements_per_word"]
    lines = text.decode().split("\n")
    assert lines[-1] == "" and all(len(line) == entry["word_bits"] // 4 for line in lines[:-1])
    values = []
    for word in (int(line, 16) for line in lines[:-1]):
        values += [(word >> (bits * place)) & ((1 << bits) - 1) for place in range(per_word)]
    count = math.prod(entry["shape"])
    assert not any(values[count:]) and len(values) - count < per_word
    if entry["signed"]:
        values = [value - (1 << bits) if value >> (bits - 1) else value for value in values]
    return np.array(values[:count]).reshape(entry["shape"])


@pytest.mark.parametrize("bits", range(2, 17))
def test_memories_of_any_width(bits: int) -> None:
    """Words are by default the narrowest multiple of 8 and of the element that has 32 bits or more."""
    graph = digits("digits_cnn", bits, 8).graph
    files = weight_files(graph)
    layers = json.loads(files["manifest.json"])["layers"]
    weighted = [node for node in graph.nodes if node.op.weighted]
    assert [layer["name"] for layer in layers] == [node.name for node in weighted]
    named = {"manifest.json"}
    for layer, node in zip(layers, weighted, strict=True):
        expected = {"weights": graph.tensors[node.inputs[1]], "bias": graph.tensors[node.inputs[2]]}
        assert layer["weights"]["element_bits"] == bits
        assert layer["weights"]["word_bits"] == min(
            word for word in range(32, 400) if word % 8 == 0 and word % bits == 0
        )
        for part, tensor in expected.items():
            entry = layer[part]
            contents = {ending: files[file["name"]] for ending, file in entry["files"].items()}
            named |= {file["name"] for file in entry["files"].values()}
            for ending, file in entry["files"].items():
                assert hashlib.sha256(contents[ending]).hexdigest() == file["sha256"]
            assert np.array_equal(from_words(contents["hex"], entry), tensor.data)
            assert np.array_equal(np.load(io.BytesIO(contents["npy"])), tensor.data)
            words = [int(line, 16) for line in contents["hex"].split()]
            assert contents["bin"] == b"".join(word.to_bytes(entry["word_bits"] // 8, "little") for word in words)
        known = expected["weights"].quantization
        assert known is not None
        assert np.array_equal(layer["weights"]["scale"], known.scale)
        assert layer["weights"]["shape"] == list(expected["weights"].shape)
    assert named == set(files)


def test_words_of_a_given_width() -> None:
    graph = digits("digits_mobilenet", 4, 8).graph
    layers = json.loads(weight_files(graph, 256)["manifest.json"])["layers"]
    assert {layer["weights"]["word_bits"] for layer in layers} == {256}
    assert {layer["weights"]["order"] for layer in layers} == {"OHWI", "1HWC", "OI"}
    with pytest.raises(InputError, match=r"node .*: word_bits must be a multiple of 8 and of the element's 4 bits"):
        weight_files(graph, 12)


def test_parameters_are_those_of_tflite() -> None:
    """``multiplier * 2**(shift - 31)`` is ``input_scale * weight_scale / output_scale`` to 31 bits, for every channel."""
    graph = digits("digits_mobilenet", 8, 8).graph
    document = json.loads(parameters(graph))
    tensors, compared = document["tensors"], 0
    for layer in document["layers"]:
        if "requantization" not in layer:
            continue
        source, weights, result = (
            tensors[layer[end][at]] for end, at in (("inputs", 0), ("inputs", 1), ("outputs", 0))
        )
        factors = layer["requantization"]
        assert factors["zero_point"] == result["zero_point"][0]
        for scale, multiplier, shift in zip(weights["scale"], factors["multiplier"], factors["shift"], strict=True):
            real = source["scale"][0] * scale / result["scale"][0]
            assert 2**30 <= multiplier < 2**31
            assert abs(multiplier - math.ldexp(real, 31 - shift)) <= 0.5 + 2**-20
            compared += 1
    assert compared == sum(graph.outputs_of(node)[0].shape[-1] for node in graph.nodes if node.op.weighted)
    single = json.loads(parameters(graph, Profile.ORT_FLOAT32))["layers"][0]["requantization"]
    assert "multiplier" not in single and np.float32(single["real"][0]) == single["real"][0]
