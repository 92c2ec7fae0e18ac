"""What a sweep teaches, in sentences that are computed from its rows."""

from __future__ import annotations

from collections import Counter
from statistics import median

from hwsim.report.sweep_results import ACCURACY, Row, SweepResults
from hwsim.report.sweep_words import configuration_text, limit_text, metric_name, value_text
from hwsim.report.text import grouped, percent, plural, points

WEIGHTS = ("weights", "outliers", "biases", "scales")
"""Operands that come with a layer's weights."""


def lessons(results: SweepResults) -> list[str]:
    """Return the sentences, the most important first."""
    return [*_fronts(results), *_registers(results), *_levers(results), *_traffic(results), *_failures(results)]


def _fronts(results: SweepResults) -> list[str]:
    found = []
    limits = [limit_text(name, limit) for name, limit in results.constraints.items()]
    if limits:
        found.append(
            f"{len(results.feasible)} of {len(results.finished)} finished configurations meet the constraints "
            f"({'; '.join(limits)})."
        )
    for name, rows in results.fronts.items():
        goals = results.goals(rows)
        if not goals:
            continue
        found.append(
            f"{name}: {len(rows)} of {len(results.groups[name])} configurations are on the front; no other one is as good in "
            f"{' and '.join(metric_name(goal) for goal in goals)} and better in one of them."
        )
    for number, best in enumerate(results.best, 1):
        goals = results.goals([best.row])
        figures = ", ".join(f"{metric_name(name)} {value_text(name, best.row[name])}" for name in goals)
        found.append(f"Best {number} ({best.why}): {configuration_text(best.row, results.varied)} – {figures}.")
    return found


def _registers(results: SweepResults) -> list[str]:
    """Say for each network how far the accumulator can be narrowed before the loss of accuracy is certain."""
    found = []
    executed = [row for row in results.finished if row[ACCURACY] is not None]
    for parameter in ("acc", "weight_bits", "activation_bits"):
        for model in sorted({str(row["model"]) for row in executed}):
            some = [row for row in executed if row["model"] == model]
            best: dict[object, Row] = {}
            for row in some:
                other = best.get(row[parameter])
                if row[parameter] is not None and (other is None or row[ACCURACY] > other[ACCURACY]):
                    best[row[parameter]] = row
            if len(best) < 2:
                continue
            top = max(best.values(), key=lambda row: row[ACCURACY])
            equal = [value for value, row in best.items() if row["top1_high"] >= top["top1_low"]]
            narrowest = min(equal, key=_width)
            lost = [value for value in best if value not in equal]
            sentence = (
                f"{model}: {metric_name(parameter)} {narrowest} is the narrowest whose interval meets that of the best "
                f"({percent(best[narrowest][ACCURACY], 2)} against {percent(top[ACCURACY], 2)})"
            )
            if lost:
                widest = max(lost, key=_width)
                sentence += f"; {widest} costs {points(best[widest][ACCURACY] - top[ACCURACY]).removeprefix('-')}"
            found.append(sentence + ".")
    return found


def _width(value: object) -> tuple[int, str]:
    return int(str(value).partition(":")[0]), str(value)


def _levers(results: SweepResults) -> list[str]:
    found = []
    for metric in results.objectives:
        effects = [effect for effect in results.effects if effect.metric == metric]
        if len(effects) < 2:
            continue
        first, last = effects[0], effects[-1]
        if metric == ACCURACY:
            size = f"{100 * first.typical:.2f} points in the median, {100 * first.largest:.2f} at most"
            least = f"{100 * last.typical:.2f} points"
        else:
            size = f"a factor of {first.typical:.2f} in the median, {first.largest:.2f} at most"
            least = f"a factor of {last.typical:.2f}"
        found.append(
            f"{metric_name(metric).capitalize()} depends most on {metric_name(first.parameter)} ({size}, all else equal, in "
            f"{plural(first.comparisons, 'comparison')}) and least on {metric_name(last.parameter)} ({least})."
        )
    return found


def _traffic(results: SweepResults) -> list[str]:
    rows = [row for rows in results.fronts.values() for row in rows if row["dram_bytes"]]
    if not rows:
        return []
    shares = [sum(row.get(f"dram_{part}_bytes") or 0 for part in WEIGHTS) / row["dram_bytes"] for row in rows]
    over = [row["dram_bytes"] / row["bound_bytes"] for row in rows if row["bound_bytes"]]
    waiting = [row["stall_cycles"] / row["cycles"] for row in rows if row["cycles"]]
    weights, stalls = percent(median(shares)), percent(median(waiting))
    sentence = (
        f"On the front {weights} of the DRAM traffic is weights with their biases and scales, and {stalls} of the cycles wait "
        f"for the DRAM (medians); the traffic is {median(over):.2f} times its lower bound for these buffers."
    )
    return [sentence]


def _failures(results: SweepResults) -> list[str]:
    statuses = Counter(str(row["status"]) for row in results.rows)
    found = []
    if statuses["failed"] + statuses["crashed"]:
        reasons = Counter(str(row["reason"]) for row in results.rows if row["status"] in ("failed", "crashed"))
        reason, count = min(reasons.items(), key=lambda item: (-item[1], item[0]))
        failed = plural(statuses["failed"] + statuses["crashed"], "point")
        found.append(
            f"{failed} of {grouped(len(results.rows))} cannot be built or run; the most frequent reason, {grouped(count)} "
            f"times: {reason}."
        )
    if statuses["stopped"]:
        stopped = [row["n"] for row in results.rows if row["status"] == "stopped"]
        found.append(
            f"{plural(statuses['stopped'], 'point')} got no more images than {grouped(max(stopped))}, because their intervals "
            "showed that they cannot win."
        )
    return found
