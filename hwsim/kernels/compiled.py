"""From a kernel's IR to the address of its code; machine code is kept on disk beside Numba's."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import config

from hwsim.kernels.targets import Target, host

_lock = threading.RLock()
_addresses: dict[tuple[Target, str], int] = {}
_engines: list[Any] = []
"""They own the machine code, which lives as long as the process."""


def machine(target: Target) -> Any:
    """Return LLVM's description of the processor: this one, or any one that has a target's features and no more."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    if target is host() and config.CPU_NAME in (None, "", "host"):
        # Vectors are as wide as they are written, also where LLVM would rather use half of them.
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    else:
        cpu, features = "", ",".join(f"+{name}" for name in target.needs)
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small", jit=True
    )


def compile_object(module: ir.Module, processor: Any) -> bytes:
    """Optimize a module and return it as an object file."""
    module.triple = processor.triple
    module.data_layout = str(processor.target_data)
    parsed = llvm.parse_assembly(str(module))
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(processor, options)
    builder.getModulePassManager().run(parsed, builder)
    code: bytes = processor.emit_object(parsed)
    return code


def address_of(key: str, write: Callable[[Target, str], ir.Module], target: Target | None = None) -> int:
    """Return the address of a kernel, compiled on first use.

    Parameters
    ----------
    key
        Everything that the kernel's code depends on, besides the target and the sources.
    write
        Makes the module for a target, of one function of the given name.
    target
        The one to compile for, or `host()`.
    """
    chosen = target or host()
    with _lock:
        known = _addresses.get((chosen, key))
        if known is None:
            known = _addresses[chosen, key] = _load(chosen, key, write)
        return known


def _load(target: Target, key: str, write: Callable[[Target, str], ir.Module]) -> int:
    processor = machine(target)
    described = (
        f"{key} {target} {processor.triple} {llvm.get_host_cpu_name()} {config.CPU_NAME} {llvm.llvm_version_info}"
    )
    name = f"kernel_{hashlib.sha256(described.encode()).hexdigest()[:24]}"
    path = Path(config.CACHE_DIR) / f"{name}.o"
    code = _read(path)
    if code is None:
        code = compile_object(write(target, name), processor)
        _keep(path, code)
    empty = llvm.parse_assembly("")
    empty.triple = processor.triple
    engine = llvm.create_mcjit_compiler(empty, processor)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    found: int = engine.get_function_address(name)
    return found


def _read(path: Path) -> bytes | None:
    """Return a file's content where it is whole: its last bytes are a hash of the rest."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    code, seal = content[:-32], content[-32:]
    return code if hashlib.sha256(code).digest() == seal else None


def _keep(path: Path, code: bytes) -> None:
    """Put machine code into the cache: whole or not at all, whoever else does the same."""
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(code + hashlib.sha256(code).digest())
        Path(temporary).replace(path)


def foreign(address: int) -> Callable[[int], None]:
    """Return a kernel as a function of the address of its fields; the GIL is released while it runs."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
