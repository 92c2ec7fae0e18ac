"""The bundled digits networks in integers, made once per session, and the data that they read."""

from __future__ import annotations

import functools

import numpy as np

from hwsim.data import Dataset, open_dataset
from hwsim.data.dataset import ArrayDataset
from hwsim.graph import Array, Graph
from hwsim.load import load_model
from hwsim.sim.feed import Feed
from hwsim.sim.network import Network, prepare_network
from hwsim.spec import Arithmetic, BiasAt, Profile, Reduction, Register, ZeroPoints


@functools.cache
def digits() -> Dataset:
    """The test split."""
    return open_dataset("digits")


@functools.cache
def network(name: str = "digits_cnn", weight_bits: int = 8, activation_bits: int = 8) -> Network:
    """Quantize a bundled model as `hwsim run` does."""
    return prepare_network(
        load_model(name), digits(), weight_bits=weight_bits, activation_bits=activation_bits, calibration_images=128,
        scaling=None, profile=Profile.TFLITE,
    )  # fmt: skip


def feed(name: str = "digits_cnn") -> Feed:
    """Return the test split for the integer network."""
    return Feed(network(name).integer, digits())


def arithmetic(
    acc: str = "32:wrap", *, lanes: int = 1, tree: str | None = None, chain: int | None = None, psum: str | None = None,
    bias: str = "start", zero_points: str = "subtract", profile: Profile = Profile.TFLITE,
) -> Arithmetic:  # fmt: skip
    """Return an arithmetic from the texts of the command line."""
    registers = (None if text is None else Register.parse(text) for text in (tree, psum))
    tree_register, psum_register = registers
    reduction = Reduction(
        Register.parse(acc), lanes, tree_register, chain, psum_register, BiasAt(bias), ZeroPoints(zero_points)
    )
    return Arithmetic(reduction, profile)


def array_set(inputs: Array, labels: list[int], kind: str = "tensor", classes: int | None = None) -> ArrayDataset:
    """Return a data set of arrays in memory."""
    names = None if classes is None else tuple(str(i) for i in range(classes))
    return ArrayDataset(
        inputs, np.array(labels, np.int64), name="arrays", split="test", kind=kind, digest="0" * 64, classes=names
    )  # type: ignore[arg-type]


def layer_names(graph: Graph) -> list[str]:
    """Return the nodes with weights."""
    return [node.name for node in graph.nodes if node.op.weighted]
