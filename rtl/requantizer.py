# amaranth: UnusedElaboratable=no
"""From accumulators to activations: multiply, shift, round, add the zero point, clamp; one result per cycle.

One rounding. With ``P = x * multiplier`` and ``t = 31 - shift`` every profile is one floor of a shift::

    v = floor((P + nudge + 2**(t-1)) / 2**t)

* One rounding, ties toward +inf (`Profile.TFLITE_SINGLE`): ``nudge = 0``.
* Two roundings (`Profile.TFLITE`), for ``shift >= 0``: the second one shifts by 0, so it is the same, ``nudge = 0``. For
  ``shift = -r < 0`` it is ``floor((h + 2**(r-1) - (h < 0)) / 2**r)`` (ties away from zero) of
  ``h = floor((P + 2**30) / 2**31)``. Floors of quotients nest, so that is
  ``floor((P + 2**30 - (h < 0) * 2**31 + 2**(30+r)) / 2**(31+r))``: the nudge is ``+2**30``, or ``-2**30`` for ``h < 0``.
  The sign of `x` may stand for that of `h`: they differ only for ``-2**30 <= P <= 0`` with ``x < 0``, where ``h = 0``, and
  as ``r >= 1`` both nudges give 0.
* A power of two (`Profile.POWER_OF_TWO`) is one rounding with ``P = x * 2**30``: no multiplier.

A left shift is a smaller right shift of the same product, so nothing is shifted in front of the multiplier.

Low bits. Floors nest again: ``v = (u + 1) >> 1`` with ``u = (P + nudge) >> (t - 1)``. As ``t - 1 >= 30 - max_left_shift``, that
many low bits of the product are never looked at, and ``u = q >> (max_left_shift - shift)`` of what is left.

High bits. Zero point and clamp lie within the output's format of `b` bits, so ``|clamp - zero_point| < 2**b``. From
``u >= 2**(b+1) - 1`` on, ``v + zero_point`` is at least the upper clamp, and up to ``u = -2**(b+1)`` at most the lower one: `u`
can saturate at ``b + 2`` bits. Before a shift by at most `s` it can saturate at ``b + 2 + s``: the ends, shifted, still are
the ends or beyond them, and what lies between is not touched.
"""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Format, Profile, bits_for, require
from hwsim.spec.number import OPERAND_BITS, REGISTER_BITS
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS

from .delay import delay
from .shape import to_shape
from .wide_multiplier import LIMB_BITS, WideMultiplier, count_columns

MAX_RIGHT_SHIFT = 31

_NUDGE = 1 << (30 - LIMB_BITS)
"""2**30, in the multiplier's unit of nudges."""

_FINE_BITS = 3
"""Of a shift's amount, done in the second of two steps: 8 ways each, for up to 6 bits."""

_SHIFT_CYCLES, _CLAMP_CYCLES = 4, 3
"""Two steps of a shift and a saturation; sum, comparison and choice."""

_CHAIN_BITS = 36
"""The longest sum of accumulator and bias that is done in one cycle."""


class Requantizer(wiring.Component):
    """``clamp(round((acc + bias) * multiplier * 2**(shift - 31)) + zero_point)``.

    Equals `hwsim.kernels.requantize.scale`, zero point and clamp for every accumulator; where ``acc + bias`` shifted
    to the left needs more than the kernel's 62 bits it still is exact.

    Latency
        `latency` cycles.
    Throughput
        One result per cycle; free running, no back-pressure: who feeds it delays what belongs to a result by `latency`.
    Reset
        None is needed: every register is overwritten each cycle.

    Parameters
    ----------
    acc_bits
        Signed, 8..48.
    bias_bits
        Signed width of a bias that is added here, exactly (`BiasAt.END`), up to 48; or 0.
    profile
        Any but `Profile.ORT_FLOAT32`.
    output
        2..16 bits.
    max_left_shift
        0..30.

    Members
    -------
    input : In(struct)
        ``acc``; ``bias`` (only with `bias_bits`); ``multiplier``, below 2**31, whatever it is with
        `Profile.POWER_OF_TWO`; ``shift``, -31..max_left_shift.
    constants : In(struct)
        ``zero_point``, ``lo`` <= ``hi``, all within the format of `output`; ``single`` makes `Profile.TFLITE` round once,
        as `Profile.TFLITE_SINGLE`. Stable while anything is under way.
    output : Out(to_shape(output))
    """

    def __init__(self, acc_bits: int, bias_bits: int, profile: Profile, output: Format, max_left_shift: int) -> None:
        allowed = f"an integer from {REGISTER_BITS[0]} to {REGISTER_BITS[-1]}"
        require(acc_bits in REGISTER_BITS, "acc_bits", allowed, acc_bits)
        require(bias_bits == 0 or bias_bits in REGISTER_BITS, "bias_bits", f"0 or {allowed}", bias_bits)
        require(
            profile is not Profile.ORT_FLOAT32, "requantize", "tflite, tflite-single or power-of-two in hardware",
            profile.value,
        )  # fmt: skip
        require(output.bits in OPERAND_BITS, "output_bits", "an integer from 2 to 16", output.bits)
        require(max_left_shift in range(31), "max_left_shift", "an integer from 0 to 30", max_left_shift)
        self.profile = profile
        self.format = output
        self.max_left_shift = max_left_shift
        self.x_bits = max(acc_bits, bias_bits) + 1 if bias_bits else acc_bits
        self._add_cycles = 2 if bias_bits and self.x_bits > _CHAIN_BITS else 1
        uses_multiplier = profile is not Profile.POWER_OF_TWO
        self._multiply_cycles = 3 + count_columns(self.x_bits, MULTIPLIER_BITS - 1) if uses_multiplier else 0
        factor = {"multiplier": unsigned(MULTIPLIER_BITS), "shift": signed(SHIFT_BITS)}
        bias = {"bias": signed(bias_bits)} if bias_bits else {}
        clamp = {"zero_point": signed(17), "lo": signed(17), "hi": signed(17)}
        super().__init__(
            {
                "input": In(data.StructLayout({"acc": signed(acc_bits)} | bias | factor)),
                "constants": In(data.StructLayout(clamp | {"single": unsigned(1)})),
                "output": Out(to_shape(output)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the input to its output."""
        return self._add_cycles + self._multiply_cycles + _SHIFT_CYCLES + _CLAMP_CYCLES

    def elaborate(self, platform: object) -> Module:
        m = Module()
        amount = Signal(range(self.max_left_shift + MAX_RIGHT_SHIFT + 1))
        m.d.comb += amount.eq(self.max_left_shift - self.input.shift)
        x = self._add_bias(m)
        product = self._multiply(m, x)
        amount = delay(m, amount, self._add_cycles + self._multiply_cycles, "amount")
        self._clamp(m, self._shift(m, product, amount))
        return m

    def _add_bias(self, m: Module) -> Value:
        """Return the accumulator with its bias; in two halves where one carry chain would be too long."""
        terms = [Signal(signed(self.x_bits), name="acc"), Signal(signed(self.x_bits), name="bias")]
        m.d.comb += terms[0].eq(self.input.acc)
        if "bias" in self.input.shape().members:
            m.d.comb += terms[1].eq(self.input.bias)
        if self._add_cycles == 1:
            return delay(m, (terms[0] + terms[1])[: self.x_bits].as_signed(), 1, "x")
        half = self.x_bits // 2
        low = delay(m, terms[0][:half] + terms[1][:half], 1, "x_low")
        high = [delay(m, term[half:], 1, f"{term.name}_high") for term in terms]
        total = Cat(low[:half], (high[0] + high[1] + low[half])[: self.x_bits - half])
        return delay(m, total.as_signed(), 1, "x")

    def _multiply(self, m: Module, x: Value) -> Value:
        """Return the nudged product, the bits that no result depends on left out."""
        if self.profile is Profile.POWER_OF_TWO:
            return x.shift_left(self.max_left_shift)
        nudge_bits = bits_for(-_NUDGE, _NUDGE) if self.profile is Profile.TFLITE else 0
        m.submodules.multiplier = multiplier = self.make_multiplier(self.x_bits, MULTIPLIER_BITS - 1, nudge_bits)
        factor = self.input.multiplier[: MULTIPLIER_BITS - 1]
        m.d.comb += [
            multiplier.a.eq(x),
            multiplier.b.eq(delay(m, factor, self._add_cycles, "factor")),
        ]
        if self.profile is Profile.TFLITE:
            twice = delay(m, (self.input.shift < 0) & ~self.constants.single, self._add_cycles, "twice")
            m.d.comb += multiplier.nudge.eq(Mux(twice, Mux(x < 0, -_NUDGE, _NUDGE), 0))
        return multiplier.product[30 - self.max_left_shift :].as_signed()

    def make_multiplier(self, a_bits: int, b_bits: int, nudge_bits: int) -> wiring.Component:
        """Return a `WideMultiplier`; a proof puts in its place what that one is proved to be."""
        return WideMultiplier(a_bits, b_bits, nudge_bits)

    def _shift(self, m: Module, product: Value, amount: Value) -> Value:
        """Shift right in two steps, each followed by what saturates all that the clamp would cut anyway."""
        bits = self.format.bits + 2
        fine = amount[:_FINE_BITS]
        coarse = Cat(C(0, _FINE_BITS), amount[_FINE_BITS:])
        value = delay(m, product >> coarse, 1, "coarse")
        value = delay(m, saturate(value, bits + (1 << _FINE_BITS) - 1), 1, "coarse_saturated")
        value = delay(m, value >> delay(m, fine, 2, "fine_amount"), 1, "fine")
        return delay(m, saturate(value, bits), 1, "fine_saturated")

    def _clamp(self, m: Module, u: Value) -> None:
        """Round, add the zero point and clamp: ``((u + 1) >> 1) + zero_point = (u + 2 * zero_point + 1) >> 1``."""
        zero_point, lo, hi = (self.constants[name][: self.format.bits] for name in ("zero_point", "lo", "hi"))
        total = delay(m, u + self._as_output(Cat(C(1, 1), zero_point)), 1, "total")
        value = total.shift_right(1)
        above = delay(m, value > self._as_output(hi), 1, "above")
        below = delay(m, value < self._as_output(lo), 1, "below")
        m.d.sync += self.output.eq(Mux(above, hi, Mux(below, lo, delay(m, value, 1, "value"))))

    def _as_output(self, bits: Value) -> Value:
        """Return an integer of the output's signedness."""
        return bits.as_signed() if self.format.signed else bits


def saturate(value: Value, bits: int) -> Value:
    """Return a signed value, clamped to signed `bits` where it is wider.

    >>> saturate(Signal(signed(4)), 6).shape(), saturate(Signal(signed(9)), 6).shape()
    (signed(4), signed(6))
    """
    if len(value) <= bits:
        return value
    sign = value[-1]
    fits = (value[bits - 1 : -1] ^ sign.replicate(len(value) - bits)) == 0
    return Mux(fits, value[:bits], Cat((~sign).replicate(bits - 1), sign)).as_signed()
