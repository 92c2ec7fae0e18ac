"""The networks of ``hwsim bench --shapes``: the file that is written is what LiteRT's reference kernels run, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.cli import bench_shapes
from hwsim.cli.bench_shapes import SHAPES, Residual, integer_network, real_network
from hwsim.cli.bench_tflite import tflite
from hwsim.load import load_model
from hwsim.sim.compare import agreement, litert_sides
from hwsim.sim.program import Program
from hwsim.sim.run import total_macs

pytestmark = pytest.mark.litert


@pytest.mark.parametrize("bottleneck", [False, True])
def test_both_kinds_of_blocks_equal_the_reference_kernels(
    bottleneck: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHAPES, "small", Residual((2, 1), bottleneck=bottleneck))
    monkeypatch.setattr(bench_shapes, "SIDE", 32)
    graph = integer_network("small")
    path = tmp_path / "small.tflite"
    path.write_bytes(tflite(graph))
    read = load_model(path).graph
    assert [node.op for node in read.nodes] == [node.op for node in graph.nodes]
    program = Program(read)
    reference, *_ = litert_sides(path, read)
    assert agreement(reference, program, 3) == (3, 3)
    # Activations neither vanish nor saturate: of each, no integer but the ReLU's zero is a third of all.
    rng = np.random.default_rng(1)
    batch = rng.integers(-128, 128, (2, 32, 32, 3)).astype(np.int8)
    for name, values in program.run(batch, keep=True).items():
        counts = np.bincount(values.reshape(-1).astype(np.int64) + 128, minlength=256)
        assert counts[1:].max() < values.size / 3, name
        assert values.std() > 10, name


def test_sizes_are_those_of_the_paper() -> None:
    """1.8 and 3.8 GFLOPs of He et al., table 1, without ResNet-50's stride in the 3x3 convolution, which makes it 4.1."""
    for name, giga_macs in (("resnet18", 1.8), ("resnet50", 4.1)):
        assert round(total_macs(real_network(name)) / 1e9, 1) == giga_macs
