"""Accumulator certificates: what one says, and a small verifier that shares no code with the analysis that wrote it."""
