"""LiteRT's reference kernels, one input at a time, with every tensor kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Array = npt.NDArray[Any]


class Reference:
    """A model in LiteRT's interpreter with the reference kernels (the optimised ones are not bit-exact).

    Parameters
    ----------
    path
        The TFLite file.
    """

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]

    def run(self, image: Array, indices: Iterable[int]) -> dict[int, Array]:
        """Run one input and return copies of the tensors at `indices`.

        Parameters
        ----------
        image
            ``[1, ...]`` in the model's input type.
        indices
            Tensor indices of the file.
        """
        assert image.dtype == self._input["dtype"], (image.dtype, self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], image)
        self._interpreter.invoke()
        return {index: self._interpreter.get_tensor(index) for index in indices}
