"""The compiled products of binary weights: imported only where numba is installed.

With S the sum of an output's activations with a plus and A that of all, the product is 2 S - A.
A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.activation_loops import round_row, rows_at
from methods.kernels.set_loops import filled, set_count, set_sums


def _integers(packed: Any, x: Any, out: Any) -> None:
    """``x`` (rows, inputs) int8 times the signs to ``out`` (rows, outputs) int32."""
    outputs, whole = out.shape[1], np.zeros(filled(packed, x.shape[1]), np.int16)
    sums = np.empty(set_count(packed, outputs), np.int32)
    for row in range(x.shape[0]):
        whole[: x.shape[1]] = x[row]
        set_sums(packed, whole, sums)
        every = total(whole)
        for o in range(outputs):
            out[row, o] = np.int32(2 * sums[o] - every)


def _product(packed: Any, scales: Any, address: int, inputs: int, out: Any) -> None:
    """Rows of so many inputs, float32 at ``address``, to ``out`` (rows, outputs) float32.

    ``scales`` (outputs) float64.
    """
    x = rows_at(address, out.shape[0], inputs)
    whole = np.zeros(filled(packed, inputs), np.int16)
    sums = np.empty(set_count(packed, out.shape[1]), np.int32)
    for row in range(out.shape[0]):
        scale = round_row(x[row], whole)
        set_sums(packed, whole, sums)
        every = total(whole)
        for o in range(out.shape[1]):
            own = np.int32(2 * sums[o] - every)
            out[row, o] = np.float32(np.float64(own) * (scale * scales[o]))


def _total(whole: Any) -> Any:
    found = np.int32(0)
    for i in range(whole.size):
        found = np.int32(found + whole[i])
    return found


total: Any = numba.njit(nogil=True, cache=True)(_total)
integers: Any = numba.njit(nogil=True, cache=True)(_integers)
product: Any = numba.njit(nogil=True, cache=True)(_product)
