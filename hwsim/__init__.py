"""Bit-accurate simulator and RTL reference model of hardware accelerators for quantized CNNs."""

import sys
from types import ModuleType
from typing import Any

from hwsim import api
from hwsim.api import analyze, export, layer_table, load, quantize, report, simulate, sweep, time, train
from hwsim.spec.errors import InputError

__all__ = [
    "InputError",
    "analyze",
    "export",
    "layer_table",
    "load",
    "quantize",
    "report",
    "simulate",
    "sweep",
    "time",
    "train",
]


class _CallablePackage(ModuleType):
    """A package of hwsim that has the name of a public function and answers to a call as that function does."""

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(getattr(api, self.__name__.rpartition(".")[2]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)


class _Root(ModuleType):
    """The package itself. Its functions have the names of its parts (`hwsim.load`, `hwsim.sweep`), see docs/design.md.

    When such a part is imported for the first time, Python binds it here in place of the function; so it learns to be called.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and callable(getattr(api, name, None)):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
