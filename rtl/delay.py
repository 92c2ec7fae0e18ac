"""Delay lines: what aligns values that took paths of different length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from amaranth.hdl import Const, Module, Signal, Value, ValueCastable, ValueLike

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


def skew(m: Module, controls: Value, cols: int, name: str) -> Iterator[Value]:
    """Yield what enters each column of an array: column c gets `controls` of c cycles ago; zero means that nothing enters.

    Each column is gated until the first controls after a reset can reach it, which changes nothing. But without, what runs down
    the columns is the same in all elements of a diagonal, and synthesis merges that into one register which drives all of
    them, across the whole array.
    """
    awake: Value = Const(1)
    for c in range(cols):
        controls, awake = delay(m, controls, min(c, 1), f"{name}_{c}"), delay(m, awake, min(c, 1), f"awake_{c}")
        yield controls & awake.replicate(len(controls))
