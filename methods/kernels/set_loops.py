"""Sums of activations over sets of inputs, compiled: imported only where numba is installed.

A bit a weight says whether an input is in an output's set. With AVX-512 the sums over all subsets
of five inputs (32 of 16 bits) lie in one register, and an instruction takes 32 outputs' entries by
the low five bits of as many words. A word holds the bits of fifteen inputs, so one load serves
three look-ups. Elsewhere a plain loop multiplies by bits, which LLVM makes vectors of.

A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from methods.kernels.packing import SET_INPUTS, SET_OUTPUTS
from methods.kernels.vectors import INDEX, LANES, SHORTS, WORD, WORDS, Vectors, data, ir, tools

TABLES, WIDTH = 3, 5
"""Of a word, and inputs of a table."""
REGISTERS = SET_OUTPUTS // 32
WORDS_AT_ONCE = 17
"""51 entries, of at most 5 x 128 each, fit 16 bits."""
_HALVES = [
    ir.Constant(ir.VectorType(WORD, LANES), [WORD(half + lane) for lane in range(LANES)])
    for half in (0, LANES)
]


def _fill(context: Any, tables: Any, whole: Any, books: Any, count: Any) -> Any:
    """``fill(tables, whole, books, count)``: the subset sums of ``count`` times five inputs.

    ``books`` (5, 32) int16 is -1 where an input is in a subset and else 0.
    """
    signature = types.void(tables, whole, books, types.int64)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        tables, whole, books = (data(target, builder, kinds[i], arguments[i]) for i in range(3))
        v = Vectors(builder)
        masks = [v.load(v.place(books, INDEX(32 * j)), SHORTS) for j in range(WIDTH)]
        with tools.for_range(builder, arguments[3]) as loop:
            first = v.place(whole, builder.mul(loop.index, INDEX(WIDTH)))
            total = v.constant(0, SHORTS)
            for j, mask in enumerate(masks):
                one = v.splat(builder.load(v.place(first, INDEX(j))), SHORTS)
                total = builder.add(total, builder.and_(one, mask))
            v.store(total, v.place(tables, builder.mul(loop.index, INDEX(32))))
        return target.get_dummy_value()

    return signature, generate


def _look(context: Any, words: Any, word_at: Any, tables: Any, count: Any, sums: Any,
          sum_at: Any) -> Any:  # fmt: skip
    """``look(words, word_at, tables, count, sums, sum_at)``: 128 int32 sums of ``count`` words."""
    n = types.int64
    signature = types.void(words, n, tables, n, sums, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        words, tables, sums = (data(target, builder, kinds[i], arguments[i]) for i in (0, 2, 4))
        word_at, count, sum_at = (arguments[i] for i in (1, 3, 5))
        v = Vectors(builder)
        wide = [v.zeros(2, WORDS) for _ in range(REGISTERS)]
        short = v.zeros(REGISTERS, SHORTS)
        chunk = INDEX(WORDS_AT_ONCE)
        with tools.for_range_slice(builder, INDEX(0), count, chunk, inc=True) as (first, _):
            for slot in short:
                builder.store(v.constant(0, SHORTS), slot)
            end = builder.add(first, chunk)
            end = builder.select(builder.icmp_signed("<", end, count), end, count)
            with tools.for_range_slice(builder, first, end, INDEX(1), inc=True) as (at, _):
                _add_word(v, at, (words, word_at), tables, short)
            for slot, halves in zip(short, wide, strict=True):
                value = builder.load(slot)
                for half, lanes in zip(halves, _HALVES, strict=True):
                    v.add(half, builder.sext(builder.shuffle_vector(value, value, lanes), WORDS))
        for r, halves in enumerate(wide):
            for h, half in enumerate(halves):
                place = builder.add(sum_at, INDEX(32 * r + LANES * h))
                v.store(builder.load(half), v.place(sums, place))
        return target.get_dummy_value()

    return signature, generate


def _add_word(v: Vectors, at: Any, words: tuple[Any, Any], tables: Any, short: list[Any]) -> None:
    """Adds the entries of one word of each output to the sums of 16 bits."""
    builder, (pointer, word_at) = v.builder, words
    table_at = builder.mul(at, INDEX(32 * TABLES))
    held = [
        v.load(v.place(tables, builder.add(table_at, INDEX(32 * t))), SHORTS) for t in range(TABLES)
    ]
    there = builder.add(word_at, builder.mul(at, INDEX(SET_OUTPUTS)))
    for r, slot in enumerate(short):
        word = v.load(v.place(pointer, builder.add(there, INDEX(32 * r))), SHORTS)
        total = v.permute(held[0], word)
        for t in range(1, TABLES):
            shifted = builder.lshr(word, v.constant(WIDTH * t, SHORTS))
            total = builder.add(total, v.permute(held[t], shifted))
        v.add(slot, total)


fill: Any = intrinsic(_fill)
look: Any = intrinsic(_look)
SUBSETS = np.array([[-(e >> j & 1) for e in range(32)] for j in range(WIDTH)], np.int16).reshape(-1)


def _by_tables(words: Any, whole: Any, sums: Any) -> None:
    """Sums (a multiple of 128), int32, of ``whole`` (a multiple of 15), int16, over sets."""
    count = whole.size // SET_INPUTS
    tables = np.empty(count * TABLES * 32, np.int16)
    fill(tables, whole, SUBSETS, count * TABLES)
    for block in range(sums.size // SET_OUTPUTS):
        look(words, block * count * SET_OUTPUTS, tables, count, sums, block * SET_OUTPUTS)


def _by_bits(octets: Any, whole: Any, sums: Any) -> None:
    """The same from ``packing.set_bytes``; ``whole`` is a multiple of 8."""
    width = octets.shape[1]
    for o in range(octets.shape[0]):
        row, total = octets[o], np.int32(0)
        for f in range(8):
            part = whole[f * width : (f + 1) * width]
            for j in range(width):
                bit = np.int32((row[j] >> np.uint8(f)) & np.uint8(1))
                total = np.int32(total + np.int32(np.int32(part[j]) * bit))
        sums[o] = total


by_tables: Any = numba.njit(nogil=True, cache=True)(_by_tables)
by_bits: Any = numba.njit(nogil=True, cache=True)(_by_bits)


def _set_sums(packed: Any, whole: Any, sums: Any) -> None:
    """By what is given: flat words, or a matrix of bytes. Only the branch in question compiles."""
    if packed.ndim == 1:
        by_tables(packed, whole, sums)
    else:
        by_bits(packed, whole, sums)


set_sums: Any = numba.njit(nogil=True, cache=True)(_set_sums)


def _filled(packed: Any, inputs: int) -> int:
    """So many inputs as the sets have with what fills them up."""
    return (inputs + 14) // 15 * 15 if packed.ndim == 1 else packed.shape[1] * 8


def _set_count(packed: Any, outputs: int) -> int:
    return (outputs + 127) // 128 * 128 if packed.ndim == 1 else outputs


filled: Any = numba.njit(nogil=True, cache=True)(_filled)
set_count: Any = numba.njit(nogil=True, cache=True)(_set_count)
