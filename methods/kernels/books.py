"""Float activations times weights of a few values: look-ups of products or sums of a few.

The run-time form of ``lookup.LookupLinear`` where all subspaces have the same codebook, all
combinations of the values.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.lookup import LookupLinear, uses_avx512
from methods.kernels.packing import aligned, digit_book, digit_codes, lookup_words

Loop = Callable[[int, int, NDArray[np.float32]], object]
_WIDTHS = {2: (5, 6), 3: (3, 4), 16: (1, 2)}
"""By the number of values: inputs of a look-up with AVX-512, whose tables have 32 entries at most,
and without, where they have 256."""


class FewValues:
    """Weights (outputs, inputs) that are one of 2, 3 or 16 values, for float activations."""

    def __init__(self, digits: NDArray[np.uint8], values: NDArray[np.float32]) -> None:
        """Hold ``digits`` (outputs, inputs), each the place of a weight in ``values``."""
        self.shape = (digits.shape[0], digits.shape[1])
        with_registers, without = _WIDTHS[len(values)]
        self.width = with_registers if uses_avx512() else without
        codes, book = digit_codes(digits, len(values), self.width), digit_book(values, self.width)
        self._loop: LookupLinear | None = None
        if not uses_avx512():
            books = np.broadcast_to(book, (len(codes), *book.shape))
            self._loop = LookupLinear(codes, books, self.shape[1])
            return
        self._bits = max(4, (len(book) - 1).bit_length())
        self._words = lookup_words(codes, self._bits)
        columns = np.zeros((32 // self._bits, self.width, 1 << self._bits), np.float32)
        columns[:, :, : len(book)] = book.T
        self._books = columns.reshape(-1)

    def with_own_layout(self) -> Self:
        """The same weights elsewhere in memory."""
        other = copy.copy(self)
        if self._loop is None:
            other._words = aligned(self._words).reshape(self._words.shape)
        else:
            codes = self._loop.codes.copy()
            other._loop = LookupLinear(codes, self._loop.codebooks, self.shape[1])
        return other

    @property
    def bytes_read(self) -> int:
        """What a product reads of the weights."""
        return self._words.nbytes if self._loop is None else self._loop.codes.nbytes

    def loop(self, scales: NDArray[np.float32]) -> Loop:
        """The compiled products, each output times its scale.

        It takes the address of rows of float32, their inputs, and where to write (rows, outputs).
        """
        if self._loop is not None:
            return partial(_by_loop, self._loop, scales)
        from methods.kernels.book_loops import by_registers

        bits = (0,) * self._bits
        return partial(by_registers, bits, self._words, self._books, self.width, scales)


def _by_loop(
    lookup: LookupLinear,
    scales: NDArray[np.float32],
    address: int,
    inputs: int,
    out: NDArray[np.float32],
) -> None:
    from methods.kernels.activation_loops import rows_at

    rows = rows_at(address, len(out), inputs).view(np.float32)
    np.multiply(lookup.product(torch.from_numpy(rows)).numpy(), scales, out=out)
