"""Float activations times weights of a few values: look-ups of products or sums of a few.

As ``lookup.LookupLinear``, but all subspaces have one codebook, all combinations of the values,
and long sums are made in float64.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from methods.kernels.lookup import uses_avx512
from methods.kernels.packing import (
    aligned,
    code_bits,
    digit_book,
    digit_codes,
    lookup_books,
    lookup_words,
)

Loop = Callable[[int, int, NDArray[np.float32]], object]
_WIDTHS = {2: (5, 6), 3: (3, 4), 16: (1, 2)}
"""By the number of values: inputs of a look-up with AVX-512, whose tables have 32 entries at most,
and without, where they have 256."""


class FewValues:
    """Weights (outputs, inputs) that are one of 2, 3 or 16 values, for float activations."""

    def __init__(self, digits: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
        """Hold ``digits`` (outputs, inputs), each the place of a weight in ``values``."""
        with_registers, without = _WIDTHS[len(values)]
        self._by_registers = uses_avx512()
        self.width = with_registers if self._by_registers else without
        codes, book = digit_codes(digits, len(values), self.width), digit_book(values, self.width)
        self._packed: NDArray[Any] = codes
        self._books = np.ascontiguousarray(book.T)  # the products with all codewords side by side
        if self._by_registers:
            self._bits = code_bits(len(book))
            self._packed = lookup_words(codes, self._bits)
            columns = np.broadcast_to(book.T, (32 // self._bits, *book.T.shape))
            self._books = lookup_books(columns, 1, self._bits)

    def with_own_layout(self) -> Self:
        """The same weights elsewhere in memory."""
        other = copy.copy(self)
        other._packed = aligned(self._packed).reshape(self._packed.shape)
        other._books = self._books.copy()
        return other

    @property
    def bytes_read(self) -> int:
        """What a product reads of the weights: the codes and the one codebook."""
        return self._packed.nbytes + self._books.nbytes if self._packed.size else 0

    def loop(self, scales: NDArray[np.float32]) -> Loop:
        """The compiled products, each output times its scale.

        It takes the address of rows of float32, their inputs, and where to write (rows, outputs).
        """
        from methods.kernels import book_loops

        if not self._by_registers:
            return partial(book_loops.by_loop, self._packed, self._books, scales)
        bits = (0,) * self._bits
        return partial(book_loops.by_registers, bits, self._packed, self._books, self.width, scales)
