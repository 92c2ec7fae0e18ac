"""A balanced adder tree, exact or with a register's overflow at every adder."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeVar

from amaranth.hdl import Module, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Register, require

from .register_add import RegisterAdd

Node = TypeVar("Node")


def reduce_pairs(nodes: Sequence[Node], add: Callable[[Node, Node], Node]) -> Node:
    """Combine neighbours in pairs, level by level; an odd one out moves up unchanged.

    >>> reduce_pairs(list("abcde"), lambda left, right: f"({left}{right})")
    '(((ab)(cd))e)'
    """
    level = list(nodes)
    while len(level) > 1:
        odd = level[len(level) // 2 * 2 :]
        level = [add(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


class AdderTree(wiring.Component):
    """Sum of `lanes` addends, added in pairs.

    Equals step 1 of the definition in `hwsim.spec.reduction`, as `hwsim.kernels.reduce` computes it.
    Combinational: latency 0, no clock, no reset.

    Parameters
    ----------
    addend_bits
        Signed width of each addend, 1..56, so that 256 of them sum exactly in 64 bits.
    lanes
        Addends, 1..256.
    register
        What every adder writes to, or None for an exact tree. Leaves and an odd one out are wires, not writes.

    Members
    -------
    addends : In(ArrayLayout(signed(addend_bits), lanes))
    sum : Out(signed(sum_bits))
    overflow_positive, overflow_negative : Out(range(lanes))
        How many of the ``lanes - 1`` adders formed a sum above the largest, below the smallest value of the register.

    Attributes
    ----------
    sum_bits
        Width of the sum: that of the register, or of the exact sum.
    """

    def __init__(self, addend_bits: int, lanes: int, register: Register | None = None) -> None:
        require(addend_bits in range(1, 57), "addend_bits", "an integer from 1 to 56", addend_bits)
        require(lanes in range(1, 257), "lanes", "an integer from 1 to 256", lanes)
        require(register is None or lanes > 1, "lanes", "at least 2 when register is given", lanes)
        self.register = register
        self.sum_bits = addend_bits + (lanes - 1).bit_length() if register is None else register.bits
        super().__init__(
            {
                "addends": In(data.ArrayLayout(signed(addend_bits), lanes)),
                "sum": Out(signed(self.sum_bits)),
                "overflow_positive": Out(range(lanes)),
                "overflow_negative": Out(range(lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        leaves: list[Value] = list(self.addends)
        register = self.register
        if register is None:
            m.d.comb += self.sum.eq(reduce_pairs(leaves, operator.add))
            return m
        positive: list[Value] = []
        negative: list[Value] = []

        def write(left: Value, right: Value) -> Value:
            node = RegisterAdd(register, len(left), len(right))
            m.submodules[f"node_{len(positive)}"] = node
            m.d.comb += [node.a.eq(left), node.b.eq(right)]
            positive.append(node.overflow_positive)
            negative.append(node.overflow_negative)
            return node.sum

        m.d.comb += [
            self.sum.eq(reduce_pairs(leaves, write)),
            # In pairs as well: a running sum would grow by one bit, and one adder of depth, per flag.
            self.overflow_positive.eq(reduce_pairs(positive, operator.add)),
            self.overflow_negative.eq(reduce_pairs(negative, operator.add)),
        ]
        return m
