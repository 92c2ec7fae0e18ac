"""Hardware units (Amaranth), equal bit for bit to the kernels, and their Verilog."""

from .adder_tree import AdderTree
from .dot_product import DotProduct
from .emit import to_verilog
from .gemm_core import GemmCore
from .register_add import RegisterAdd

__all__ = ["AdderTree", "DotProduct", "GemmCore", "RegisterAdd", "to_verilog"]
