"""The file of a sweep: models, parameters with their domains, objectives, constraints and the way of searching.

The schema is the pydantic models below; ``docs/sweep.md`` explains it.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, Strict, ValidationError, model_validator

from hwsim.spec import InputError, require
from hwsim.sweep.metrics import METRICS
from hwsim.sweep.parameters import PARAMETERS, Scalar, check_value

MAX_FILE_BYTES = 1 << 20
MOST_POINTS = 1_000_000
"""Of a grid: more is an error of a step, and would not fit into the memory."""

Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Plain = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | Annotated[str, Strict()]
Goal = Literal["max", "min"]


class Table(BaseModel):
    """A table of the file: frozen, and no key but its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ModelTable(Table):
    """``[[models]]``: a network, and the data whose accuracy counts; without data only its time is of interest."""

    model: str = Field(min_length=1)
    name: str | None = Field(default=None, min_length=1, max_length=100)
    data: str | None = None
    input_mean: tuple[Number, ...] | None = None
    input_std: tuple[Number, ...] | None = None


class Domain(Table):
    """``[parameters.NAME]``: listed values, a range, or random draws; `when` says which values of others it is there for."""

    values: tuple[Plain, ...] | None = Field(default=None, min_length=1)
    start: Number | Integer | None = Field(default=None, alias="from")
    stop: Number | Integer | None = Field(default=None, alias="to")
    step: Number | Integer | None = None
    scale: Literal["linear", "log"] = "linear"
    draw: Literal["uniform", "log-uniform"] | None = None
    count: Integer | None = Field(default=None, ge=1, le=100_000)
    when: dict[str, Plain | tuple[Plain, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> Domain:
        ends = (self.start is not None) + (self.stop is not None)
        if (self.values is None) == (ends == 0) or ends == 1:
            raise ValueError("either values, or from and to")
        if self.values is not None and (self.step, self.draw, self.count) != (None, None, None):
            raise ValueError("without step, draw and count where values are listed")
        if self.values is None:
            assert self.start is not None and self.stop is not None
            if not (math.isfinite(self.start) and math.isfinite(self.stop) and self.start <= self.stop):
                raise ValueError("from a finite number up to a finite one that is no smaller")
            if self.draw is not None and (self.step is not None or self.scale != "linear"):
                raise ValueError("without step and scale where it is drawn")
            if self.draw is None and self.count is not None:
                raise ValueError("without count where nothing is drawn")
            logarithmic = self.scale == "log" or self.draw == "log-uniform"
            if logarithmic and self.start <= 0:
                raise ValueError("from a positive number on where it is logarithmic")
            least = 1 if self.scale == "log" else 0
            if self.step is not None and not (math.isfinite(self.step) and self.step > least):
                raise ValueError(f"in steps of a finite number greater than {least}")
        return self

    @property
    def integral(self) -> bool:
        """Whether a range is of integers: both of its ends are."""
        return isinstance(self.start, int) and isinstance(self.stop, int)

    def listed(self) -> tuple[Scalar, ...]:
        """Return the values of a list or a range, in order; of a draw nothing."""
        if self.values is not None:
            return self.values
        if self.draw is not None:
            return ()
        assert self.start is not None and self.stop is not None
        step = self.step if self.step is not None else 2 if self.scale == "log" else 1
        if self.scale == "log":
            count = 1 + math.floor(math.log(self.stop / self.start) / math.log(step) + 1e-9)
        else:
            count = 1 + math.floor((self.stop - self.start) / step + 1e-9)
        require(count <= MOST_POINTS, "a range", f"of at most {MOST_POINTS} values", count)
        numbers = [self.start * step**i if self.scale == "log" else self.start + i * step for i in range(count)]
        return tuple(dict.fromkeys(round(n) if self.integral else float(n) for n in numbers))


class Limit(Table):
    """``[constraints.METRIC]``: what a point must keep to."""

    least: Number | Integer | None = None
    most: Number | Integer | None = None

    @model_validator(mode="after")
    def _some(self) -> Limit:
        if self.least is None and self.most is None:
            raise ValueError("least, most, or both")
        return self

    def holds(self, value: float | None) -> bool:
        """Whether a value keeps to it; what is not known does not."""
        return (
            value is not None
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        )


class Search(Table):
    """``[search]``: which points are tried."""

    strategy: Literal["grid", "random", "tpe", "nsga2"] = "grid"
    points: Integer | None = Field(default=None, ge=1, le=MOST_POINTS)
    batch: Integer = Field(default=16, ge=1, le=1024)

    @model_validator(mode="after")
    def _points(self) -> Search:
        if (self.points is None) != (self.strategy == "grid"):
            raise ValueError("with points for all strategies but grid, which has as many as there are")
        return self


class Halving(Table):
    """``[halving]``: accuracy on few images first, and on `factor` times as many where the intervals leave it open."""

    start_images: Integer = Field(ge=1)
    factor: Integer = Field(default=4, ge=2, le=1000)
    confidence: Number = Field(default=0.95, gt=0.5, lt=1)


class Space(Table):
    """The whole file."""

    schema_version: Literal[1] = 1
    name: str = Field(default="sweep", min_length=1, max_length=100)
    accelerator: str = "edge-16x16"
    images: Integer | None = Field(default=None, ge=1)
    frames_per_second: Number = Field(default=30.0, gt=0, lt=1e9)
    seed: Integer = Field(default=0, ge=0, lt=1 << 32)
    models: tuple[ModelTable, ...] = Field(min_length=1)
    parameters: dict[str, Domain] = Field(default_factory=dict)
    objectives: dict[str, Goal] = Field(default_factory=dict)
    constraints: dict[str, Limit] = Field(default_factory=dict)
    search: Search = Search()
    halving: Halving | None = None
    _folder: Path = PrivateAttr(default=Path())

    def at(self, folder: Path) -> Space:
        """Return it with a folder that its relative paths are to."""
        found = self.model_copy()
        found._folder = folder  # noqa: SLF001 - of its own class
        return found

    def path(self, text: str) -> str:
        """Return a path of the file as seen from here: variables such as ``$HWSIM_DATA`` filled in; a name stays a name."""
        path = Path(os.path.expandvars(text))
        unset = re.search(r"\$\{?(\w+)", str(path))
        if unset is not None:
            raise InputError(f"{text}: {unset[1]} must be set in the environment, to a folder")
        if path.suffix.lower() in (".tflite", ".onnx", ".toml", ".npz") or len(path.parts) > 1:
            return str(path if path.is_absolute() else self._folder / path)
        return text

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """A parameter may be a list, or one value."""
        if isinstance(value, dict) and isinstance(value.get("parameters"), dict):
            full = {}
            for name, domain in value["parameters"].items():
                if isinstance(domain, dict | Domain):
                    full[name] = domain
                else:
                    full[name] = {"values": domain if isinstance(domain, list | tuple) else [domain]}
            return {**value, "parameters": full}
        return value


def load_space(source: Path | Mapping[str, Any]) -> Space:
    """Return a space from a TOML file, or from what such a file would say; relative paths of a file are to its folder.

    Raises
    ------
    InputError
        One line that names the file, the field, the value and what is allowed.
    """
    if isinstance(source, Mapping):
        return _checked(source, "space", Path())
    try:
        if source.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{source}: file size must be at most {MAX_FILE_BYTES} bytes, not {source.stat().st_size}")
        content = tomllib.loads(source.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise InputError(f"{source}: not a readable TOML file: {reason}") from None
    except RecursionError:
        raise InputError(f"{source}: not a readable TOML file: nested too deeply") from None
    return _checked(content, str(source), source.parent)


def _checked(content: Mapping[str, Any], where: str, folder: Path) -> Space:
    try:
        space = Space.model_validate(dict(content))
    except ValidationError as error:
        raise InputError(f"{where}: {_first_problem(error)}") from None
    try:
        _check_names(space)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return space.at(folder)


def _check_names(space: Space) -> None:
    """Raise `InputError` for a name that there is not, or a value that its parameter cannot have."""
    names = [model_name(entry) for entry in space.models]
    require(len(set(names)) == len(names), "models", "of different names (give a name to those that share one)", names)
    for name, domain in space.parameters.items():
        known = ", ".join(PARAMETERS[1:])
        require(name != "model", "parameters.model", "left out: the list of models is what varies it", "given")
        require(name in PARAMETERS, f"parameters.{name}", f"one of {known}", repr(name))
        for value in domain.listed():
            _named(f"parameters.{name}", name, value)
        if domain.draw is not None:
            require(
                space.search.strategy != "grid" or domain.count is not None, f"parameters.{name}.count",
                "given where a grid draws", "left out",
            )  # fmt: skip
        for other, wanted in domain.when.items():
            before = list(space.parameters)[: list(space.parameters).index(name)]
            require(
                other == "model" or other in before, f"parameters.{name}.when.{other}",
                "model or a parameter that stands before it", repr(other),
            )  # fmt: skip
            choices = wanted if isinstance(wanted, tuple) else (wanted,)
            if other == "model":
                for choice in choices:
                    require(
                        choice in names, f"parameters.{name}.when.model", f"one of {', '.join(names)}", repr(choice)
                    )
    for table, metrics in (("objectives", space.objectives), ("constraints", space.constraints)):
        for metric in metrics:
            require(metric in METRICS, f"{table}.{metric}", f"one of {', '.join(METRICS)}", repr(metric))
    if space.search.strategy in ("tpe", "nsga2"):
        require(bool(space.objectives), "objectives", f"given for {space.search.strategy}", "left out")


def _named(where: str, name: str, value: object) -> None:
    try:
        check_value(name, value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def model_name(entry: ModelTable) -> str:
    """Return what rows call a model."""
    return entry.name or Path(entry.model).stem


def _first_problem(error: ValidationError) -> str:
    """Put pydantic's first finding into one sentence of the house form."""
    problem = error.errors(include_url=False)[0]
    # Of a union pydantic names the branch too, which says nothing to the reader.
    where = [str(part) for part in problem["loc"] if part not in ("float", "int", "bool", "str", "tuple[nullable]")]
    field = ".".join(where)
    if problem["type"] == "extra_forbidden":
        tables: dict[str, type[Table]] = {
            "models": ModelTable, "parameters": Domain, "constraints": Limit, "search": Search, "halving": Halving,
        }  # fmt: skip
        table = Space if len(where) == 1 else tables.get(where[0], Space)
        keys = [info.alias or name for name, info in table.model_fields.items()]
        return f"{field} is not a known key; allowed are {', '.join(keys)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "missing":
        return f"{field} must be given"
    message = message if message[:2].isupper() else message[0].lower() + message[1:]
    value = problem["input"]
    return f"{field or 'the file'} must be {message}, not {value!r}"
