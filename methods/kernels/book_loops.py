"""Compiled look-ups of float activations where all subspaces share one codebook.

Imported only where numba is installed. The same registers as ``lookup_linear``'s with AVX-512, and
the same plain loop elsewhere; the codebook stays in the nearest cache. Few entries are added up in
float32, then those sums in float64: equal activations, whose sums are all rounded the same way,
would else lose more with each.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.activation_loops import rows_at
from methods.kernels.lookup_linear import look

WORDS_AT_ONCE = 16
"""Whose look-ups are added up in float32."""
SUBSPACES_AT_ONCE = 32
"""The same of the plain loop: eight sums of four."""


def _by_registers(
    bits: Any, words: Any, books: Any, width: int, scales: Any, address: int, inputs: int, out: Any
) -> None:
    """Rows of so many inputs, float32 at ``address``, to ``out`` (rows, outputs), float32.

    Args:
        bits: see ``lookup_linear.look``.
        words: ``packing.lookup_words``.
        books: (codes of a word, width, 2^bits) float32, flat: the same for each code.
        scales: (outputs) float32, by which sums are multiplied.
    """
    places, group_inputs = words.shape[1], 32 // len(bits) * width
    rows, flat_words = rows_at(address, out.shape[0], inputs), words.reshape(-1)
    x = np.zeros(words.shape[0] * group_inputs, np.float32)
    sums, totals = np.empty(places, np.float32), np.empty(places, np.float64)
    for row in range(out.shape[0]):
        x[:inputs] = rows[row].view(np.float32)
        totals[:] = 0
        for first in range(0, words.shape[0], WORDS_AT_ONCE):
            sums[:] = 0
            for group in range(first, min(words.shape[0], first + WORDS_AT_ONCE)):
                look(
                    bits, x, group * group_inputs, books, 0, flat_words,
                    group * places, sums, 0, width, places // 16,
                )  # fmt: skip
            for o in range(places):
                totals[o] += np.float64(sums[o])
        for o in range(out.shape[1]):
            out[row, o] = np.float32(totals[o] * np.float64(scales[o]))


def _by_loop(codes: Any, book: Any, scales: Any, address: int, inputs: int, out: Any) -> None:
    """The same, four subspaces together.

    Args:
        codes: (subspaces, outputs) uint8.
        book: (inputs of a subspace, codewords) float32.
        scales: (outputs) float32, by which sums are multiplied.
    """
    (subspaces, outputs), (width, codewords) = codes.shape, book.shape
    rows = rows_at(address, out.shape[0], inputs)
    x = np.zeros((subspaces + 3) // 4 * 4 * width, np.float32)
    # As long as a code may be large: no look-up can leave it.
    tables = np.zeros((4, 256), np.float32)
    a, b, c, d = tables[0], tables[1], tables[2], tables[3]
    sums, totals = np.empty(outputs, np.float32), np.empty(outputs, np.float64)
    for row in range(out.shape[0]):
        x[:inputs] = rows[row].view(np.float32)
        totals[:] = 0
        for first in range(0, subspaces, SUBSPACES_AT_ONCE):
            sums[:] = 0
            for m in range(first, min(subspaces, first + SUBSPACES_AT_ONCE), 4):
                tables[:] = 0
                for s in range(4):
                    for j in range(width):
                        value = x[(m + s) * width + j]
                        for k in range(codewords):
                            tables[s, k] += value * book[j, k]
                # Of absent subspaces all entries are 0, whichever is looked up.
                last = subspaces - 1
                second, third = codes[min(m + 1, last)], codes[min(m + 2, last)]
                fourth = codes[min(m + 3, last)]
                for o in range(outputs):
                    left = a[codes[m, o]] + b[second[o]]
                    sums[o] += left + (c[third[o]] + d[fourth[o]])
            for o in range(outputs):
                totals[o] += np.float64(sums[o])
        for o in range(outputs):
            out[row, o] = np.float32(totals[o] * np.float64(scales[o]))


by_registers: Any = numba.njit(nogil=True, cache=True)(_by_registers)
by_loop: Any = numba.njit(nogil=True, cache=True)(_by_loop)
