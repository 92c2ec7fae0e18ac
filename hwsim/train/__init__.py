"""Training with the hardware in the loop: integers forward, by the kernels that run the network; gradients straight through."""
