"""From the beats that a device took back to the GEMMs that they mean: what a bench gives the kernels.

Written against ``docs/rtl-core.md`` and apart from `hwsim.cosim.streams`, which makes the beats, so that a mistake in one of
the two does not hide in the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwsim.cosim.golden import GemmCase, Outliers
from hwsim.cosim.packing import unpack
from hwsim.spec import Core, Dataflow, Format, Packing, Profile
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS

Int64 = npt.NDArray[np.int64]


class Accepted:
    """Beats of one job by port, as unsigned integers, in the order in which they were taken.

    Parameters
    ----------
    core
        The device.
    registers
        Of the job, by name: what the device was told, or what it holds.
    """

    def __init__(self, core: Core, registers: Mapping[str, int]) -> None:
        self.core, self.registers = core, dict(registers)
        self.weights: list[int] = []
        self.activations: list[int] = []
        self.outliers: list[int] = []

    def cases(self) -> Iterator[GemmCase]:
        """Yield the GEMM of each output tile: its pixels, `cols` channels, K as long as its K tiles.

        Raises
        ------
        AssertionError
            If a port took more or fewer beats than the job consists of.
        """
        core, tiles, k_tiles = self.core, self.registers["OUTPUT_TILES"], self.registers["K_TILES"]
        stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
        pixels = self.registers["PIXELS"] if stationary else core.rows
        records = core.cols * core.record_beats
        vectors = k_tiles * (core.rows if stationary else 1) * core.weight_packing.beats
        slots = k_tiles * (pixels if stationary else 1) * core.activation_packing.beats
        self._check("weights", self.weights, tiles * (records + vectors))
        self._check("activations", self.activations, tiles * slots)
        sparse = self._split_outliers(tiles * k_tiles) if core.outlier_lanes else []
        for tile in range(tiles):
            first = tile * (records + vectors)
            bias, multiplier, shift = self._records(self.weights[first : first + records])
            dense = _vectors(
                self.weights[first + records : first + records + vectors], core.weight_packing, core.weight
            )
            # Element c * T + t of the vector of row r: product r * T + t of column c.
            weights = dense.reshape(-1, core.cols, core.lanes).transpose(0, 2, 1).reshape(-1, core.cols)
            rows = _vectors(
                self.activations[tile * slots : (tile + 1) * slots], core.activation_packing, core.activation
            )
            if stationary:
                activations = rows.reshape(k_tiles, pixels, -1).transpose(1, 0, 2).reshape(pixels, -1)
            else:
                activations = rows.reshape(k_tiles, pixels, -1)[:, ::-1].transpose(1, 0, 2).reshape(pixels, -1)
            yield GemmCase(
                activations, weights, bias, multiplier, shift, self.registers["CLAMP_LO"], self.registers["CLAMP_HI"],
                self.registers["ACTIVATION_ZERO_POINT"], self.registers["OUTPUT_ZERO_POINT"],
                bool(self.registers["ROUNDING"]), self._outliers(sparse[tile * k_tiles : (tile + 1) * k_tiles]),
            )  # fmt: skip

    @staticmethod
    def _check(port: str, beats: Sequence[int], wanted: int) -> None:
        if len(beats) != wanted:
            raise AssertionError(f"{port}: the device took {len(beats)} beats of a job that has {wanted}")

    def _records(self, beats: list[int]) -> tuple[Int64, Int64, Int64]:
        """Return bias, multiplier and shift [cols]; zeros for what a record of this core does not have."""
        core = self.core
        values = np.zeros((3, core.cols), np.int64)
        for column in range(core.cols):
            word = 0
            for i, beat in enumerate(beats[column * core.record_beats : (column + 1) * core.record_beats]):
                word |= beat << (i * core.weight_packing.bus_bits)
            values[0, column], word = _field(word, core.bias_bits, signed=True)
            if core.output is not None:
                values[1, column], word = _field(word, MULTIPLIER_BITS, signed=False)
                values[2, column], word = _field(word, SHIFT_BITS, signed=True)
            if word:
                raise AssertionError(f"weights: the record of column {column} has bits that mean nothing")
        if core.output is not None and core.arithmetic.profile is Profile.POWER_OF_TWO:
            # The hardware shifts and reads no multiplier: padded channels have none, which the kernels would refuse.
            values[1] = 1 << 30
        return values[0], values[1], values[2]

    def _split_outliers(self, visits: int) -> list[list[int]]:
        """Return the entries of each K tile."""
        flag = self.core.outlier_bits + self.core.outlier_index_bits + self.core.outlier_column_bits
        tiles: list[list[int]] = [[]]
        for beat in self.outliers:
            tiles[-1].append(beat)
            if beat >> flag & 1:
                tiles.append([])
        if tiles.pop() or len(tiles) != visits:
            raise AssertionError(f"outliers: the device took {len(tiles)} K tiles of a job that has {visits}")
        return tiles

    def _outliers(self, tiles: list[list[int]]) -> Outliers | None:
        core = self.core
        if not core.outlier_lanes:
            return None
        found = []
        for number, entries in enumerate(tiles):
            for beat in entries:
                value, rest = _field(beat, core.outlier_bits, signed=True)
                index, rest = _field(rest, core.outlier_index_bits, signed=False)
                column, _ = _field(rest, core.outlier_column_bits, signed=False)
                # An entry of zero does nothing: it only says that its K tile has no other.
                if value:
                    found.append((number * core.tile_products + index, column, value))
        table = np.array(found, np.int64).reshape(-1, 3)
        return Outliers(table[:, 0], table[:, 1], table[:, 2])


def result_vectors(core: Core, beats: Sequence[int]) -> Int64:
    """Return result beats, unsigned integers, as the rows [pixels, cols] that they carry."""
    number = core.arithmetic.reduction.acc.format if core.output is None else core.output
    return _vectors(beats, core.result_packing, number)


def _vectors(beats: Sequence[int], packing: Packing, number: Format) -> Int64:
    length = packing.bus_bits // 8
    raw = b"".join(beat.to_bytes(length, "little") for beat in beats)
    return unpack(np.frombuffer(raw, np.uint8).reshape(-1, length), packing, number)


def _field(word: int, bits: int, *, signed: bool) -> tuple[int, int]:
    """Take a field from the low end of a word; return its value and the rest."""
    value = word & ((1 << bits) - 1)
    if signed and bits and value >> (bits - 1):
        value -= 1 << bits
    return value, word >> bits
