"""Generated code that takes a layer's images through its kernels, block by block; the numbers are those of `convolution`.

It is general IR, about a tenth of a second of LLVM's time, and needs neither the GIL nor Numba, which took seconds to compile it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from llvmlite import ir

from hwsim.kernels.codegen import I8, I16, I32, I64, State, Value, Writer, vector_of
from hwsim.kernels.compiled import address_of
from hwsim.kernels.convolution import ROW_SUMS, Memory, Panel, Shape
from hwsim.kernels.copying import Rows
from hwsim.kernels.fields import Call
from hwsim.kernels.targets import Target

CHUNK = 16
"""Bytes that are moved at once."""

_NUMBERS = tuple(field for field in (*Shape, *Memory) if field is not Memory.END)


@dataclass(frozen=True)
class Places:
    """Writes where the windows of a block start, and where results go, or gathered windows lie; `Convolve` reads both."""

    def address(self, target: Target | None = None) -> int:
        """Return the compiled function of a layer's numbers."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the function."""
        w = Writer(target, name)
        b, f = w.b, _Numbers(w)
        width, step, rows, tall = (f[s] for s in (Shape.OUT_WIDTH, Shape.STEP, Shape.BLOCK_ROWS, Shape.TALL))
        per_row, bands = _ratio(b, width, step), _ratio(b, rows, tall)
        image_bytes = b.mul(f.reach(rows), f[Shape.PADDED_ROW])
        gathered = b.icmp_signed(">", f[Shape.RUN], I64(0))

        def place(n: Value, image: Value, y: Value, x: Value) -> None:
            down = b.mul(b.mul(y, f[Shape.STRIDE_Y]), f[Shape.PADDED_ROW])
            start = b.add(b.add(b.mul(image, image_bytes), down), b.mul(x, f[Shape.STRIDE_X]))
            pixel = b.add(b.mul(b.add(b.mul(image, rows), y), width), x)
            out = b.select(gathered, b.mul(n, f[Shape.GATHERED]), b.mul(pixel, f[Shape.OUT_PIXEL]))
            at = b.mul(n, I64(8))
            w.store(start, f.pointer(Memory.PLACES), at)
            w.store(out, f.pointer(Memory.OUTS), at)

        def images(image: Value, _state: State) -> State:
            def band(number: Value, _state: State) -> State:
                # The last group of pixels of a row, or of rows, overlaps the one before: the same results again.
                top = _smaller(b, b.mul(number, tall), b.sub(rows, tall))

                def group(i: Value, _state: State) -> State:
                    x = _smaller(b, b.mul(i, step), b.sub(width, step))
                    before = b.add(b.mul(b.add(b.mul(image, bands), number), per_row), i)

                    def row(y: Value, _state: State) -> State:
                        place(b.add(b.mul(before, tall), y), image, b.add(top, y), x)
                        return []

                    return w.loop(tall, [], row)

                return w.loop(per_row, [], group)

            return w.loop(bands, [], band)

        w.loop(f[Shape.BLOCK_IMAGES], [], images)
        return w.done()


@dataclass(frozen=True)
class Convolve:
    """Convolves a batch."""

    def address(self, target: Target | None = None) -> int:
        """Return the compiled function of a layer's numbers."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the function."""
        w = Writer(target, name)
        b, f = w.b, _Numbers(w)
        rows = b.bitcast(b.alloca(I64, len(Rows)), I8.as_pointer())
        copied = b.icmp_signed("!=", f[Shape.COPY], I64(0))
        with b.if_then(copied):
            self._sides(w, f)
            for row, number in (
                (Rows.SOURCE_STRIDE, Shape.SOURCE_ROW), (Rows.TARGET_STRIDE, Shape.PADDED_ROW), (Rows.OPERAND, Shape.OPERAND)
            ):  # fmt: skip
                w.store(f[number], rows, 8 * row)
        size, high, tall = f[Shape.BLOCK_ROWS], f[Shape.OUT_HEIGHT], f[Shape.TALL]
        per_row = _ratio(b, f[Shape.OUT_WIDTH], f[Shape.STEP])

        def block(first: Value, images: Value, number: Value) -> None:
            start = b.mul(number, size)
            count = _smaller(b, size, b.sub(high, start))
            # The last block has whole groups of rows: it begins with one of the block before.
            short = b.and_(
                b.icmp_signed(">", b.srem(count, tall), I64(0)), b.icmp_signed(">", start, I64(0))
            )  # fmt: skip
            more = b.zext(short, I64)
            y, count = b.sub(start, more), b.add(count, more)
            top = b.sub(b.mul(y, f[Shape.STRIDE_Y]), f[Shape.TOP])
            with b.if_then(copied):
                self._write_out(w, f, rows, (first, images), top, f.reach(count))
            there = b.mul(b.add(b.mul(first, f[Shape.HEIGHT]), top), f[Shape.SOURCE_ROW])
            origin = b.select(copied, f[Memory.BUFFER], b.add(f[Memory.SOURCE], there))
            pixel = b.mul(b.add(b.mul(first, high), y), f[Shape.OUT_WIDTH])
            out = b.add(f[Memory.OUT], b.mul(pixel, f[Shape.OUT_PIXEL]))
            pixels = b.mul(b.mul(images, b.mul(_ratio(b, count, tall), tall)), per_row)
            self._panels(w, f, origin, out, pixels)

        def blocks(number: Value, _state: State) -> State:
            first = b.mul(number, f[Shape.BLOCK_IMAGES])
            images = _smaller(b, f[Shape.BLOCK_IMAGES], b.sub(f[Shape.IMAGES], first))

            def each(n: Value, _state: State) -> State:
                block(first, images, n)
                return []

            w.loop(_ratio(b, high, size), [], each)
            self._settle(w, f, first)
            return []

        w.loop(_ratio(b, f[Shape.IMAGES], f[Shape.BLOCK_IMAGES]), [], blocks)
        return w.done()

    def _sides(self, w: Writer, f: _Numbers) -> None:
        """Write the padding before and behind the rows of a block; nothing else is written there."""
        b, left, right = w.b, f[Shape.LEFT], f[Shape.RIGHT]

        def row(number: Value, _state: State) -> State:
            start = w.at(f.pointer(Memory.BUFFER), b.mul(number, f[Shape.PADDED_ROW]))
            _fill(w, start, left, f.pad)
            _fill(w, w.at(start, b.sub(f[Shape.PADDED_ROW], right)), right, f.pad)
            return []

        with b.if_then(b.icmp_signed(">", b.add(left, right), I64(0))):
            w.loop(b.mul(f.reach(f[Shape.BLOCK_ROWS]), f[Shape.BLOCK_IMAGES]), [], row)

    def _write_out(
        self, w: Writer, f: _Numbers, rows: Value, images: tuple[Value, Value], top: Value, needed: Value
    ) -> None:
        """Write a block's part of the images (the first, and how many) into the buffer, padding above and below included."""
        b, high, padded = w.b, f[Shape.HEIGHT], f[Shape.PADDED_ROW]
        begin, end = _larger(b, top, I64(0)), _smaller(b, b.add(top, needed), high)
        above, merged = b.mul(b.sub(begin, top), padded), b.icmp_signed("!=", f[Shape.MERGED], I64(0))
        lines, elements = b.sub(end, begin), f[Shape.COUNT]
        w.store(b.select(merged, I64(1), lines), rows, 8 * Rows.ROWS)
        w.store(b.select(merged, b.mul(lines, elements), elements), rows, 8 * Rows.COUNT)

        def image(i: Value, _state: State) -> State:
            start = w.at(f.pointer(Memory.BUFFER), b.mul(i, b.mul(needed, padded)))
            below = b.mul(b.sub(end, top), padded)
            _fill(w, start, above, f.pad)
            _fill(w, w.at(start, below), b.sub(b.mul(needed, padded), below), f.pad)
            line = b.add(b.mul(b.add(images[0], i), high), begin)
            w.store(b.add(f[Memory.SOURCE], b.mul(line, f[Shape.SOURCE_ROW])), rows, 8 * Rows.SOURCE)
            target = w.at(start, b.add(above, f[Shape.LEFT]))
            w.store(b.ptrtoint(target, I64), rows, 8 * Rows.TARGET)
            call(w, f[Shape.COPY], rows)
            return []

        w.loop(images[1], [], image)

    def _panels(self, w: Writer, f: _Numbers, origin: Value, out: Value, pixels: Value) -> None:
        """Compute a block of `pixels` with every panel; origin, out: of the block."""
        b, width = w.b, w.b.mul(f[Memory.PANEL_WIDTH], I64(8))
        gathering = b.icmp_signed(">", f[Shape.RUN], I64(0))

        def panel(number: Value, gathered: State) -> State:
            own = w.at(f.pointer(Memory.PANELS), b.mul(number, width))
            kernel, image, shift, kind = (
                w.load(own, I64, 8 * field) for field in (Panel.KERNEL, Panel.IMAGE, Panel.OUT, Panel.KIND)
            )
            fields = w.at(own, 8 * Panel.FIELDS)
            w.store(pixels, fields, 8 * Call.PIXELS)
            with b.if_else(gathering) as (windows, direct):
                # One segment, at 0; its windows lie one after the other, for all panels of a group.
                with windows, b.if_then(b.icmp_signed("!=", gathered[0], image)):
                    self._gather(w, f, image, pixels)
                with direct:
                    w.store(b.add(origin, image), fields, 8 * Call.IMAGE)
            sums = b.icmp_signed("==", kind, I64(ROW_SUMS))
            w.store(b.select(sums, f[Memory.SUMS], b.add(out, shift)), fields, 8 * Call.OUT)
            call(w, kernel, fields)
            return [image]

        w.loop(b.sdiv(f[Memory.PANELS_SIZE], f[Memory.PANEL_WIDTH]), [I64(-1)], panel)

    def _gather(self, w: Writer, f: _Numbers, first: Value, pixels: Value) -> None:
        """Write the windows of a block one after the other: from byte `first` of a pixel on."""
        b, run = w.b, f[Shape.RUN]
        origin = w.at(f.pointer(Memory.BUFFER), first)

        def window(m: Value, _state: State) -> State:
            place = w.at(origin, w.load(f.pointer(Memory.PLACES), I64, b.mul(m, I64(8))))
            row = w.at(f.pointer(Memory.WINDOWS), b.mul(m, f[Shape.GATHERED]))

            def segment(s: Value, _state: State) -> State:
                source = w.at(place, w.load(f.pointer(Memory.OFFSETS), I64, b.mul(s, I64(8))))
                _move(w, source, w.at(row, b.mul(s, run)), run)
                return []

            return w.loop(f[Memory.SEGMENTS], [], segment)

        w.loop(pixels, [], window)

    def _settle(self, w: Writer, f: _Numbers, image: Value) -> None:
        """Add what was counted in an image, and clear it."""
        b = w.b

        def counter(n: Value, events: State) -> State:
            held, at = b.mul(n, I64(4)), b.mul(n, I64(8))
            found = b.sext(w.load(f.pointer(Memory.TALLY), I32, held), I64)
            counts = f.pointer(Memory.COUNTS)
            w.store(b.add(w.load(counts, I64, at), found), counts, at)
            w.store(I32(0), f.pointer(Memory.TALLY), held)
            return [b.add(events[0], found)]

        (events,) = w.loop(f[Memory.COUNTERS], [I64(0)], counter)
        with b.if_then(b.icmp_signed(">", events, I64(0))):
            first = f.pointer(Memory.FIRST)
            w.store(_smaller(b, w.load(first, I64), image), first)


class _Numbers:
    """A layer's numbers, loaded at the start of a function."""

    def __init__(self, w: Writer) -> None:
        self._w = w
        self._known: dict[IntEnum, Value] = {field: w.field(field) for field in _NUMBERS}

    def __getitem__(self, field: IntEnum) -> Value:
        return self._known[field]

    def pointer(self, field: IntEnum) -> Value:
        """Return a number that is an address."""
        return self._w.b.inttoptr(self[field], I8.as_pointer())

    def reach(self, rows: Value) -> Value:
        """Return the padded rows that so many output rows read."""
        b = self._w.b
        return b.add(b.mul(b.sub(rows, I64(1)), self[Shape.STRIDE_Y]), self[Shape.REACH])

    @property
    def pad(self) -> Value:
        """Two bytes of padding."""
        return self._w.load(self.pointer(Memory.PAD), I16)


def call(w: Writer, kernel: Value, fields: Value) -> None:
    """Call the kernel at an address with its fields."""
    kind = w.function.function_type.as_pointer()
    w.b.call(w.b.inttoptr(kernel, kind), [w.b.bitcast(fields, I64.as_pointer())])


def _fill(w: Writer, place: Value, count: Value, pad: Value) -> None:
    """Write the padding over `count` bytes, an even number where its two bytes differ."""
    b, whole = w.b, w.splat(pad, vector_of(I16, CHUNK // 2))

    def single(at: Value) -> None:
        second = b.trunc(b.mul(b.and_(at, I64(1)), I64(8)), I16)
        w.store(b.trunc(b.lshr(pad, second), I8), place, at)

    _chunked(w, count, lambda at: w.store(whole, place, at), single)


def _move(w: Writer, source: Value, target: Value, count: Value) -> None:
    """Copy bytes."""

    def part(kind: ir.Type) -> Callable[[Value], None]:
        return lambda at: w.store(w.load(source, kind, at), target, at)

    _chunked(w, count, part(vector_of(I8, CHUNK)), part(I8))


def _chunked(w: Writer, count: Value, whole: Callable[[Value], None], single: Callable[[Value], None]) -> None:
    """Go through `count` bytes by chunks, of which the last one overlaps, or where there are fewer one by one."""
    b = w.b
    with b.if_else(b.icmp_signed(">=", count, I64(CHUNK))) as (many, few):
        with many:

            def chunk(i: Value, _state: State) -> State:
                whole(_smaller(b, b.mul(i, I64(CHUNK)), b.sub(count, I64(CHUNK))))
                return []

            w.loop(_ratio(b, count, I64(CHUNK)), [], chunk)
        with few:

            def each(i: Value, _state: State) -> State:
                single(i)
                return []

            w.loop(count, [], each)


def _ratio(b: Any, x: Value, y: Value) -> Value:
    """Return a quotient of positive numbers, rounded up."""
    return b.sdiv(b.add(x, b.sub(y, I64(1))), y)


def _larger(b: Any, x: Value, y: Value) -> Value:
    return b.select(b.icmp_signed(">", x, y), x, y)


def _smaller(b: Any, x: Value, y: Value) -> Value:
    return b.select(b.icmp_signed("<", x, y), x, y)
