"""The compiled products of weights that are powers of two: imported only where numba is installed.

Plain loops that LLVM makes vectors of, over one output's weights at a time. A module of its own,
so that what the loops call is global: numba keeps compiled code in its cache only then.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.activation_loops import round_row, rows_at

EXPONENT, BIAS = 23, 127
"""Of float32: where its exponent's bits are, and what is added to it there."""


def _unpack_row(row: Any, by_halves: bool, codes: Any) -> None:
    """One output's codes: a byte each, or two a byte, the first half's in the low bits."""
    if by_halves:
        half = row.size
        for j in range(half):
            codes[j] = row[j] & np.uint8(15)
            codes[half + j] = row[j] >> np.uint8(4)
    else:
        codes[:] = row


def _sum_32(codes: Any, sign: Any, low: Any, width: Any, x: Any) -> Any:
    """Of activations shifted left by the codes' exponents, negated where codes are negative.

    ``sign`` is the sign's bit of a code, int32 as the others; only exponents from ``low`` on,
    ``width`` of them, count.
    """
    total = np.int32(0)
    for j in range(x.size):
        code = np.int32(codes[j])
        place = np.int32((code & np.int32(sign - 1)) - 1 - low)
        value = np.int32(np.int32(x[j]) << np.int32(place & 31))
        value = value if np.uint32(place) < np.uint32(width) else np.int32(0)
        total = np.int32(total - value if code & sign else total + value)
    return total


def _sum_64(codes: Any, sign: Any, low: Any, width: Any, x: Any) -> Any:
    """The same in 64 bits."""
    total = np.int64(0)
    for j in range(x.size):
        code = np.int64(codes[j])
        place = (code & np.int64(sign - 1)) - 1 - low
        value = np.int64(x[j]) << (place & 63)
        value = value if np.uint64(place) < np.uint64(width) else np.int64(0)
        total += -value if code & sign else value
    return total


unpack_row: Any = numba.njit(nogil=True, cache=True)(_unpack_row)
sum_32: Any = numba.njit(nogil=True, cache=True)(_sum_32)
sum_64: Any = numba.njit(nogil=True, cache=True)(_sum_64)


def _integers(
    packed: Any, by_halves: bool, sign: int, low: int, width: int, x: Any, out: Any
) -> None:
    """``x`` (rows, inputs), filled up as the codes are, to ``out`` (rows, outputs) int32 or int64.

    Args:
        packed: (outputs, bytes) uint8.
        x: int8.
    """
    inputs = x.shape[1]
    codes = np.empty(inputs, np.uint8)
    for o in range(packed.shape[0]):
        unpack_row(packed[o], by_halves, codes)
        for row in range(x.shape[0]):
            if out.itemsize == 4:
                out[row, o] = sum_32(codes, np.int32(sign), np.int32(low), np.int32(width), x[row])
            else:
                out[row, o] = sum_64(codes, sign, low, width, x[row])


def _round_rows(address: int, inputs: int, whole: Any, scales: Any) -> None:
    """Rows of float32 at ``address``, rounded into ``whole`` (rows, inputs or more) int8."""
    x = rows_at(address, whole.shape[0], inputs)
    for row in range(whole.shape[0]):
        scales[row] = round_row(x[row], whole[row])


def _value_row(codes: Any, sign: Any, shift: Any, least: Any, scale: Any, values: Any) -> None:
    """The weights of one output, by the bits of float32.

    ``sign`` is the sign's bit of a code, ``shift`` how far it lies below that of float32; int32.
    """
    bits = values.view(np.int32)
    for j in range(codes.size):
        code = np.int32(codes[j])
        place = np.int32(code & np.int32(sign - 1))
        word = np.int32(np.int32(place + np.int32(least - 1 + BIAS)) << np.int32(EXPONENT))
        word = np.int32(word | np.int32((code & sign) << shift))
        bits[j] = word if place else np.int32(0)
    if scale != np.float32(1):
        for j in range(codes.size):
            values[j] *= scale


def _dot(x: Any, values: Any) -> Any:
    """In float64, where the products are exact: short rows have no sums to split into lanes."""
    total = np.float64(0)
    for j in range(x.size):
        total += np.float64(x[j]) * np.float64(values[j])
    return total


value_row: Any = numba.njit(nogil=True, cache=True)(_value_row)
# Sums in any order, so that they may be made by vectors; values that are not finite stay so.
dot: Any = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})(_dot)


def _floats(
    packed: Any, by_halves: bool, sign: int, least: int, scale: Any, x: Any, out: Any
) -> None:
    """``x`` (rows, inputs), filled up as the codes are, to ``out`` (rows, outputs), float32."""
    inputs = x.shape[1]
    codes, values = np.empty(inputs, np.uint8), np.empty(inputs, np.float32)
    shift = 31
    while 1 << (31 - shift) < sign:
        shift -= 1
    for o in range(packed.shape[0]):
        unpack_row(packed[o], by_halves, codes)
        value_row(codes, np.int32(sign), np.int32(shift), np.int32(least), scale, values)
        for row in range(x.shape[0]):
            out[row, o] = np.float32(dot(x[row], values))


integers: Any = numba.njit(nogil=True, cache=True)(_integers)
round_rows: Any = numba.njit(nogil=True, cache=True)(_round_rows)
floats: Any = numba.njit(nogil=True, cache=True)(_floats)
