"""The compiled rounding of activations to signed bytes: imported only where numba is installed."""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

INFINITY = 0x7F800000
"""The bits of a float32; without the sign, only those of NaN are larger."""


def _round_row(row: Any, whole: Any) -> float:
    """One row as ``activations.rounded`` does it: fills ``whole``, returns the scale.

    Args:
        row: the bits of float32, as int32.
        whole: int8 or int16, as long as the row or longer; what lies behind is left alone.
    """
    largest = np.int32(0)
    for i in range(row.size):  # on bits, as comparisons of floats keep no order with NaN
        largest = max(largest, row[i] & np.int32(0x7FFFFFFF))
    if largest == 0 or largest >= INFINITY:
        whole[: row.size] = 0
        return 0.0 if largest == 0 else np.nan
    bits = np.empty(1, np.int32)
    bits[0] = largest
    most = np.float64(bits.view(np.float32)[0])
    factor = 127 / most
    values = row.view(np.float32)
    for i in range(row.size):
        whole[i] = np.int8(np.rint(np.float64(values[i]) * factor))
    return most / 127


round_row: Any = numba.njit(nogil=True, cache=True)(_round_row)


def _pointer(context: Any, address: Any) -> Any:
    """``pointer(address)``: a number as a pointer."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], target.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


pointer: Any = intrinsic(_pointer)


def _rows_at(address: int, rows: int, inputs: int) -> Any:
    """The bits of a tensor's values, (rows, inputs) int32, from its address.

    A torch tensor's address costs a tenth of the time that an array over its values takes to
    make, which would be a twentieth of a product.
    """
    return carray(pointer(address), (rows, inputs), np.int32)


rows_at: Any = numba.njit(nogil=True, cache=True)(_rows_at)
