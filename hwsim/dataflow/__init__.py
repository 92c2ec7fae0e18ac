"""Cycles of layers on arrays. Never sees a tensor value."""

from hwsim.dataflow.core_cycles import Counters, predict, predict_plan
from hwsim.dataflow.core_timing import CoreTiming
from hwsim.dataflow.gemm_plan import GemmJob, GemmPlan, plan_gemm
from hwsim.dataflow.ideal import ideal_cycles

__all__ = ["CoreTiming", "Counters", "GemmJob", "GemmPlan", "ideal_cycles", "plan_gemm", "predict", "predict_plan"]
