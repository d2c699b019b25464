"""Compiled look-ups of float activations where all subspaces share one codebook.

Imported only where numba is installed. The same registers as ``lookup_linear``'s with AVX-512; as
the codebook of one word's subspaces is that of all, it stays in the nearest cache.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.activation_loops import rows_at
from methods.kernels.lookup_linear import GROUPS_AT_ONCE, look
from methods.kernels.packing import LOOKUPS


def _by_registers(
    words: Any, books: Any, width: int, scales: Any, address: int, inputs: int, out: Any
) -> None:
    """Rows of so many inputs, float32 at ``address``, to ``out`` (rows, outputs), float32.

    Args:
        words: ``packing.lookup_words``.
        books: (6, width, 32) float32, flat: six times the same.
        scales: (outputs) float32, by which sums are multiplied.
    """
    places, group_inputs = words.shape[1], LOOKUPS * width
    bits, flat_words = rows_at(address, out.shape[0], inputs), words.reshape(-1)
    x = np.zeros(words.shape[0] * group_inputs, np.float32)
    sums, totals = np.empty(places, np.float32), np.empty(places, np.float32)
    for row in range(out.shape[0]):
        x[:inputs] = bits[row].view(np.float32)
        totals[:] = 0
        for first in range(0, words.shape[0], GROUPS_AT_ONCE):
            sums[:] = 0
            for group in range(first, min(words.shape[0], first + GROUPS_AT_ONCE)):
                look(
                    (0, 0, 0, 0, 0), x, group * group_inputs, books, 0, flat_words,
                    group * places, sums, 0, width, places // 16,
                )  # fmt: skip
            for o in range(places):
                totals[o] += sums[o]
        for o in range(out.shape[1]):
            out[row, o] = totals[o] * scales[o]


by_registers: Any = numba.njit(nogil=True, cache=True)(_by_registers)
