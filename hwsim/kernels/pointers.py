"""Memory at an address, as arrays of jitted code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from hwsim.kernels.jit import jit


@intrinsic
def _pointer(typing_context, address, kind):  # type: ignore[no-untyped-def]
    """Return an address as a pointer to elements of a kind."""
    signature = types.CPointer(kind.dtype)(types.int64, kind)

    def codegen(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, codegen


@jit
def words(address: Any, count: Any) -> Any:
    """Return `count` 64-bit integers."""
    return carray(_pointer(address, np.int64), (count,))


@jit
def octets(address: Any, count: Any) -> Any:
    """Return `count` bytes without a sign."""
    return carray(_pointer(address, np.uint8), (count,))
