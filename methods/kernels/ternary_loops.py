"""The compiled products of ternary weights: imported only where numba is installed.

A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then.

One scale, with AVX-512's VNNI: a byte holds the codes (sign + 1, two bits each) of four outputs for
one input, 16 outputs apart. One instruction multiplies 64 bytes by as many activations and adds
four products each to 16 sums. Fields are never shifted: with the low two, four, six and all eight
bits of each byte the sums are S0, S0 + 4 S1, ..., and their differences give the rest at the end.

Two scales, or no VNNI: sums over the inputs with a plus and over those with a minus, as sets.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from methods.kernels.activation_loops import round_row, rows_at
from methods.kernels.packing import CODE_OUTPUTS
from methods.kernels.set_loops import filled, set_count, set_sums
from methods.kernels.vectors import INDEX, LANES, WORD, WORDS, Vectors, data, tools

OUTPUTS = CODE_OUTPUTS
REGISTERS = OUTPUTS // 64
"""Of weights that meet the same four inputs: their 16 sums stay in registers."""
INPUTS_AT_ONCE = 1 << 16
"""Whose sums, up to 170 * 128 times as large, fit 32 bits."""


def _dot(context: Any, words: Any, word_at: Any, whole: Any, whole_at: Any, count: Any, sums: Any,
         sum_at: Any) -> Any:  # fmt: skip
    """``dot(words, word_at, whole, whole_at, count, sums, sum_at)``.

    Adds to ``OUTPUTS`` int32 sums the products of ``count`` times four inputs, int8, with codes.
    """
    n = types.int64
    signature = types.void(words, n, whole, n, n, sums, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        words, whole, sums = (data(target, builder, kinds[i], arguments[i]) for i in (0, 2, 5))
        word_at, whole_at, count, sum_at = (arguments[i] for i in (1, 3, 4, 6))
        v = Vectors(builder)
        slots = [v.zeros(4, WORDS) for _ in range(REGISTERS)]
        with tools.for_range(builder, count) as loop:
            there = builder.add(whole_at, builder.mul(loop.index, INDEX(4)))
            inputs = v.splat(v.load(v.place(whole, there), WORD), WORDS)
            there = builder.add(word_at, builder.mul(loop.index, INDEX(OUTPUTS)))
            for r, fields in enumerate(slots):
                codes = v.load(v.place(words, builder.add(there, INDEX(64 * r))), WORDS)
                for slot, mask in zip(fields, (0x03, 0x0F, 0x3F, 0xFF), strict=True):
                    some = builder.and_(codes, v.constant(mask * 0x01010101))
                    builder.store(v.dot(builder.load(slot), some, inputs), slot)
        for r, fields in enumerate(slots):
            before = v.constant(0)
            for f, slot in enumerate(fields):
                total = builder.load(slot)
                own = builder.ashr(builder.sub(total, before), v.constant(2 * f))
                there = v.place(sums, builder.add(sum_at, INDEX(64 * r + LANES * f)))
                v.store(builder.add(v.load(there, WORDS), own), there)
                before = total
        return target.get_dummy_value()

    return signature, generate


dot: Any = intrinsic(_dot)


def _whole_sums(words: Any, whole: Any, sums: Any) -> None:
    """Of signs times ``whole``, int8, filled up with zeros to a multiple of four.

    Args:
        words: flat uint8, (outputs / 256, inputs / 4, 4, 64) bytes.
        sums: int32, a multiple of 256.
    """
    fours = whole.size // 4
    shift = np.int32(0)
    for i in range(whole.size):
        shift += np.int32(whole[i])
    sums[:] = -shift
    for block in range(sums.size // OUTPUTS):
        for first in range(0, fours, INPUTS_AT_ONCE // 4):
            dot(
                words, (block * fours + first) * OUTPUTS, whole, 4 * first,
                min(fours - first, INPUTS_AT_ONCE // 4), sums, block * OUTPUTS,
            )  # fmt: skip


whole_sums: Any = numba.njit(nogil=True, cache=True)(_whole_sums)


def _set_integers(packed: Any, x: Any, plus: Any, minus: Any) -> None:
    """``x`` (rows, inputs) int8 over two sets to ``plus`` and ``minus`` (rows, outputs) int32.

    ``packed`` holds the plus sets of all outputs, filled up, and behind them the minus sets.
    """
    outputs, whole = plus.shape[1], np.zeros(filled(packed, x.shape[1]), np.int16)
    behind = set_count(packed, outputs)
    sums = np.empty(2 * behind, np.int32)
    for row in range(x.shape[0]):
        whole[: x.shape[1]] = x[row]
        set_sums(packed, whole, sums)
        plus[row], minus[row] = sums[:outputs], sums[behind : behind + outputs]


def _set_product(
    packed: Any, positive: float, negative: float, address: int, inputs: int, out: Any
) -> None:
    """Rows of so many inputs, float32 at ``address``, to ``out`` (rows, outputs) float32."""
    x = rows_at(address, out.shape[0], inputs)
    whole = np.zeros(filled(packed, inputs), np.int16)
    behind = set_count(packed, out.shape[1])
    sums = np.empty(2 * behind, np.int32)
    for row in range(out.shape[0]):
        scale = round_row(x[row], whole)
        set_sums(packed, whole, sums)
        for o in range(out.shape[1]):
            plus, minus = np.float64(sums[o]), np.float64(sums[behind + o])
            if positive == negative:  # one rounding, as where the sums are of signs
                out[row, o] = np.float32((plus - minus) * (scale * positive))
            else:
                out[row, o] = np.float32((positive * plus - negative * minus) * scale)


set_integers: Any = numba.njit(nogil=True, cache=True)(_set_integers)
set_product: Any = numba.njit(nogil=True, cache=True)(_set_product)
