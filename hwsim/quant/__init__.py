"""Choosing integers: ranges, schemes, calibration, quantization after training; `RANGES` and `SCHEMES` are open lists."""

from hwsim.quant.calibrate import calibrate
from hwsim.quant.float_network import dequantized, evaluate, pixel_offset
from hwsim.quant.post_training import quantize
from hwsim.quant.ranges import RANGES, RangeObserver
from hwsim.quant.schemes import SCHEMES, Scheme

__all__ = [
    "RANGES",
    "SCHEMES",
    "RangeObserver",
    "Scheme",
    "calibrate",
    "dequantized",
    "evaluate",
    "pixel_offset",
    "quantize",
]
