"""The values engine: golden kernels in Numba, and SIMD kernels that are proven equal to them."""
