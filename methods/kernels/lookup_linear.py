"""The compiled look-ups of fully connected layers: imported only where numba is installed.

A module of its own, so that what the loops call is global: numba keeps compiled code in its cache
only then.

With AVX-512, 16 outputs are looked up at once by permutations of registers: a table of up to 32
inner products lies in two of them, and one instruction takes 16 of its entries by the low bits
of 16 words. A word holds the codes of one output in several subspaces, one above the other, so one
load serves as many look-ups. Elsewhere a plain loop runs over the outputs, as the authors' does.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from methods.kernels.vectors import INDEX, LANES, WORDS, Vectors, data, tools

GROUPS_AT_ONCE = 16
"""Words whose look-ups are added up before their sum is added to the output's."""
SUBSPACES_AT_ONCE = 32
"""The same of the plain loop: short sums round less."""


def _look(
    context: Any, bits: Any, x: Any, x_at: Any, books: Any, book_at: Any, words: Any,
    word_at: Any, sums: Any, sum_at: Any, width: Any, vectors: Any,
) -> Any:  # fmt: skip
    """``look(bits, x, x_at, books, book_at, words, word_at, sums, sum_at, width, vectors)``.

    The subspaces of one word: their tables from ``x`` and ``books`` into registers, then
    ``vectors`` times 16 outputs, each sum of entries added to ``sums``. ``bits`` is a tuple of as
    many numbers as a code has bits, since only a type is known when code is made.
    """
    code_bits = bits.count
    subspaces, registers = 32 // code_bits, (1 << code_bits) // LANES
    n = types.int64
    signature = types.void(bits, x, n, books, n, words, n, sums, n, n, n)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        x, books, words, sums = (
            data(target, builder, kinds[i], arguments[i]) for i in (1, 3, 5, 7)
        )
        x_at, book_at, word_at, sum_at, width, vectors = (arguments[i] for i in (2, 4, 6, 8, 9, 10))
        v = Vectors(builder)
        slots = [v.zeros(registers) for _ in range(subspaces)]
        with tools.for_range(builder, width) as loop:
            for s, table in enumerate(slots):
                past = builder.add(builder.mul(width, INDEX(s)), loop.index)
                value = v.splat(builder.load(v.place(x, builder.add(x_at, past))))
                row = builder.add(book_at, builder.mul(past, INDEX(registers * LANES)))
                for r, slot in enumerate(table):
                    book = v.load(
                        v.place(books, builder.add(row, INDEX(r * LANES))), slot.type.pointee
                    )
                    v.add_product(slot, value, book)
        tables = [[builder.load(slot) for slot in table] for table in slots]
        with tools.for_range(builder, vectors) as loop:
            past = builder.mul(loop.index, INDEX(LANES))
            word = v.load(v.place(words, builder.add(word_at, past)), WORDS)
            shifted = [builder.lshr(word, v.constant(code_bits * s)) for s in range(subspaces)]
            entries = [
                v.look_up(table, codes) for table, codes in zip(tables, shifted, strict=True)
            ]
            there = v.place(sums, builder.add(sum_at, past))
            total = builder.fadd(v.load(there, entries[0].type), v.total(entries))
            v.store(total, there)
        return target.get_dummy_value()

    return signature, generate


look: Any = intrinsic(_look)


def _by_registers(
    bits: Any, x: Any, books: Any, words: Any, width: int, chunk: int, out: Any
) -> None:
    """Adds the products to ``out`` (rows, 16 n), float32.

    Args:
        bits: see ``look``.
        x: (rows, inputs), filled up with zeros to whole words.
        books: flat, (words, subspaces of a word, d, entries of a table).
        words: (words, 16 n), uint32.
        width: d.
        chunk: rows whose sums stay in the cache.
    """
    rows, outputs = out.shape
    groups = words.shape[0]
    group_inputs, group_book = x.shape[1] // groups, books.size // groups
    flat_words, flat_x = words.reshape(-1), x.reshape(-1)
    sums = np.empty(chunk * outputs, np.float32)
    for start in range(0, rows, chunk):
        end = min(rows, start + chunk)
        for first in range(0, groups, GROUPS_AT_ONCE):
            sums[:] = 0
            for group in range(first, min(groups, first + GROUPS_AT_ONCE)):
                for row in range(start, end):
                    look(
                        bits, flat_x, row * x.shape[1] + group * group_inputs,
                        books, group * group_book, flat_words, group * outputs,
                        sums, (row - start) * outputs, width, outputs // 16,
                    )  # fmt: skip
            for row in range(start, end):
                for o in range(outputs):
                    out[row, o] += sums[(row - start) * outputs + o]


def _by_loop(x: Any, books: Any, codes: Any, out: Any) -> None:
    """Adds the products to ``out`` (rows, outputs), float32; four subspaces go together.

    Args:
        x: (rows, M * d), filled up with zeros to a multiple of four subspaces, as are the others.
        books: (M, d, K).
        codes: (M, outputs), uint8.
    """
    subspaces, width, codewords = books.shape
    outputs = codes.shape[1]
    # As long as a code may be large: no look-up can leave it.
    tables = np.zeros((4, 256), np.float32)
    a, b, c, d = tables[0], tables[1], tables[2], tables[3]
    sums = np.empty(outputs, np.float32)
    for row in range(x.shape[0]):
        for first in range(0, subspaces, SUBSPACES_AT_ONCE):
            sums[:] = 0
            for m in range(first, min(subspaces, first + SUBSPACES_AT_ONCE), 4):
                tables[:] = 0
                for s in range(4):
                    for j in range(width):
                        value = x[row, (m + s) * width + j]
                        for k in range(codewords):
                            tables[s, k] += value * books[m + s, j, k]
                for o in range(outputs):
                    left = a[codes[m, o]] + b[codes[m + 1, o]]
                    sums[o] += left + (c[codes[m + 2, o]] + d[codes[m + 3, o]])
            for o in range(outputs):
                out[row, o] += sums[o]


by_registers: Any = numba.njit(nogil=True, cache=True)(_by_registers)
by_loop: Any = numba.njit(nogil=True, cache=True)(_by_loop)
