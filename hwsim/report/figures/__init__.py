"""The figures of a report. A new one is a file here and an entry in `FIGURES`."""

from hwsim.report.figures.accumulator import ACCUMULATOR_BITS, OVERFLOW_EVENTS
from hwsim.report.figures.accuracy import ACCURACY
from hwsim.report.figures.cycles import CYCLES
from hwsim.report.figures.roofline import ROOFLINE
from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.sqnr import SQNR
from hwsim.report.figures.traffic import TRAFFIC

FIGURES: tuple[FigureSpec, ...] = (
    ACCURACY,
    TRAFFIC,
    CYCLES,
    ROOFLINE,
    ACCUMULATOR_BITS,
    OVERFLOW_EVENTS,
    SQNR,
)

__all__ = ["FIGURES", "FigureSpec"]
