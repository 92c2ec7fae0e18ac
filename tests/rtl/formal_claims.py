# amaranth: UnusedElaboratable=no
"""What is claimed of hardware units, each beside a reference that is written another way. How they are proved: `formal`."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl import adder_tree, register_add, requantizer, wide_multiplier
from hwsim.rtl.delay import delay
from hwsim.spec import Format, Overflow, Profile, Register


def kept(register: Register, exact: Value) -> Value:
    """Return what a register keeps of a sum, by the meaning of its words."""
    half = 1 << (register.bits - 1)
    if register.overflow is Overflow.WRAP:
        return ((exact + half) & (2 * half - 1)) - half
    return Mux(exact < -half, -half, Mux(exact >= half, half - 1, exact))


class Addition(wiring.Component):
    """A `RegisterAdd` keeps what its register keeps, and says what does not fit."""

    def __init__(self, register: Register, b_bits: int) -> None:
        self.unit = register_add.RegisterAdd(register, register.bits, b_bits)
        super().__init__({"a": In(signed(register.bits)), "b": In(signed(b_bits)), "holds": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        half = 1 << (unit.register.bits - 1)
        exact = self.a + self.b
        right = (
            unit.sum == kept(unit.register, exact),
            unit.overflow_positive == (exact >= half),
            unit.overflow_negative == (exact < -half),
        )
        m.d.comb += [unit.a.eq(self.a), unit.b.eq(self.b), self.holds.eq(Cat(*right).all())]
        return m


class Accumulation(wiring.Component):
    """An accumulator behind a multiplier; what `holds` of it is the subclass's."""

    def __init__(self, register: Register) -> None:
        self.register = register
        super().__init__({"activation": In(signed(9)), "weight": In(signed(8)), "holds": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = self.activation * self.weight
        m.submodules.unit = unit = register_add.RegisterAdd(self.register, self.register.bits, len(product))
        acc = Signal(signed(self.register.bits))
        m.d.comb += [unit.a.eq(acc), unit.b.eq(product)]
        m.d.sync += acc.eq(unit.sum)
        m.d.comb += self.holds.eq(self.right(m, acc, product, unit.overflow_positive | unit.overflow_negative))
        return m

    def right(self, m: Module, acc: Value, product: Value, overflow: Value) -> Value:
        raise NotImplementedError


class Step(Accumulation):
    """After a clock edge the accumulator holds what its register keeps of the old value and the product."""

    def right(self, m: Module, acc: Value, product: Value, overflow: Value) -> Value:
        return acc == kept(self.register, delay(m, acc, 1, "old") + delay(m, product, 1, "product"))


class UntilOverflow(Accumulation):
    """As long as no sum overflowed the accumulator holds the exact sum of all products since the reset."""

    def right(self, m: Module, acc: Value, product: Value, overflow: Value) -> Value:
        exact, overflowed = Signal(signed(64)), Signal()
        m.d.sync += [exact.eq(exact + product), overflowed.eq(overflowed | overflow)]
        return overflowed | (acc == exact)


class ModuloForever(Accumulation):
    """A wrapping accumulator holds the low bits of the exact sum since the reset, whatever overflowed."""

    def right(self, m: Module, acc: Value, product: Value, overflow: Value) -> Value:
        exact = Signal(signed(64))
        m.d.sync += exact.eq(exact + product)
        return acc.as_unsigned() == exact[: self.register.bits]


class ExactTree(wiring.Component):
    """An exact `AdderTree` is the sum of its addends."""

    def __init__(self, addend_bits: int, lanes: int) -> None:
        self.unit = adder_tree.AdderTree(addend_bits, lanes)
        super().__init__({"addends": In(data.ArrayLayout(signed(addend_bits), lanes)), "holds": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        m.d.comb += [self.unit.addends.eq(self.addends), self.holds.eq(self.unit.sum == sum(self.addends))]
        return m


class WideProduct(wiring.Component):
    """A `WideMultiplier` is, `latency` cycles later, the product and the nudge.

    Parameters
    ----------
    limbs
        Whether the reference is the sum of the limbs' products at their places, or one product.
    """

    def __init__(self, a_bits: int, b_bits: int, nudge_bits: int, limb_bits: int, *, limbs: bool) -> None:
        self.unit = wide_multiplier.WideMultiplier(a_bits, b_bits, nudge_bits, limb_bits)
        self.limbs = limbs
        super().__init__({"a": In(signed(a_bits)), "b": In(b_bits), "nudge": In(signed(nudge_bits)), "holds": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        expected = Signal(signed(unit.product_bits))
        product = sum_of_limbs(self.a, self.b, unit.limb_bits) if self.limbs else self.a * self.b
        m.d.comb += [
            unit.a.eq(self.a),
            unit.b.eq(self.b),
            unit.nudge.eq(self.nudge),
            expected.eq(product + self.nudge.shift_left(unit.limb_bits)),
            self.holds.eq(unit.product == delay(m, expected, unit.latency, "expected")),
        ]
        return m


def sum_of_limbs(a: Value, b: Value, bits: int) -> Value:
    """Return the distributive law's right side; only the highest limb of `a` is signed, and has a bit more."""
    top = max(0, (len(a) - 2) // bits * bits)
    left = [*(a[low : low + bits] for low in range(0, top, bits)), a[top:].as_signed()]
    right = [b[low : low + bits] for low in range(0, len(b), bits)]
    terms = [(x * y).shift_left(bits * (i + j)) for i, x in enumerate(left) for j, y in enumerate(right)]
    return sum(terms[1:], terms[0])


class OneProduct(wiring.Component):
    """What `WideMultiplier` is proved to be, with its latency, as one product."""

    def __init__(self, a_bits: int, b_bits: int, nudge_bits: int) -> None:
        self.nudge_bits = nudge_bits
        self.latency = 3 + wide_multiplier.count_columns(a_bits, b_bits)
        nudge = {"nudge": In(signed(nudge_bits))} if nudge_bits else {}
        product_bits = max(a_bits + b_bits, wide_multiplier.LIMB_BITS + nudge_bits) + 1
        super().__init__({"a": In(signed(a_bits)), "b": In(b_bits), "product": Out(signed(product_bits))} | nudge)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exact = self.a * self.b
        if self.nudge_bits:
            exact = exact + self.nudge.shift_left(wide_multiplier.LIMB_BITS)
        m.d.comb += self.product.eq(delay(m, exact, self.latency, "exact"))
        return m


class Requantization(wiring.Component):
    """A `Requantizer` is, `latency` cycles later, the definition's roundings of the exact product, zero point and clamp.

    The multiplier is replaced by `OneProduct`, so that unit and reference share the product. Of it the proof needs no more
    than its sign, which `given` assumes: then it may be any function of its operands.

    Parameters
    ----------
    single
        What the constant is; the solver takes twice as long where it can be either.
    """

    def __init__(
        self,
        acc_bits: int,
        bias_bits: int,
        profile: Profile,
        output: Format,
        max_left_shift: int,
        *,
        single: bool = False,
    ) -> None:
        self.single = single
        self.unit: Any = requantizer.Requantizer(acc_bits, bias_bits, profile, output, max_left_shift)
        self.unit.make_multiplier = OneProduct
        members = self.unit.signature.members
        super().__init__(
            {"input": members["input"], "constants": members["constants"], "holds": Out(1), "given": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        x = Signal(signed(unit.x_bits))
        product = Signal(signed(len(x) + 31))
        m.d.comb += [
            unit.input.eq(self.input),
            unit.constants.eq(self.constants),
            x.eq(self.input.acc + (self.input.bias if "bias" in self.input.shape().members else 0)),
            product.eq(x * self.input.multiplier[:31]),
        ]
        expected = delay(m, self._clamped(m, self._rounded(m, x, product)), unit.latency, "expected")
        m.d.comb += [
            self.given.eq(self._allowed(m) & Mux(x < 0, product <= 0, product >= 0)),
            self.holds.eq(unit.output == expected),
        ]
        return m

    def _allowed(self, m: Module) -> Value:
        """Return whether the inputs are what the unit is for, and the constants those of the cycle before."""
        output, constants = self.unit.format, self.constants
        before = delay(m, constants, 1, "before")
        within = [
            (constants[name] >= output.lo) & (constants[name] <= output.hi) for name in ("zero_point", "lo", "hi")
        ]
        shift = (self.input.shift >= -31) & (self.input.shift <= self.unit.max_left_shift)
        stable = constants.as_value() == before.as_value()
        return Cat(*within, shift, constants.lo <= constants.hi, constants.single == self.single, stable).all()

    def _rounded(self, m: Module, x: Value, product: Value) -> Value:
        """Return ``round(x * multiplier * 2**(shift - 31))`` as `hwsim.kernels.requantize.scale` writes it."""
        shift, profile = self.input.shift, self.unit.profile
        left = Mux(shift > 0, shift, 0)[: max(1, self.unit.max_left_shift.bit_length())]
        right = Mux(shift < 0, -shift, 0)[:5]
        if profile is Profile.POWER_OF_TWO:
            half = Mux(shift < 1, 1 << right, 0)
            return Mux(shift < 1, (x + half) >> (1 - shift)[:6], x << (shift - 1)[:5])
        total = (31 - shift)[:6]
        once = (product + (1 << (total - 1)[:6])) >> total
        high = Signal(signed(len(x) + 1 + self.unit.max_left_shift))
        m.d.comb += high.eq(((product << left) + (1 << 30)) >> 31)
        mask = (1 << right) - 1
        twice = (high >> right) + ((high & mask) > ((mask >> 1) + (high < 0)))
        return once if profile is Profile.TFLITE_SINGLE else Mux(self.constants.single, once, twice)

    def _clamped(self, m: Module, rounded: Value) -> Value:
        """Add the zero point and clamp, in a width that nothing overflows."""
        total, result = Signal((rounded + self.constants.zero_point).shape()), Signal(signed(17))
        m.d.comb += [
            total.eq(rounded + self.constants.zero_point),
            result.eq(Mux(total > self.constants.hi, self.constants.hi, total)),
        ]
        with m.If(total < self.constants.lo):
            m.d.comb += result.eq(self.constants.lo)
        return result
