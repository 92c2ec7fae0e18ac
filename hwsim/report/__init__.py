"""Reports: one HTML page, its figures, and the numbers behind them, from the document of a run."""

from hwsim.report.write import write_report

__all__ = ["write_report"]
