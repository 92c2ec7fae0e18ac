"""Whole cores in hardware: their files for other tools, simulators that run them, and how they compare with the kernels."""
