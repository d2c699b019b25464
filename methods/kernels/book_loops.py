"""Compiled look-ups of float activations where all subspaces share one codebook.

Imported only where numba is installed. The same registers as ``lookup_linear``'s with AVX-512; as
the codebook of one word's subspaces is that of all, it stays in the nearest cache.
"""

from typing import Any

import numba
import numpy as np

from methods.kernels.lookup_linear import GROUPS_AT_ONCE, look
from methods.kernels.packing import LOOKUPS


def _by_registers(words: Any, books: Any, width: int, x: Any, out: Any) -> None:
    """``x`` (rows, inputs), filled up to whole words, to ``out`` (rows, outputs), float32.

    Args:
        words: ``packing.lookup_words``.
        books: (6, width, 32) float32, flat: six times the same.
    """
    places = words.shape[1]
    flat_words, flat_x = words.reshape(-1), x.reshape(-1)
    sums, totals = np.empty(places, np.float32), np.empty(places, np.float32)
    for row in range(x.shape[0]):
        totals[:] = 0
        for first in range(0, words.shape[0], GROUPS_AT_ONCE):
            sums[:] = 0
            for group in range(first, min(words.shape[0], first + GROUPS_AT_ONCE)):
                look(
                    (0, 0, 0, 0, 0), flat_x, row * x.shape[1] + group * LOOKUPS * width,
                    books, 0, flat_words, group * places, sums, 0, width, places // 16,
                )  # fmt: skip
            for o in range(places):
                totals[o] += sums[o]
        out[row] = totals[: out.shape[1]]


by_registers: Any = numba.njit(nogil=True, cache=True)(_by_registers)
