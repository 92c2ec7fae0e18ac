"""The cores that tests of the whole `GemmCore` run: small, and spread over everything that a configuration can say."""

from __future__ import annotations

from typing import Any

from hwsim.spec import Arithmetic, BiasAt, Core, Dataflow, Format, Profile, Reduction, Register, ZeroPoints

UNSIGNED = False
OS = Dataflow.OUTPUT_STATIONARY
SINGLE, POWER = Profile.TFLITE_SINGLE, Profile.POWER_OF_TWO
_REDUCTION = ("tree", "psum", "lanes", "chain", "bias_at", "zero_points")


def core(name: str, rows: int, cols: int, acc: str, **given: Any) -> Core:
    """Return a core; registers are texts, fields of the reduction stand beside those of the core."""
    reduction: dict[str, Any] = {"acc": Register.parse(acc)}
    for field in _REDUCTION:
        value = given.pop(field, None)
        if value is not None:
            reduction[field] = Register.parse(value) if isinstance(value, str) else value
    arithmetic = Arithmetic(Reduction(**reduction), given.pop("profile", Profile.TFLITE))
    return Core(name=name, rows=rows, cols=cols, arithmetic=arithmetic, **{"pixels": 64} | given)


END, FOLD = BiasAt.END, ZeroPoints.FOLD

DEFAULT: tuple[Core, ...] = (
    # The default run: each says something that the others do not.
    core("ws_acc16_saturate", 3, 5, "16:saturate"),
    core("ws_chain_lanes_tree", 3, 2, "20:wrap", lanes=4, tree="17:saturate", chain=3, psum="18:wrap",
         activation=Format(8, UNSIGNED), output=Format(8, UNSIGNED), profile=SINGLE),
    core("ws_outliers_w2", 4, 3, "13:saturate", weight_bits=2, activation=Format(4), outlier_lanes=2, outlier_bits=8,
         requantizers=1),
    core("os_chain_fold_end", 3, 4, "19:saturate", dataflow=OS, lanes=3, chain=4, psum="17:saturate", bias_at=END,
         zero_points=FOLD, profile=POWER),
    core("os_acc32_narrow_buses", 2, 5, "32:wrap", dataflow=OS, weight_bus_bits=16, activation_bus_bits=8,
         result_bus_bits=8, lanes=2),
    core("ws_odd_widths_raw", 5, 2, "23:wrap", weight_bits=5, activation=Format(11), output=None, pixels=7),
)  # fmt: skip

SLOW: tuple[Core, ...] = (
    core("ws_default_arithmetic", 4, 4, "32:wrap"),
    core("ws_1x1", 1, 1, "16:wrap", pixels=2),
    core("ws_1x7", 1, 7, "17:saturate", output=Format(5)),
    core("ws_7x1", 7, 1, "18:saturate", activation=Format(8, UNSIGNED)),
    core("ws_w2_a2", 3, 4, "8:saturate", weight_bits=2, activation=Format(2), output=Format(2)),
    core("ws_w3_a7", 4, 3, "11:wrap", weight_bits=3, activation=Format(7), output=Format(3, UNSIGNED)),
    core("ws_w16_a16", 2, 3, "34:saturate", weight_bits=16, activation=Format(16), output=Format(16)),
    core("ws_w16_a16_acc48", 2, 2, "48:saturate", weight_bits=16, activation=Format(16, UNSIGNED),
         output=Format(16, UNSIGNED), bias_at=END),
    core("ws_w4_acc12_wrap", 3, 5, "12:wrap", weight_bits=4, activation=Format(6), zero_points=FOLD),
    core("ws_chain_psum_saturate", 4, 3, "32:wrap", chain=4, psum="16:saturate"),
    core("ws_chain_psum_wrap", 5, 2, "21:saturate", chain=5, psum="16:wrap", bias_at=END),
    core("ws_chain_narrower_acc", 3, 3, "16:saturate", chain=3, psum="20:saturate"),
    core("ws_tree_saturate", 2, 3, "24:wrap", lanes=5, tree="16:saturate"),
    core("ws_tree_wrap", 3, 2, "18:saturate", lanes=7, tree="16:wrap", profile=POWER),
    core("ws_exact_tree", 2, 4, "17:saturate", lanes=8, zero_points=FOLD),
    core("ws_all_narrow", 3, 3, "9:saturate", weight_bits=3, activation=Format(4), lanes=2, tree="8:wrap", chain=3,
         psum="8:saturate", profile=SINGLE),
    core("ws_bias_end", 3, 4, "16:wrap", bias_at=END),
    core("ws_single_rounding", 4, 2, "20:saturate", profile=SINGLE, max_left_shift=5),
    core("ws_power_of_two", 2, 6, "22:wrap", profile=POWER, max_left_shift=0),
    core("ws_left_shift_30", 2, 2, "32:saturate", max_left_shift=30),
    core("ws_fewer_requantizers", 3, 6, "16:saturate", requantizers=2),
    core("ws_narrow_buses", 3, 4, "16:wrap", weight_bus_bits=8, activation_bus_bits=8, result_bus_bits=8),
    core("ws_wide_buses", 3, 5, "18:wrap", weight_bus_bits=128, activation_bus_bits=64, result_bus_bits=96),
    core("ws_raw_narrow_bus", 3, 3, "16:saturate", output=None, result_bus_bits=16),
    core("ws_raw_bias_end", 2, 3, "13:saturate", output=None, bias_at=END, weight_bits=4, activation=Format(8)),
    core("ws_outliers_1", 3, 4, "20:saturate", weight_bits=4, outlier_lanes=1),
    core("ws_outliers_chain", 4, 2, "24:saturate", weight_bits=3, chain=4, psum="12:saturate", outlier_lanes=3),
    core("ws_outliers_8_lanes_2", 3, 3, "26:wrap", weight_bits=2, lanes=2, outlier_lanes=8, outlier_bits=16),
    core("ws_outliers_end_fold", 3, 5, "18:wrap", weight_bits=4, outlier_lanes=4, outlier_bits=9, bias_at=END,
         zero_points=FOLD, requantizers=1),
    core("ws_few_pixels", 3, 3, "16:saturate", pixels=3),
    core("ws_many_pixels", 2, 2, "16:saturate", pixels=300),
    core("ws_no_events", 3, 3, "16:saturate", count_events=False),
    core("ws_8x8", 8, 8, "16:saturate", chain=8, psum="16:saturate"),
    core("os_default_arithmetic", 4, 4, "32:wrap", dataflow=OS),
    core("os_1x1", 1, 1, "16:saturate", dataflow=OS),
    core("os_7x2", 7, 2, "18:saturate", dataflow=OS, profile=SINGLE),
    core("os_2x7_requantizers", 2, 7, "17:wrap", dataflow=OS, requantizers=1, activation=Format(8, UNSIGNED)),
    core("os_w2_a2_lanes", 3, 3, "8:saturate", dataflow=OS, weight_bits=2, activation=Format(2), lanes=4),
    core("os_w16_a16", 2, 2, "48:saturate", dataflow=OS, weight_bits=16, activation=Format(16), output=Format(16)),
    core("os_tree_saturate", 3, 2, "20:saturate", dataflow=OS, lanes=6, tree="16:saturate", bias_at=END),
    core("os_chain_1", 2, 3, "21:wrap", dataflow=OS, chain=1, psum="17:saturate", lanes=3),
    core("os_chain_tree", 3, 3, "17:saturate", dataflow=OS, lanes=2, tree="16:wrap", chain=3, psum="16:saturate"),
    core("os_raw", 3, 3, "16:wrap", dataflow=OS, output=None, result_bus_bits=16),
    core("os_raw_bias_end", 3, 2, "16:saturate", dataflow=OS, output=None, bias_at=END, lanes=2),
    core("os_power_of_two", 2, 4, "14:saturate", dataflow=OS, weight_bits=5, activation=Format(6), profile=POWER),
    core("os_8x8", 8, 8, "16:saturate", dataflow=OS, lanes=2),
    core("os_no_events", 2, 3, "16:wrap", dataflow=OS, count_events=False),
)  # fmt: skip

CONFIGURATIONS: tuple[Core, ...] = DEFAULT + SLOW


def named(name: str) -> Core:
    """Return the configuration of a name."""
    return next(core for core in CONFIGURATIONS if core.name == name)
