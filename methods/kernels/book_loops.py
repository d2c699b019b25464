"""Compiled look-ups of float activations where all subspaces share one codebook.

Imported only where numba is installed. The same registers as ``lookup_linear``'s with AVX-512; as
the codebook of one word's subspaces is that of all, it stays in the nearest cache.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.activation_loops import rows_at
from methods.kernels.lookup_linear import GROUPS_AT_ONCE, look


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
    sums, totals = np.empty(places, np.float32), np.empty(places, np.float32)
    for row in range(out.shape[0]):
        x[:inputs] = rows[row].view(np.float32)
        totals[:] = 0
        for first in range(0, words.shape[0], GROUPS_AT_ONCE):
            sums[:] = 0
            for group in range(first, min(words.shape[0], first + GROUPS_AT_ONCE)):
                look(
                    bits, x, group * group_inputs, books, 0, flat_words,
                    group * places, sums, 0, width, places // 16,
                )  # fmt: skip
            for o in range(places):
                totals[o] += sums[o]
        for o in range(out.shape[1]):
            out[row, o] = totals[o] * scales[o]


by_registers: Any = numba.njit(nogil=True, cache=True)(_by_registers)
