"""Layers executed together, by simulation: lines as sets, computed when the one behind needs them, dropped when nobody will.

Shares nothing with `hwsim.memory` but the names of its fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hwsim.memory.tiling import TileProblem
from timing.tile_oracle import bus_width, up


@dataclass
class StackMoved:
    """What a stack moves and needs, in bytes, and the new lines of each layer in each step."""

    inputs: int
    outputs: int
    weights: int
    residuals: list[int]
    input_need: int
    middle_need: int
    output_need: int
    wide_need: int
    weight_need: int
    residual_need: list[int]
    made: list[list[int]]

    @property
    def total(self) -> int:
        """All bytes, with nothing kept on chip."""
        return self.inputs + self.outputs + self.weights + sum(self.residuals)

    @property
    def need(self) -> int:
        """All of the buffer, with nothing kept on chip."""
        parts = (self.input_need, self.middle_need, self.output_need, self.wide_need, self.weight_need)
        return sum(parts) + sum(self.residual_need)


def window(problem: TileProblem, line: int) -> list[int]:
    """Return the lines of the image between the first and the last that a line of the output reads."""
    sliding = problem.sliding
    taps = [
        line * sliding.stride[0] - sliding.before[0] + tap * sliding.dilation[0] for tap in range(sliding.kernel[0])
    ]
    return [at for at in range(taps[0], taps[-1] + 1) if 0 <= at < sliding.image[0]]


def simulate_stack(problems: Sequence[TileProblem], rows: int) -> StackMoved:
    """Go through the steps of a stack."""
    burst, number = problems[0].burst_bytes, len(problems)
    high = [problem.sliding.output[0] for problem in problems]
    done = [0] * number
    loaded: set[int] = set()
    buffers: list[set[int]] = [set() for _ in problems]
    most = [0] * number
    made: list[list[int]] = [[] for _ in problems]
    inputs = 0
    for step in range(math.ceil(high[-1] / rows)):
        # How far every layer has to come, from the last one to the first.
        until = [0] * number
        until[-1] = min((step + 1) * rows, high[-1])
        for index in range(number - 1, 0, -1):
            read = [at for line in range(until[index]) for at in window(problems[index], line)]
            until[index - 1] = max([done[index - 1], *(at + 1 for at in read)])
        if until[-1] == high[-1]:
            until[:-1] = high[:-1]
        for index, problem in enumerate(problems):
            new = range(done[index], until[index])
            later = [at for line in range(done[index], high[index]) for at in window(problem, line)]
            # Lines before the first that this or a later line reads are dropped; what was just made is there in any case.
            begin = min(later, default=problem.sliding.image[0])
            if index == 0:
                # Of the input only what windows read comes, and it is one run; what was dropped is not missed.
                need = [at for line in new for at in window(problem, line)]
                fresh = [at for at in range(begin, max(need, default=-1) + 1) if at not in loaded]
                loaded.update(fresh)
                buffers[0].update(fresh)
                line = problem.sliding.image[1] * problem.sliding.channels
                bits = bus_width(problem.input_bits, problem.input_stored, problem.sliding.image[0] * line)
                inputs += up(math.ceil(len(fresh) * line * bits / 8), burst)
                buffers[0] = {at for at in buffers[0] if at >= begin}
                most[0] = max(most[0], len(buffers[0]))
            else:
                earlier = {at for at in buffers[index] if at >= begin}
                fresh = list(range(done[index - 1] - made[index - 1][-1], done[index - 1]))
                buffers[index] = earlier | set(fresh)
                # A ring of lines: from the first that is needed, or was just made, to the last one.
                span = max(buffers[index]) + 1 - min(buffers[index]) if buffers[index] else 0
                most[index] = max(most[index], span)
            made[index].append(len(new))
            done[index] = until[index]

    def out(index: int, lines: int, bits: Fraction | int) -> int:
        return math.ceil(lines * problems[index].sliding.output[1] * problems[index].channels * bits / 8)

    def share(index: int, bits: int, stored: int) -> Fraction:
        return bus_width(bits, stored, math.prod(problems[index].sliding.output) * problems[index].channels)

    def held(index: int) -> int:
        sliding = problems[index].sliding
        return math.ceil(most[index] * sliding.image[1] * sliding.channels * problems[index].input_bits / 8)

    payloads = [
        math.ceil(p.channels * p.products * p.weight_bits / 8)
        + math.ceil(p.channels * p.bias_bits / 8) + math.ceil(p.channels * p.scale_bits / 8)
        for p in problems
    ]  # fmt: skip
    return StackMoved(
        inputs=inputs,
        outputs=sum(
            up(out(number - 1, lines, share(number - 1, problems[-1].output_bits, problems[-1].output_stored)), burst)
            for lines in made[-1]
        ),
        weights=sum(up(payload, burst) for payload in payloads),
        residuals=[
            sum(up(out(index, lines, share(index, p.residual_bits, p.residual_stored)), burst) for lines in made[index])
            for index, p in enumerate(problems)
        ],
        input_need=held(0),
        middle_need=sum(map(held, range(1, number))),
        output_need=out(number - 1, max(made[-1]), problems[-1].output_bits),
        wide_need=max(out(index, max(made[index]), p.wide_bits) for index, p in enumerate(problems)),
        weight_need=sum(payloads),
        residual_need=[out(index, max(made[index]), p.residual_bits) for index, p in enumerate(problems)],
        made=made,
    )
