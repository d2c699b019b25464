"""The compiled loops of the EIE machine's datapath, over batches of inputs.

They go through the broadcast columns of each input in order; a column holds a row once at most, so
which PE has it makes no difference to a sum. ``methods.eie.datapath`` has their twins in numpy.
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


@cache
def floats() -> Callable[..., None]:
    """float32, with the least and greatest partial sum in ``seen`` where that is ``tracked``."""
    import numba

    def run(
        column_starts: Any, rows: Any, codes: Any, codebook: Any,
        starts: Any, columns: Any, values: Any,
        sums: Any, seen: Any, tracked: Any,
    ) -> None:  # fmt: skip
        for one in range(len(sums)):
            for at in range(starts[one], starts[one + 1]):
                column, value = columns[at], values[at]
                for entry in range(column_starts[column], column_starts[column + 1]):
                    row = rows[entry]
                    total = sums[one, row] + codebook[codes[entry]] * value
                    sums[one, row] = total
                    if tracked:
                        seen[0] = min(seen[0], total)
                        seen[1] = max(seen[1], total)

    compiled: Callable[..., None] = numba.njit(nogil=True, cache=True)(run)
    return compiled
