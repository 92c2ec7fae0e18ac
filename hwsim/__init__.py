"""Bit-accurate simulator and RTL reference model of hardware accelerators for quantized CNNs."""
