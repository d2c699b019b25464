"""The compiled loop of the EIE machine's fixed point, over a batch of inputs.

It goes through the broadcast columns of each input in order; a column holds a row once at most, so
which PE has it makes no difference to a sum. ``methods.eie.datapath`` has its twin in numpy.
"""

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def fixed() -> Callable[..., None]:
    """Integers: ``half`` is added to a product, then shift, add, saturate."""
    import numba

    def run(
        column_starts: Any, rows: Any, codes: Any, codebook: Any,
        starts: Any, columns: Any, values: Any,
        half: Any, shift: Any, low: Any, high: Any, sums: Any,
    ) -> None:  # fmt: skip
        for one in range(len(sums)):
            for at in range(starts[one], starts[one + 1]):
                column, value = columns[at], values[at]
                for entry in range(column_starts[column], column_starts[column + 1]):
                    row = rows[entry]
                    product = codebook[codes[entry]] * value + half
                    total = sums[one, row] + (product >> shift)
                    sums[one, row] = min(max(total, low), high)

    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True)(run)
    return compiled
