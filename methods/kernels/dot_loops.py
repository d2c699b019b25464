"""The compiled products by VNNI's dot products, of codes of two and of four bits.

Imported only where numba is installed. Which sums are made is known by what is given: codes of two
bits have no table. Only the branch in question compiles.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels import nibble_loops, ternary_loops
from methods.kernels.activation_loops import round_row, rows_at

_nibble_sums, _sign_sums = nibble_loops.whole_sums, ternary_loops.whole_sums


def _whole_sums(words: Any, table: Any, offsets: Any, whole: Any, sums: Any) -> None:
    if table is None:
        _sign_sums(words, whole, sums)
    else:
        _nibble_sums(words, table, offsets, whole, sums)


whole_sums: Any = numba.njit(nogil=True, cache=True)(_whole_sums)


def _integers(words: Any, table: Any, offsets: Any, places: int, x: Any, out: Any) -> None:
    """``x`` (rows, inputs) int8 to ``out`` (rows, outputs) int32.

    Args:
        words: ``packing.code_bytes`` or ``packing.nibble_bytes``.
        table: of nibbles, see ``nibble_loops``; None of signs, as are ``offsets``.
        places: outputs with those that fill them up.
    """
    whole = np.zeros((x.shape[1] + 3) // 4 * 4, np.int8)
    sums = np.empty(places, np.int32)
    for row in range(x.shape[0]):
        whole[: x.shape[1]] = x[row]
        whole_sums(words, table, offsets, whole, sums)
        out[row] = sums[: out.shape[1]]


def _product(
    words: Any, table: Any, offsets: Any, places: int, power: float, scale: float, address: int,
    inputs: int, out: Any,
) -> None:  # fmt: skip
    """Rows of so many inputs, float32 at ``address``, to ``out`` (rows, outputs) float32.

    A weight is ``power`` times ``scale`` times a sign, or a byte of ``table``.
    """
    x = rows_at(address, out.shape[0], inputs)
    whole = np.zeros((inputs + 3) // 4 * 4, np.int8)
    sums = np.empty(places, np.int32)
    for row in range(out.shape[0]):
        factor = round_row(x[row], whole) * scale
        whole_sums(words, table, offsets, whole, sums)
        for o in range(out.shape[1]):
            out[row, o] = np.float32(np.float64(sums[o]) * power * factor)


integers: Any = numba.njit(nogil=True, cache=True)(_integers)
product: Any = numba.njit(nogil=True, cache=True)(_product)
