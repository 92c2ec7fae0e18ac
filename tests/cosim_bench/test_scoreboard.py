"""The scoreboard's answers: what is equal, what differs and where, what is missing and what is too many."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cosim.scoreboard import Scoreboard


def test_equal_transactions_pass() -> None:
    board = Scoreboard()
    board.expect(3)
    board.expect([1, -2])
    board.expect(np.array([[1, 2], [3, 4]], np.uint8))
    assert board.waiting == 3
    board.observe(np.int16(3))
    board.observe((1, -2))
    board.observe([[1, 2], [3, 4]])
    board.finish()
    assert (board.compared, board.mismatched, board.waiting) == (3, 0, 0)


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        ([1, 2, 3], [1, 5, 4], "sums 1 (pixel 7), channel 1: expected 2, got 5 (2 elements differ)"),
        ([1, 2], [1, -2], "sums 1 (pixel 7), channel 1: expected 2, got -2"),
        (7, 8, "sums 1 (pixel 7): expected 7, got 8"),
        ([[1], [2]], [[1], [3]], "sums 1 (pixel 7), element 1, element 0: expected 2, got 3"),
        ([1, 2], [1, 2, 3], "sums 1 (pixel 7): expected 2 elements, got 3"),
    ],
)
def test_difference_is_explained(expected: list[int], got: list[int], message: str) -> None:
    board = Scoreboard("sums", axes=("channel",))
    board.expect(0)
    board.observe(0)
    board.expect(expected, "pixel 7")
    with pytest.raises(AssertionError) as error:
        board.observe(got)
    assert str(error.value) == f"mismatch: {message}"
    assert board.mismatched == 1


def test_collected_mismatches_fail_at_the_end() -> None:
    board = Scoreboard(stop=False)
    for value in range(Scoreboard.LIMIT + 20):
        board.expect(value)
        board.observe(value + 1)
    assert (board.mismatched, len(board.mismatches)) == (Scoreboard.LIMIT + 20, Scoreboard.LIMIT)
    with pytest.raises(AssertionError, match="results 0: expected 0, got 1"):
        board.finish()


def test_missing_and_unexpected_are_seen() -> None:
    board = Scoreboard("sums")
    with pytest.raises(AssertionError, match="mismatch: sums 0: unexpected, its first element is 4"):
        board.observe([4, 5])
    board = Scoreboard("sums")
    board.expect(1, "the last")
    with pytest.raises(AssertionError, match=r"mismatch: sums 0 \(the last\): never came"):
        board.finish()
    board.drop()
    assert board.waiting == 0


def test_dropped_transactions_are_not_due() -> None:
    board = Scoreboard()
    board.expect(1)
    board.drop()
    board.expect(2)
    board.observe(2)
    board.finish()


def test_only_integers_are_compared() -> None:
    with pytest.raises(TypeError, match="a scoreboard compares integers, not float64"):
        Scoreboard().expect(1.0)
