"""The least traffic between DRAM and a buffer of given size that any schedule of a layer's products can have.

Bits everywhere: a multiply-accumulate takes one activation, one weight and one output; G of them are due. M is the buffer;
p_i, p_w, p_o are the widths of an activation, a weight and an output in it. Work is cut into segments of 2 M (*pairs*: M)
loaded bits each. What a segment touches was there or came, so it is at most 3 M (2 M) bits, and a limit to the products of so
much data is one to the number of segments.

- *reuse*: a segment that touches x, w and y elements of the three does at most ``sqrt(x w y)`` products of a GEMM (Loomis and
  Whitney 1949), hence ``2 sqrt(p_i p_w p_o) G / sqrt(M) - 2 M`` (Hong and Kung 1981; Irony, Toledo, Tiskin 2004; the constant
  2: Smith et al. 2017, arXiv 1702.02017; mixed widths: Chen et al. 2022, arXiv 2204.08279). A convolution reads one activation
  for several (pixel, tap) pairs. Its taps fall into classes by ``tap * dilation mod stride`` that share no activation and no
  weight, and within one an activation meets at most q taps, so that products count ``1 / sqrt(q)`` each. The classes may share
  a segment, as ``sum sqrt(x_r w_r y)`` over them is at most ``sqrt(x w y)`` (Cauchy, Schwarz). Where the stride divides the
  kernel this is the published factor ``sqrt(stride^2 / (KH KW))``; elsewhere that one is a little above what its proof carries.
- *pairs*: two of (activation, weight, output) name a product, so a segment does at most the least product of two of x, w, y:
  ``C G / M - M`` with ``C = (p_i + p_w + p_o)^2 / 4``, or ``p_a (p_b + p_c)`` where ``p_a > p_b + p_c`` (arXiv 2204.08279).
- *compulsory*: every activation that a window touches, every weight and every output crosses once.

Products with padding need no activation and are not in G. Outputs are not loaded at first but created; a creation stands for a
load because each is matched by a write. That is why p_o is the narrower of what the buffer holds and what is written: with
outputs held in 32 bits and written in 8, tilings exist that beat the bound with p_o = 32.

All of this is per layer. Keeping activations on chip between layers goes below the sum over layers, and two tiles in the buffer
at a time (double buffering) leave half of it: `buffer_bytes` is what one schedule can use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from hwsim.spec import Workload, require
from hwsim.spec.errors import within

Term = Literal["compulsory", "reuse", "pairs"]


def _positive(field: str, value: object) -> None:
    require(within(value, range(1, 1 << 60)), field, "a positive integer", value)


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a sliding window; a GEMM has the default axes, of one tap.

    Parameters
    ----------
    outputs
        Window positions.
    taps, stride, dilation
        Of the window.
    before
        Padding in front of the image.
    size
        Lines of the image without padding; None for as many as the windows reach.
    """

    outputs: int = 1
    taps: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    size: int | None = None

    def __post_init__(self) -> None:
        for field in ("outputs", "taps", "stride", "dilation"):
            _positive(field, getattr(self, field))
        require(within(self.before, range(1 << 40)), "before", "an integer of 0 or more", self.before)
        if self.size is not None:
            _positive("size", self.size)

    @property
    def touched(self) -> int:
        """Lines of the image that at least one window reads; a window of one tap with stride 2 reads every other line."""
        touched = 0
        seen: dict[int, int] = {}
        # Taps of a class read lines that are a stride apart, and later taps later ones.
        for lines in map(self._lines, range(self.taps)):
            if lines:
                residue = lines.start % self.stride
                new = max(lines.start, seen.get(residue, lines.start))
                touched += len(range(new, lines.stop, self.stride))
                seen[residue] = max(seen.get(residue, 0), lines[-1] + self.stride)
        return touched

    @property
    def products(self) -> int:
        """Pairs of an output and a tap that lies in the image."""
        return sum(len(self._lines(tap)) for tap in range(self.taps))

    @property
    def counted(self) -> float:
        """The same pairs at ``1 / sqrt(q)`` each, see above."""
        classes = [tap * self.dilation % self.stride for tap in range(self.taps)]
        return sum(len(self._lines(tap)) / math.sqrt(classes.count(classes[tap])) for tap in range(self.taps))

    def _lines(self, tap: int) -> range:
        """Return the lines of the image that a tap reads, over all outputs."""
        first = tap * self.dilation - self.before
        lines = range(first, first + self.outputs * self.stride, self.stride)
        skipped = max(0, -(first // self.stride)) if first < 0 else 0
        kept = len(lines) if self.size is None else max(0, -((first - self.size) // self.stride))
        return lines[skipped:kept]


@dataclass(frozen=True, slots=True)
class Products:
    """The products of a layer: a GEMM, or a convolution in groups.

    Parameters
    ----------
    inputs, outputs
        Channels per group. For a GEMM ``[m, k] x [k, n]``: k, n.
    height, width
        The window. For a GEMM: `Axis` of m outputs, and the default.
    groups
        Independent convolutions; for a depthwise one the channels, with one input each.
    """

    inputs: int
    outputs: int
    height: Axis = Axis()
    width: Axis = Axis()
    groups: int = 1

    def __post_init__(self) -> None:
        for field in ("inputs", "outputs", "groups"):
            _positive(field, getattr(self, field))

    @classmethod
    def gemm(cls, m: int, k: int, n: int, groups: int = 1) -> Products:
        """Return those of a GEMM ``[m, k] x [k, n]``, or of several independent ones."""
        return cls(k, n, Axis(m), groups=groups)

    @classmethod
    def of(cls, workload: Workload) -> Products:
        """Return those of a layer with products.

        Depthwise channels that several filters share are one group of several outputs here.
        """
        sliding = workload.sliding
        if sliding is None:
            return cls.gemm(workload.m, workload.k, workload.n, workload.groups)
        groups = min(workload.groups, sliding.channels)
        height, width = (
            Axis(outputs, taps, stride, dilation, before, size)
            for outputs, taps, stride, dilation, before, size in zip(
                sliding.output, sliding.kernel, sliding.stride, sliding.dilation, sliding.before, sliding.image,
                strict=True,
            )
        )  # fmt: skip
        return cls(sliding.channels // groups, workload.n * workload.groups // groups, height, width, groups)

    @property
    def macs(self) -> int:
        """Multiply-accumulates with an activation of the image."""
        return self.groups * self.inputs * self.outputs * self.height.products * self.width.products

    @property
    def weights(self) -> int:
        """Elements of the weights."""
        return self.groups * self.inputs * self.outputs * self.height.taps * self.width.taps

    @property
    def activations(self) -> int:
        """Input elements that take part in a product; padding is not among them."""
        return self.groups * self.inputs * self.height.touched * self.width.touched

    @property
    def results(self) -> int:
        """Output elements."""
        return self.groups * self.outputs * self.height.outputs * self.width.outputs


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of an element.

    Parameters
    ----------
    activation, weight
        Where they are read.
    written
        An output as it leaves for DRAM.
    resident
        An output while it is summed up in the buffer; by default as it is written.
    """

    activation: int = 8
    weight: int = 8
    written: int = 8
    resident: int | None = None

    def __post_init__(self) -> None:
        for field in ("activation", "weight", "written"):
            _positive(field, getattr(self, field))
        if self.resident is not None:
            _positive("resident", self.resident)

    @property
    def narrowest_output(self) -> int:
        """The p_o of the bounds."""
        return self.written if self.resident is None else min(self.written, self.resident)


@dataclass(frozen=True, slots=True)
class Bound:
    """A lower bound of a layer's traffic and where it comes from.

    Parameters
    ----------
    compulsory_bytes, reuse_bytes, pairs_bytes
        The three bounds, each 0 or more; each is valid alone.
    """

    compulsory_bytes: int
    reuse_bytes: int
    pairs_bytes: int

    @property
    def bytes(self) -> int:
        """The largest of them."""
        return max(self.compulsory_bytes, self.reuse_bytes, self.pairs_bytes)

    @property
    def term(self) -> Term:
        """The name of the largest; of equal ones the first in the order of the fields."""
        terms: tuple[Term, ...] = ("compulsory", "reuse", "pairs")
        return max(terms, key=lambda term: int(getattr(self, f"{term}_bytes")))


@dataclass(frozen=True, slots=True)
class BoundTerms:
    """What the bounds of a layer are made of, whatever the buffer.

    Parameters
    ----------
    compulsory_bits
        What crosses once.
    widths_product, counted
        Of the bound by reuse: ``p_i p_w p_o``, and the products at ``1 / sqrt(q)`` each.
    pair_factor, macs
        Of that by pairs: C and G.
    """

    compulsory_bits: int
    widths_product: int
    counted: float
    pair_factor: float
    macs: int

    @classmethod
    def of(cls, products: Products, widths: Widths) -> BoundTerms:
        """Return those of a layer whose elements have some widths."""
        p_i, p_w, p_o = widths.activation, widths.weight, widths.narrowest_output
        compulsory = p_i * products.activations + p_w * products.weights + widths.written * products.results
        counted = (
            products.groups * products.inputs * products.outputs * products.height.counted * products.width.counted
        )
        widest, *others = sorted((p_i, p_w, p_o), reverse=True)
        total = p_i + p_w + p_o
        pair_factor = widest * sum(others) if widest > sum(others) else total * total / 4
        return cls(compulsory, p_i * p_w * p_o, counted, pair_factor, products.macs)

    def at(self, buffer_bytes: int) -> Bound:
        """Return the bound for a buffer, see `traffic_bound`."""
        _positive("buffer_bytes", buffer_bytes)
        buffer = 8 * buffer_bytes
        reuse = 2 * math.sqrt(self.widths_product / buffer) * self.counted - 2 * buffer
        pairs = self.pair_factor * self.macs / buffer - buffer
        return Bound(math.ceil(self.compulsory_bits / 8), _bytes(reuse), _bytes(pairs))


def traffic_bound(products: Products, buffer_bytes: int, widths: Widths = Widths()) -> Bound:
    """Return the least bytes that a layer moves to and from a buffer, see above.

    Parameters
    ----------
    products
        The layer.
    buffer_bytes
        What one schedule can use for all operands together; of separate buffers their sum.
    widths
        Of the elements.

    Raises
    ------
    InputError
        For a buffer of no bytes.
    """
    return BoundTerms.of(products, widths).at(buffer_bytes)


def _bytes(bits: float) -> int:
    # Rounded down: floats must not lift a bound above the truth.
    return max(0, math.floor(bits * (1 - 1e-12) / 8))
