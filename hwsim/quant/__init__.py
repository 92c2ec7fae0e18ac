"""Choosing integers: ranges, schemes, calibration, quantization after training; `RANGES` and `SCHEMES` are open lists."""

from hwsim.quant.calibrate import Calibration, calibrate
from hwsim.quant.float_network import dequantized, evaluate, pixel_offset
from hwsim.quant.post_training import quantize
from hwsim.quant.ranges import RANGES, RangeMethod, range_method
from hwsim.quant.schemes import SCHEMES, Mode, Scheme, parse_scheme

__all__ = [
    "RANGES",
    "SCHEMES",
    "Calibration",
    "Mode",
    "RangeMethod",
    "Scheme",
    "calibrate",
    "dequantized",
    "evaluate",
    "parse_scheme",
    "pixel_offset",
    "quantize",
    "range_method",
]
