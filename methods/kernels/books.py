"""Float activations times weights of two or three values: look-ups of sums of a few inputs.

The run-time form of ``lookup.LookupLinear`` where all subspaces have the same codebook, all
combinations of the values.
"""

import copy
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.kernels.lookup import LookupLinear, uses_avx512
from methods.kernels.packing import LOOKUPS, aligned, digit_book, digit_codes, lookup_words

_ENTRIES = 32
_WIDTHS = {2: (5, 6), 3: (3, 4)}
"""Inputs of a look-up with AVX-512, where a table has 32 entries, and without."""


class FewValues:
    """Weights (outputs, inputs) that are one of two or three values, for float activations."""

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
        self._words = lookup_words(codes)
        columns = np.zeros((LOOKUPS, self.width, _ENTRIES), np.float32)
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

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """``rows`` (n, inputs) float32 on the CPU times the weights: (n, outputs), float32."""
        if self._loop is not None:
            return self._loop.product(rows)
        from methods.kernels.book_loops import by_registers

        filled = np.zeros((rows.shape[0], len(self._words) * LOOKUPS * self.width), np.float32)
        filled[:, : self.shape[1]] = rows.numpy()
        out = np.empty((rows.shape[0], self.shape[0]), np.float32)
        by_registers(self._words, self._books, self.width, filled, out)
        return torch.from_numpy(out)
