"""Limits of a quantization: the integers in use, where that is not all of the format."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.graph import Quantization
from hwsim.ops import Activation
from hwsim.spec import Format, InputError


def narrow(lo: int, hi: int) -> Quantization:
    return Quantization(Format(4), np.array(0.5), np.array(1), None, (lo, hi))


def test_integers_stay_within_their_limits() -> None:
    """Real 0.5 * (q - 1): 9 would be 19, -9 would be -17; 1.25 is 2.5 steps, which round to 2, plus 1."""
    quantization = narrow(-7, 5)
    assert (quantization.lo, quantization.hi) == (-7, 5)
    assert quantization.quantize(np.array([9.0, -9.0, 1.25])).tolist() == [5, -7, 3]
    assert (Quantization(Format(4), np.array(0.5), np.array(1)).lo, quantization.format.lo) == (-8, -8)


def test_an_activation_narrows_them_further() -> None:
    assert Activation.RELU.clamp(narrow(-7, 5)) == (1, 5)
    assert Activation.RELU_N1_TO_1.clamp(narrow(-7, 2)) == (-1, 2)


@pytest.mark.parametrize(("lo", "hi"), [(-9, 5), (-7, 8), (3, 2)])
def test_limits_rise_within_the_format(lo: int, hi: int) -> None:
    with pytest.raises(InputError, match=r"limits must be rising, in -8\.\.7, not \("):
        narrow(lo, hi)
