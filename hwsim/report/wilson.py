"""How sure a measured accuracy is."""

from __future__ import annotations

import math

_Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, as fractions; ``(0, 1)`` where nothing was measured.

    It stays inside 0..1 and keeps its coverage near them, where the usual ``p +- z * sqrt(p(1-p)/n)``
    has no width at all.

    References
    ----------
    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    weight = _Z95 * _Z95 / n
    centre = (share + weight / 2) / (1 + weight)
    half = _Z95 * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    # Rounding may leave 1e-17 outside; the ends are exact where all or none are correct.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)
