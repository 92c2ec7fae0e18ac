"""The narrowest registers that a network can live with, in each order of summation."""
