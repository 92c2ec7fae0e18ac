"""The figures of a report. A new one is a file here and an entry in `FIGURES`."""

from hwsim.report.figures.accumulator import ACCUMULATOR_BITS, OVERFLOW_EVENTS
from hwsim.report.figures.accuracy import ACCURACY
from hwsim.report.figures.cycles import CYCLES
from hwsim.report.figures.headroom import HEADROOM, HEADROOM_WIDTHS
from hwsim.report.figures.headroom_channels import HEADROOM_CHANNELS, OVERFLOW_PLACES
from hwsim.report.figures.narrow_accuracy import NARROW_ACCURACY
from hwsim.report.figures.quantize_channels import QUANTIZE_CHANNELS
from hwsim.report.figures.quantize_noise import QUANTIZE_BLAME, QUANTIZE_RATIOS
from hwsim.report.figures.roofline import ROOFLINE
from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.sqnr import SQNR
from hwsim.report.figures.timeline import TIMELINE
from hwsim.report.figures.traffic import TRAFFIC
from hwsim.sim.analyze.document import AnalysisDocument
from hwsim.sim.document import RunDocument, TimedDocument
from hwsim.sim.narrow.document import NarrowDocument
from hwsim.sim.quantize.document import QuantizeDocument

TIME_FIGURES: tuple[FigureSpec[TimedDocument], ...] = (TRAFFIC, CYCLES, TIMELINE, ROOFLINE)
"""Those of times, which `hwsim time` draws by themselves."""

FIGURES: tuple[FigureSpec[RunDocument], ...] = (
    ACCURACY,
    *TIME_FIGURES,
    ACCUMULATOR_BITS,
    OVERFLOW_EVENTS,
    SQNR,
)

ANALYSIS_FIGURES: tuple[FigureSpec[AnalysisDocument], ...] = (
    HEADROOM_WIDTHS,
    HEADROOM,
    HEADROOM_CHANNELS,
    OVERFLOW_PLACES,
)
"""Those of `hwsim analyze`."""

NARROW_FIGURES: tuple[FigureSpec[NarrowDocument], ...] = (NARROW_ACCURACY,)
"""Those of `hwsim narrow`."""

QUANTIZE_FIGURES: tuple[FigureSpec[QuantizeDocument], ...] = (QUANTIZE_RATIOS, QUANTIZE_BLAME, QUANTIZE_CHANNELS)
"""Those of `hwsim quantize --analyze`."""

__all__ = ["ANALYSIS_FIGURES", "FIGURES", "NARROW_FIGURES", "QUANTIZE_FIGURES", "TIME_FIGURES", "FigureSpec"]
