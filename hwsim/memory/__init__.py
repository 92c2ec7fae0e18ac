"""Tiles, traffic between memory levels and the time it takes, bounds, energy. Only `compression` sees tensors; it gives sizes."""
