"""The compiled products of weights of four bits with int8 activations, by AVX-512's VNNI.

Imported only where numba is installed. A register of sixteen bytes, four times over, holds what the
codes stand for; one instruction looks up 64 of them, and one multiplies 64 activations by as many
weights and adds four products each to 16 sums. It takes unsigned bytes for one factor: activations
get 128 added, and 128 times the sum of an output's weights is subtracted.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from methods.kernels.packing import NIBBLE_OUTPUTS
from methods.kernels.vectors import BYTES, INDEX, LANES, WORD, WORDS, Vectors, data, tools

REGISTERS = NIBBLE_OUTPUTS // 32


def _dot(context: Any, words: Any, word_at: Any, table: Any, whole: Any, count: Any, sums: Any,
         sum_at: Any) -> Any:  # fmt: skip
    """``dot(words, word_at, table, whole, count, sums, sum_at)``.

    Adds to 128 int32 sums the products of ``count`` times four activations, uint8, with weights.
    """
    n = types.int64
    signature = types.void(words, n, table, whole, n, sums, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        words, table, whole, sums = (
            data(target, builder, kinds[i], arguments[i]) for i in (0, 2, 3, 5)
        )
        word_at, count, sum_at = (arguments[i] for i in (1, 4, 6))
        v = Vectors(builder)
        values, low_bits = v.load(table, BYTES), v.constant(0x0F0F0F0F)
        slots = [v.zeros(2, WORDS) for _ in range(REGISTERS)]
        with tools.for_range(builder, count) as loop:
            four = builder.mul(loop.index, INDEX(4))
            inputs = v.splat(v.load(v.place(whole, four), WORD), WORDS)
            there = builder.add(word_at, builder.mul(loop.index, INDEX(64 * REGISTERS)))
            for r, halves in enumerate(slots):
                codes = v.load(v.place(words, builder.add(there, INDEX(64 * r))), WORDS)
                for h, slot in enumerate(halves):
                    code = builder.and_(builder.lshr(codes, v.constant(4 * h)), low_bits)
                    weights = v.look_up_bytes(values, code)
                    builder.store(v.dot(builder.load(slot), inputs, weights), slot)
        for r, halves in enumerate(slots):
            for h, slot in enumerate(halves):
                there = v.place(sums, builder.add(sum_at, INDEX(32 * r + LANES * h)))
                v.store(builder.add(v.load(there, WORDS), builder.load(slot)), there)
        return target.get_dummy_value()

    return signature, generate


dot: Any = intrinsic(_dot)


def _whole_sums(words: Any, table: Any, offsets: Any, whole: Any, sums: Any) -> None:
    """Of weights times activations; sums of 32 bits that go around come back in the end.

    Args:
        words: ``packing.nibble_bytes``.
        table: 64 bytes, the same 16 weights four times.
        offsets: -128 times the sum of each output's weights, int32, as many as ``sums``.
        whole: int8, filled up to a multiple of four; its signs are turned here.
    """
    fours, turned = whole.size // 4, whole.view(np.uint8)
    for i in range(turned.size):
        turned[i] ^= np.uint8(128)
    sums[:] = offsets
    for block in range(sums.size // NIBBLE_OUTPUTS):
        dot(
            words, block * fours * 64 * REGISTERS, table, whole, fours, sums,
            block * NIBBLE_OUTPUTS,
        )  # fmt: skip


whole_sums: Any = numba.njit(nogil=True, cache=True)(_whole_sums)
