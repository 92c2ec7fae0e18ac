"""From the samples of a data set to what a network's input takes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hwsim.data import Dataset
from hwsim.graph import Array, Graph, Quantization
from hwsim.quant import pixel_offset
from hwsim.spec import InputError, require

BACKGROUND_CLASSES = 1001
"""Outputs of networks whose class 0 is "background", before the 1000 classes of ImageNet."""


def require_match(graph: Graph, dataset: Dataset) -> None:
    """Raise `InputError` where a data set's samples or labels do not fit the network."""
    wanted = graph.input.shape[1:]
    require(
        dataset.sample_shape == wanted,
        f"data set {dataset.name}: sample shape",
        f"that of the input of {graph.name}, {wanted}",
        dataset.sample_shape,
    )
    outputs, highest = graph.output.elements, int(dataset.labels.max()) + label_offset(graph, dataset)
    require(
        highest < outputs, f"data set {dataset.name}: labels", f"below the {outputs} outputs of {graph.name}", highest
    )


def label_offset(graph: Graph, dataset: Dataset) -> int:
    """Return what to add to labels: 1 where the network has a background class and the data set has not."""
    thousand = dataset.classes is not None and len(dataset.classes) == BACKGROUND_CLASSES - 1
    return int(graph.output.elements == BACKGROUND_CLASSES and thousand)


class Feed:
    """Batches of a data set for one network, as integers and as real values.

    Parameters
    ----------
    graph
        An integer or a float network.
    dataset
        Its samples fit the input.
    stored
        What integer tensors of the data set stand for: the input quantization of the model that they were made for.

    Notes
    -----
    Pixels enter an integer network of 8-bit input without a stated scaling as its makers feed them: uint8 as they are, int8
    minus 128. Every other input is the real value, quantized like any tensor. Integer tensors must have the input's dtype.
    """

    def __init__(self, graph: Graph, dataset: Dataset, stored: Quantization | None = None) -> None:
        require_match(graph, dataset)
        self.tensor, self.dataset, self.scaling = graph.input, dataset, graph.scaling
        self.stored = stored or graph.input.quantization
        self._mean: Array = np.zeros(1, np.float32)
        self._std: Array = np.ones(1, np.float32)
        if self.scaling is not None:
            channels = graph.input.shape[-1]
            for field, values in (("mean", self.scaling.mean), ("std", self.scaling.std)):
                require(len(values) in (1, channels), f"input {field}", f"1 or {channels} numbers", list(values))
                require(all(map(math.isfinite, values)), f"input {field}", "finite", list(values))
            require(min(self.scaling.std) > 0, "input std", "positive", list(self.scaling.std))
            self._mean, self._std = (np.array(v, np.float32) for v in (self.scaling.mean, self.scaling.std))
        quantization = self.tensor.quantization
        raw = quantization is not None and quantization.format.bits == 8 and self.scaling is None
        if dataset.kind == "pixels" and not raw and self.scaling is None:
            raise InputError(
                f"input {self.tensor.name!r} takes real values and the model does not say how pixels become them: "
                "give --input-mean and --input-std (real = (pixel - mean) / std; 0 and 1 for raw pixels)"
            )

    def labels(self, graph: Graph, start: int, stop: int) -> Array:
        """Return int64 labels as the network numbers classes."""
        return self.dataset.labels[start:stop] + label_offset(graph, self.dataset)

    def real(self, start: int, stop: int) -> Array:
        """Return samples as float32 real values."""
        values = self.dataset.batch(start, stop)
        if self.dataset.kind == "pixels" and self.scaling is not None:
            return (values.astype(np.float32) - self._mean) / self._std
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        stored, integers = self._as_stored(values)
        return stored.dequantize(integers)

    def integers(self, start: int, stop: int) -> Array:
        """Return samples in the input's storage dtype (real values where the network quantizes its own input)."""
        quantization = self.tensor.quantization
        if quantization is None:
            return self.real(start, stop)
        values = self.dataset.batch(start, stop)
        scaled = self.dataset.kind == "pixels" and self.scaling is not None
        if scaled or values.dtype.kind == "f" or self.stored is not quantization:
            return quantization.quantize(self.real(start, stop))
        return self._as_stored(values)[1]

    def _as_stored(self, values: Array) -> tuple[Quantization, Array]:
        """Return the integers that a sample's values are, and what they stand for."""
        stored = self.stored
        if stored is None:
            raise InputError(
                f"data set {self.dataset.name}: dtype must be float for a model of float input, not {values.dtype}"
            )
        if self.dataset.kind == "pixels":
            return stored, (values.astype(np.int16) + pixel_offset(stored)).astype(stored.format.storage)
        field = f"data set {self.dataset.name}: dtype of inputs"
        require(
            str(values.dtype) == stored.format.storage,
            field,
            f"{stored.format.storage}, as the model's input",
            values.dtype,
        )
        return stored, values


def spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Return (start, stop) of batches of `size` over `count` samples; the last may be shorter."""
    return ((start, min(start + size, count)) for start in range(0, count, size))
