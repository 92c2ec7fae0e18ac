"""Hardware units (Amaranth), equal bit for bit to the kernels, and their Verilog."""

from .adder_tree import AdderTree
from .dot_product import DotProduct
from .emit import to_verilog
from .register_add import RegisterAdd

__all__ = ["AdderTree", "DotProduct", "RegisterAdd", "to_verilog"]
