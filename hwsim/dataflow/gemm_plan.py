"""Which jobs a GEMM is cut into, and in which order a `GemmCore` works through their output tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwsim.spec import Core, Dataflow, require
from hwsim.spec.errors import within

MOST_TILES = 65535
"""The most output tiles, and the most K tiles, of a job (registers of 16 bits)."""


@dataclass(frozen=True)
class GemmJob:
    """One start of the core: all combinations of some channel tiles with some pixel tiles, all of the same size.

    Parameters
    ----------
    pixels
        Of an output tile: register PIXELS; output stationary: the core's rows.
    k_tiles
        Per output tile, repetitions included: register K_TILES.
    channels
        Numbers of the channel tiles (the outer loop), ascending; tile c begins with channel ``c * cols``.
    first_pixel
        Of the first pixel tile; the next ones follow without a gap.
    pixel_tiles
        How many (the inner loop). The last may reach beyond the GEMM's last pixel.
    """

    pixels: int
    k_tiles: int
    channels: tuple[int, ...]
    first_pixel: int
    pixel_tiles: int

    @property
    def output_tiles(self) -> int:
        """Register OUTPUT_TILES."""
        return len(self.channels) * self.pixel_tiles


@dataclass(frozen=True)
class GemmPlan:
    """A whole GEMM ``[m, k] x [k, n]`` on a core.

    Parameters
    ----------
    core
        The configuration.
    m, k, n
        Pixels, products per output, channels.
    passes
        By channel tile and K tile: how often the K tile is worked through, at least once. Outliers beyond the core's lanes
        need more than one; all but the first have zero weights.
    jobs
        In order.
    """

    core: Core
    m: int
    k: int
    n: int
    passes: tuple[tuple[int, ...], ...]
    jobs: tuple[GemmJob, ...]


def plan_gemm(core: Core, m: int, k: int, n: int, passes: Sequence[Sequence[int]] | None = None) -> GemmPlan:
    """Cut a GEMM into jobs.

    Channel tiles are the outer, pixel tiles the inner loop. Weight stationary, the pixels are spread over as few tiles as the
    bank allows, evenly, so that the sizes differ by at most one: no other cut needs fewer slots, as a K tile takes
    ``max(pixels, minimum_slots)`` of them. Tiles of one size and number of K tiles share a job.

    Parameters
    ----------
    core
        The configuration.
    m, k, n
        Pixels, products per output, channels; at least 1 each.
    passes
        See `GemmPlan`; by default once each.

    Raises
    ------
    InputError
        For an empty GEMM, or more K tiles than the core can count.
    """
    for name, size in (("m", m), ("k", k), ("n", n)):
        require(within(size, range(1, 1 << 40)), name, "a positive integer", size)
    k_tiles, channel_tiles = -(-k // core.tile_products), -(-n // core.cols)
    if passes is None:
        passes = [[1] * k_tiles] * channel_tiles
    counts = tuple(tuple(row) for row in passes)
    require(
        [len(row) for row in counts] == [k_tiles] * channel_tiles and all(min(row) >= 1 for row in counts),
        "passes", f"at least 1 for each of {channel_tiles} channel tiles and {k_tiles} K tiles", passes,
    )  # fmt: skip
    most = max(map(sum, counts))
    require(most <= MOST_TILES, "K tiles of an output", f"at most {MOST_TILES}", most)
    sizes = tuple(_pixel_tiles(core, m))
    jobs = tuple(
        GemmJob(pixels, total, part, first, tiles)
        for total in sorted({sum(row) for row in counts})
        for first_pixel, pixels, number in sizes
        for part, first, tiles in _split(
            [c for c, row in enumerate(counts) if sum(row) == total], first_pixel, pixels, number
        )
    )
    return GemmPlan(core, m, k, n, counts, jobs)


def _pixel_tiles(core: Core, m: int) -> Iterator[tuple[int, int, int]]:
    """Yield the first pixel, the pixels per tile and the number of tiles of each size."""
    tiles = -(-m // core.tile_pixels)
    if core.dataflow is Dataflow.OUTPUT_STATIONARY:
        yield 0, core.rows, tiles
        return
    small, larger = divmod(m, tiles)
    if larger:
        yield 0, small + 1, larger
    yield larger * (small + 1), small, tiles - larger


def _split(
    channels: list[int], first_pixel: int, pixels: int, number: int
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Yield channel tiles, first pixel and number of pixel tiles of jobs that are small enough."""
    together = max(1, MOST_TILES // number)
    for c in range(0, len(channels), together):
        for tile in range(0, number, MOST_TILES):
            yield tuple(channels[c : c + together]), first_pixel + tile * pixels, min(MOST_TILES, number - tile)
