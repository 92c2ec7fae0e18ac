"""Delay lines: what aligns values that took paths of different length."""

from __future__ import annotations

from typing import TypeVar

from amaranth.hdl import Module, Signal, ValueCastable, ValueLike

Delayed = TypeVar("Delayed", bound="ValueLike | ValueCastable")


def delay(m: Module, value: Delayed, cycles: int, name: str) -> Delayed:
    """Return `value` as it was `cycles` clock cycles ago (0: itself); the registers start at zero.

    Parameters
    ----------
    m
        The registers are made in its domain ``sync``.
    value
        A value, or a view of a layout, which is then returned with the same layout.
    name
        Of the registers, numbered from 1.
    """
    for cycle in range(1, cycles + 1):
        stage = Signal.like(value, name=f"{name}_{cycle}", init=None)
        m.d.sync += stage.eq(value)
        value = stage
    return value
