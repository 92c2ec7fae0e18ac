"""Quantizing a float network as a job: the integers, what they cost, where the noise is from, and what would help."""
