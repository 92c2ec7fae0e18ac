"""Files for those who build the sparse path: memories of weights, and vectors of a network's layers, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oracle
from cli.command import Command
from hwsim.export import onnx_qdq, onnx_qonnx, parameters, weight_files
from hwsim.load import load_model
from hwsim.memory.sparse import ENCODINGS
from hwsim.ops.products import ProductsUnit
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.feed import Feed
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, BiasAt, InputError, Profile, Reduction, Register
from outliers.outlier_oracle import reduce
from outliers.test_outliers_on_rtl import network
from sim.digits_runs import digits


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command line, in an empty folder."""
    return Command(monkeypatch, capsys, tmp_path)


def fields(text: bytes, word_bits: int, bits: int, count: int) -> list[int]:
    """Read fields that lie in words without gaps, the first in the lowest bits of the first word."""
    lines = text.decode().split()
    assert all(len(line) == word_bits // 4 for line in lines)
    whole = sum(int(line, 16) << word_bits * place for place, line in enumerate(lines))
    assert whole >> bits * count == 0
    return [whole >> bits * place & (1 << bits) - 1 for place in range(count)]


def to_signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


@pytest.mark.parametrize("word_bits", [None, 64])
def test_memories_of_compressed_columns_are_the_outliers(word_bits: int | None) -> None:
    """Per channel its entries from pointer to pointer: product and value; dense memories are zero there."""
    graph = network().integer
    files = weight_files(graph, word_bits, "csc-packed")
    layers = json.loads(files["manifest.json"])["layers"]
    compared = 0
    for layer, node in zip(layers, [node for node in graph.nodes if node.op.weighted], strict=True):
        tensor, entry = graph.tensors[node.inputs[1]], layer["outliers"]
        assert tensor.outliers is not None and tensor.data is not None
        arrays = {
            name: fields(files[part["files"]["hex"]["name"]], part["word_bits"], part["element_bits"], part["elements"])
            for name, part in entry["arrays"].items()
        }
        assert entry["encoding"] == "csc-packed" and entry["entries"] == tensor.outliers.entries
        assert entry["bytes"] == sum(len(files[part["files"]["bin"]["name"]]) for part in entry["arrays"].values())
        for part in entry["arrays"].values():
            words = files[part["files"]["hex"]["name"]].decode().split()
            raw = b"".join(int(line, 16).to_bytes(part["word_bits"] // 8, "little") for line in words)
            assert raw[: part["bytes"]] == files[part["files"]["bin"]["name"]] and not any(raw[part["bytes"] :])
        found = np.zeros((entry["channels"], entry["products"]), np.int64)
        for channel in range(entry["channels"]):
            for at in range(arrays["pointers"][channel], arrays["pointers"][channel + 1]):
                found[channel, arrays["indices"][at]] = to_signed(arrays["values"][at], 16)
        # No layer of this network is depthwise: OHWI, the products of a channel in a row.
        assert np.array_equal(found.reshape(tensor.shape), tensor.outliers.sparse(tensor.shape))
        assert not np.any(tensor.data[found.reshape(tensor.shape) != 0])
        compared += entry["entries"]
    assert compared == sum(
        int(0.03 * graph.tensors[node.inputs[1]].elements) for node in graph.nodes if node.op.weighted
    )


@pytest.mark.parametrize("encoding", [*(encoding.name for encoding in ENCODINGS), "smallest"])
def test_every_encoding_is_as_large_as_it_is_timed(encoding: str) -> None:
    """The bytes of the files are those of the document, and read back by the encoding's decoder they are the outliers."""
    graph = network().integer
    files = weight_files(graph, None, encoding)
    named = {"manifest.json"}
    for layer, node in zip(
        json.loads(files["manifest.json"])["layers"], [node for node in graph.nodes if node.op.weighted], strict=True
    ):
        entry, outliers = layer["outliers"], graph.tensors[node.inputs[1]].outliers
        assert outliers is not None
        code = next(one for one in ENCODINGS if one.name == entry["encoding"])
        streams = []
        for part in entry["arrays"].values():
            content = np.frombuffer(files[part["files"]["bin"]["name"]], np.uint8)
            streams.append(np.unpackbits(content, bitorder="little")[: part["elements"] * part["element_bits"]])
            assert part["bytes"] == len(content) == -(-part["elements"] * part["element_bits"] // 8)
        matrix = code.decode(streams, (entry["channels"], entry["products"]), outliers.format)
        assert np.array_equal(
            matrix.reshape(graph.tensors[node.inputs[1]].shape), outliers.sparse(graph.tensors[node.inputs[1]].shape)
        )
        named |= {file["name"] for part in (layer["weights"], layer["bias"], entry, *entry["arrays"].values())
                  for file in part["files"].values()}  # fmt: skip
    assert named == set(files)


def test_parameters_say_what_is_apart_and_onnx_has_no_place_for_it() -> None:
    graph = network().integer
    tensors = json.loads(parameters(graph))["tensors"]
    apart = {name: tensor["outliers"] for name, tensor in tensors.items() if "outliers" in tensor}
    assert apart == {
        node.inputs[1]: {"format": "int16", "entries": int(0.03 * graph.tensors[node.inputs[1]].elements)}
        for node in graph.nodes if node.op.weighted
    }  # fmt: skip
    for writer in (onnx_qdq, onnx_qonnx):
        with pytest.raises(
            InputError, match=r"node conv1_conv: weights must be without outliers to be exported as ONNX"
        ):
            writer(graph)
    with pytest.raises(InputError, match=r"^outlier encoding must be smallest, csc-fbgemm, csc-packed, .*, not 'zip'$"):
        weight_files(graph, None, "zip")


NETWORK = ("--weight-bits", "4", "--outliers", "3%", "--calibration-images", "16")


def test_files_from_the_command_line(hwsim: Command) -> None:
    answer = hwsim("export", "digits_cnn", "-o", "out", "--as", "weights", *NETWORK, "--outlier-encoding", "coordinate")
    assert answer.code == 0, answer
    manifest = json.loads((hwsim.folder / "out" / "manifest.json").read_text("utf-8"))
    assert [layer["outliers"]["encoding"] for layer in manifest["layers"]] == ["coordinate"] * 4
    assert [layer["outliers"]["entries"] for layer in manifest["layers"]] == [4, 138, 276, 38]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--outliers", "1%", "--as", "qonnx"), "outliers must be left out with qonnx, which has no place for them"),
        (("--outliers", "1%"), "outliers must be left out with workloads, which has no place for them"),
        (
            ("--outlier-encoding", "bitmask", "--as", "weights"),
            "--outlier-encoding must be left out without --outliers",
        ),
        (
            ("--outliers", "1%", "--as", "weights", "--outlier-encoding", "x"),
            "outlier encoding must be smallest, csc-fbgemm",
        ),
    ],
)
def test_what_has_no_place_for_outliers_is_one_line(hwsim: Command, options: tuple[str, ...], message: str) -> None:
    assert message in hwsim.refused("export", "digits_cnn", "-o", "out", "--calibration-images", "8", *options)
    assert not (hwsim.folder / "out").exists()


LANES = '[reduction]\nacc = "12:saturate"\nbias_at = "end"\n[core]\nweight_bits = 4\noutlier_lanes = 2\n'


PIXELS = 3


def test_vectors_of_a_network_are_what_the_run_has(hwsim: Command) -> None:
    """Every layer: results and events by an oracle in Python integers, and by the program of `hwsim run`; beats bit by bit."""
    (hwsim.folder / "lanes.toml").write_text(LANES)
    layers = ("--layer", "conv1_conv", "--layer", "logits", "--layer", "conv3_conv")
    answer = hwsim("vectors", "lanes.toml", "-o", "v", "--model", "digits_cnn", *layers, *NETWORK)
    assert answer.code == 0 and "3 cases in" in answer.out, answer
    manifest = json.loads((hwsim.folder / "v" / "manifest.json").read_text("utf-8"))
    assert manifest["model"] == "digits_cnn" and manifest["images"] == 1
    reduction = Reduction(Register.parse("12:saturate"), bias_at=BiasAt.END)
    integer = prepare_network(
        load_model("digits_cnn"), digits(), weight_bits=4, activation_bits=None, calibration_images=16, scaling=None,
        profile=Profile.TFLITE, scheme=outlier_scheme(OutlierRule.parse("3%"), 4),
    ).integer  # fmt: skip
    # A K tile of 16 rows.
    program = Program(integer, Arithmetic(reduction), outlier_tile=16)
    monitors = program.monitors()
    kept = program.run(Feed(integer, digits()).integers(0, 1), monitors=monitors, keep=True)
    events = 0
    for described in manifest["cases"]:
        name = described["name"].split(":")[0]
        node = next(node for node in integer.nodes if node.name == name)
        folder = hwsim.folder / "v" / described["path"]
        arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
        sparse = np.zeros(arrays["weights"].shape, np.int64)
        sparse[arrays["outliers_k"], arrays["outliers_column"]] = arrays["outliers_value"]
        # By hand the first pixels, which is all there is of the last layer.
        assert arrays["expected"][:PIXELS].tolist() == by_hand(described, arrays, sparse, reduction, 16)
        assert np.array_equal(arrays["expected"].reshape(-1), kept[node.outputs[0]].reshape(-1))
        assert np.array_equal(arrays["events"], monitors[name].counts.sum(axis=2))
        events += int(arrays["events"].sum())
        unit = program.units[name]
        assert isinstance(unit, ProductsUnit) and unit.outliers is not None
        assert np.array_equal(sparse, unit.outliers.sparse[0])
        check_lanes(
            folder, described, sparse, json.loads((hwsim.folder / "v" / "core.json").read_text("utf-8"))["core"]
        )
    assert events > 0


def by_hand(
    case: dict[str, Any], arrays: dict[str, Any], sparse: Any, reduction: Reduction, tile: int
) -> list[list[int]]:  # fmt: skip
    """Return the results of a case's first pixels."""
    zero, out = case["activation_zero_point"], []
    profile = Profile.TFLITE_SINGLE if case["single"] else Profile.TFLITE
    columns = arrays["weights"].T.tolist(), sparse.T.tolist(), arrays["bias"].tolist()
    factors = [
        oracle.Multiplier(m, s) for m, s in zip(arrays["multiplier"].tolist(), arrays["shift"].tolist(), strict=True)
    ]
    for row in arrays["activations"][:PIXELS].tolist():
        seen = [a - zero for a in row]
        results = []
        for dense, apart, bias, factor in zip(*columns, factors, strict=True):
            total = reduce(seen, dense, apart, bias, reduction, tile)[0]
            scaled = oracle.scale(total, factor, profile) + case["output_zero_point"]
            results.append(max(case["lo"], min(case["hi"], scaled)))
        out.append(results)
    return out


def check_lanes(folder: Path, described: dict[str, Any], sparse: Any, core: dict[str, Any]) -> None:
    """Take the beats of the sparse port apart: value, index, column, last; they are the outliers, at most two per visit."""
    rows, cols, lanes = core["rows"], core["cols"], core["outlier_lanes"]
    index_bits, column_bits = (rows - 1).bit_length(), (cols - 1).bit_length()
    found: dict[tuple[int, int], int] = {}
    tiles = -(-sparse.shape[0] // rows)
    counts = [[np.count_nonzero(sparse[t * rows : (t + 1) * rows, c : c + cols]) for t in range(tiles)]
              for c in range(0, sparse.shape[1], cols)]  # fmt: skip
    # One pixel tile: job by job the channel tiles, of each the K tiles, each as often as its outliers need lanes.
    order = [c for job in described["jobs"] for c in job["channel_tiles"]]
    visits = [(c, t) for c in order for t, count in enumerate(counts[c]) for _ in range(max(1, -(-count // lanes)))]
    assert sorted(order) == list(range(len(counts))) and all(job["first_pixel"] == 0 for job in described["jobs"])
    beats: list[str] = []
    for number, job in enumerate(described["jobs"]):
        own = (folder / f"job_{number:03}" / "outliers.hex").read_text("utf-8").split()
        assert len(own) == job["beats"]["outliers"]
        beats += own
    at = used = 0
    for beat in (int(line, 16) for line in beats):
        value, rest = to_signed(beat & 0xFFFF, 16), beat >> 16
        index, rest = rest & (1 << index_bits) - 1, rest >> index_bits
        column, last = rest & (1 << column_bits) - 1, rest >> column_bits
        channel, tile = visits[at]
        used += 1
        if value:
            place = tile * rows + index, channel * cols + column
            assert place not in found
            found[place] = value
        assert used <= lanes and last in (0, 1)
        if last:
            at, used = at + 1, 0
    assert at == len(visits)
    assert found == {(int(k), int(n)): int(sparse[k, n]) for k, n in np.argwhere(sparse)}


def test_vectors_of_a_network_that_cannot_be_are_one_line(hwsim: Command) -> None:
    (hwsim.folder / "lanes.toml").write_text(LANES)
    vectors = ("vectors", "lanes.toml", "-o", "v")
    network_of = ("--model", "digits_cnn", "--weight-bits", "4", "--calibration-images", "8")
    for options, message in (
        ((*network_of, "--layer", "pool1"), "--layer must be one that sums products (conv1_conv, conv2_conv,"),
        ((*network_of, "--cases", "3"), "--cases must be left out with --model, not 3"),
        (("--outliers", "1%"), "--outliers must be left out without --model, not 1%"),
    ):
        assert message in hwsim.refused(*vectors, *options)
    refused = hwsim.refused("vectors", "micro-4x4", "-o", "v", *network_of, "--outliers", "1%")
    assert "no core for node conv1_conv: outlier_lanes must be 1 to 8 for weights with outliers, not 0" in refused
    assert not (hwsim.folder / "v").exists()
