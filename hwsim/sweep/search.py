"""Which points of a space are tried: all, random ones, or those that Optuna proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hwsim.spec import Accelerator, InputError, require
from hwsim.sweep.columns import Record
from hwsim.sweep.engine import Engine
from hwsim.sweep.halving import Halving
from hwsim.sweep.layer_files import LayerFile
from hwsim.sweep.parameters import Scalar
from hwsim.sweep.points import Assignment, Configuration, ModelSource, assign, configure, digest, drawn, grid
from hwsim.sweep.rows import FAILED, OK, row_of
from hwsim.sweep.space import Domain, Space, model_name

Sources = dict[str, ModelSource]


class Searcher:
    """A space on an engine.

    Parameters
    ----------
    space
        What to search.
    base, sources
        Its machine, and its models by name.
    engine
        What evaluates points.
    files
        Registers of single layers, see `hwsim.sweep.layer_files.open_layers`.
    """

    def __init__(
        self, space: Space, base: Accelerator, sources: Sources, engine: Engine,
        files: Mapping[str, LayerFile] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._space, self._base, self._sources, self._engine, self._files = space, base, sources, engine, files

    def run(self) -> list[Record]:
        """Return the rows of all points that were tried, each once."""
        strategy = self._space.search.strategy
        if strategy in ("tpe", "nsga2"):
            return self._optuna()
        points = grid(self._space) if strategy == "grid" else drawn(self._space, self._space.search.points or 0)
        rows = self._evaluate(points)
        return list({row["key"]: row for row in rows}.values())

    def _evaluate(self, points: Sequence[Assignment]) -> list[Record]:
        """Return the row of each point; one whose values do not go together has failed before it began."""
        configured = [self._configured(point) for point in points]
        good = [c for c in configured if isinstance(c, Configuration)]
        verdict = None
        if self._space.halving is not None:
            verdict = _LateHalving(self._space, good, self._engine)
        found = iter(self._engine.evaluate(good, verdict))
        rows = [next(found) if isinstance(c, Configuration) else c for c in configured]
        self._engine.keep([row for row, c in zip(rows, configured, strict=True) if not isinstance(c, Configuration)])
        return rows

    def _configured(self, point: Assignment) -> Configuration | Record:
        source = self._sources[str(point["model"])]
        try:
            return configure(self._space, self._base, source, point, self._files)
        except InputError as error:
            # No machine has these values, so its row has the base's, and the reason names the point.
            unchanged = configure(self._space, self._base, source, {"model": source.name})
            given = ", ".join(f"{name} = {value}" for name, value in point.items() if name != "model")
            row = row_of(unchanged, FAILED, f"{error} (at {given})", {})
            asked = {name: value for name, value in point.items() if name in row and name != "model"}
            return {**row, **_of_types(asked), "key": digest("impossible", unchanged.key, point)}

    def _optuna(self) -> list[Record]:
        optuna = import_optuna()
        space, search = self._space, self._space.search
        if search.strategy == "tpe":
            sampler = optuna.samplers.TPESampler(seed=space.seed)
        else:
            sampler = optuna.samplers.NSGAIISampler(seed=space.seed, population_size=search.batch)
        directions = ["maximize" if goal == "max" else "minimize" for goal in space.objectives.values()]
        study = optuna.create_study(directions=directions, sampler=sampler)
        rows: dict[str, Record] = {}
        asked = 0
        while asked < (search.points or 0):
            # Asked in batches of one size whatever the number of processes, and told in the order of asking: so the proposals,
            # and with them the results, depend on the seed alone, and a run that was interrupted finds its way again.
            trials = [study.ask() for _ in range(min(search.batch, (search.points or 0) - asked))]
            asked += len(trials)
            found = self._evaluate([_suggested(space, trial) for trial in trials])
            for trial, row in zip(trials, found, strict=True):
                rows[row["key"]] = row
                values = [row[name] for name in space.objectives]
                for name, limit in space.constraints.items():
                    trial.set_constraint(name, _violation(row[name], limit.least, limit.most))
                if row["status"] != OK or None in values:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, values)
        return list(rows.values())


class _LateHalving:
    """Halving, made when it is first asked: by then times are known."""

    def __init__(self, space: Space, configurations: Sequence[Configuration], engine: Engine) -> None:
        self._made: Halving | None = None
        self._make: Callable[[], Halving] = lambda: Halving(
            space, configurations, {c.key: engine.times_of(c) for c in configurations}
        )

    def __call__(self, seen: Mapping[str, tuple[int, int]], stage: int) -> Mapping[str, str]:
        self._made = self._made or self._make()
        return self._made(seen, stage)


def import_optuna() -> Any:
    """Return Optuna, quiet; raise `InputError` where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError("strategies tpe and nsga2 need Optuna: pip install 'hwsim[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _suggested(space: Space, trial: Any) -> Assignment:
    """Return the point that a trial proposes."""
    names = [model_name(entry) for entry in space.models]
    model = names[0] if len(names) == 1 else trial.suggest_categorical("model", names)

    def choose(name: str, domain: Domain) -> Scalar:
        if domain.draw is not None:
            assert domain.start is not None and domain.stop is not None
            log = domain.draw == "log-uniform"
            if domain.integral:
                return int(trial.suggest_int(name, int(domain.start), int(domain.stop), log=log))
            return float(trial.suggest_float(name, domain.start, domain.stop, log=log))
        values = domain.listed()
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(values) == 1:
            return values[0]
        if len(numbers) == len(values) and numbers == sorted(numbers):
            # By place, so that neighbours are neighbours whatever the steps.
            return values[int(trial.suggest_int(name, 0, len(values) - 1))]
        return values[int(trial.suggest_categorical(name, list(range(len(values)))))]

    return assign(space, str(model), choose)


def _violation(value: float | None, least: float | None, most: float | None) -> float:
    """Return by how much a value misses its limits, as a share of them; 0 where it keeps to them."""
    if value is None:
        return 1.0
    misses = [0.0]
    if least is not None and value < least:
        misses.append((least - value) / (abs(least) or 1.0))
    if most is not None and value > most:
        misses.append((value - most) / (abs(most) or 1.0))
    return max(misses)


def _of_types(values: Assignment) -> Record:
    from hwsim.sweep.columns import table_types

    types = table_types("rows")
    return {name: value if isinstance(value, types[name]) else None for name, value in values.items()}


def check_search(space: Space) -> None:
    """Raise `InputError` before any work where a search cannot be done."""
    if space.search.strategy in ("tpe", "nsga2"):
        import_optuna()
        require(
            space.halving is None, "halving", "left out where Optuna proposes: it learns from full accuracies", "given"
        )
