"""Hardware beside the kernels: streams for its ports, what has to come back, and benches that compare the two."""
