"""Reports: one HTML page, its figures, and the numbers behind them, from the document of a run; see `write`."""
