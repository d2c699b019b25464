"""Shared values without pruning: a codebook, and a code into it for every weight.

Parts in a file:

* ``codebook``: k values (at most 256), float32 or float16, little-endian;
* ``codes``: a code for each weight, row by row;
* ``tables``: a byte (0, or 1 for a float16 codebook) and the code table of ``codes``.

The codes are Huffman coded, or in fields of fixed width where those and their table are shorter.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader
from methods.formats.decoded_once import DecodedOnce
from methods.formats.format import FormatError, check_parts, narrowed
from methods.huffman import code_lengths, mean_length, pack_symbols, unpack_symbols

MAX_VALUES = 256
CodebookDtype = Literal["float32", "float16"]
_STORED: dict[CodebookDtype, str] = {"float32": "<f4", "float16": "<f2"}


class CodebookDense(DecodedOnce):
    """Every weight is one of k shared values."""

    kind: ClassVar[str] = "codebook-dense"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: NDArray[np.integer],
        codebook: NDArray[np.floating],
        *,
        codebook_dtype: CodebookDtype = "float32",
    ) -> None:
        """Hold ``codes`` (flat, row-major), one for each weight.

        ``codebook`` (k values, k at most 256) is rounded to ``codebook_dtype``.

        Raises:
            ValueError: the arrays disagree, or a code is outside the codebook.
        """
        if codebook.ndim != 1 or codebook.size > MAX_VALUES:
            raise ValueError(f"a codebook is a list of at most {MAX_VALUES} values")
        if codes.shape != (math.prod(shape),):
            raise ValueError(f"{codes.shape} codes for a tensor of shape {shape}")
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < codebook.size:
            raise ValueError(f"a code is outside the codebook of {codebook.size}")
        self.shape = tuple(shape)
        self.codes = codes.astype(np.uint8)
        self.codebook: NDArray[Any] = narrowed(codebook, _STORED[codebook_dtype])
        self.codebook_dtype: CodebookDtype = codebook_dtype

    @classmethod
    def from_codes(
        cls,
        codes: torch.Tensor,
        codebook: torch.Tensor,
        *,
        codebook_dtype: CodebookDtype = "float32",
    ) -> Self:
        """From integer codes of the weight's shape and a list of values."""
        return cls(
            tuple(codes.shape),
            codes.detach().cpu().reshape(-1).numpy(),
            codebook.detach().cpu().to(torch.float32).numpy(),
            codebook_dtype=codebook_dtype,
        )

    @property
    def code_bits_mean(self) -> float:
        """Mean length in bits of a code under the Huffman code; 0.0 where there is none."""
        counts = np.bincount(self.codes, minlength=self.codebook.size)
        return mean_length(counts, code_lengths(counts))

    def decode(self) -> torch.Tensor:
        values = self.codebook.astype(np.float32)[self.codes]
        return torch.from_numpy(values).reshape(self.shape)

    def pack(self) -> dict[str, bytes]:
        table, codes = pack_symbols(self.codes, int(self.codebook.size))
        flags = 1 if self.codebook_dtype == "float16" else 0
        return {
            "codebook": self.codebook.tobytes(),
            "codes": codes,
            "tables": bytes([flags]) + table,
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codebook", "codes", "tables"))
        tables = Reader(parts["tables"])
        flags = tables.byte("tables")
        if flags > 1:
            raise FormatError(f"tables start with {flags}")
        codebook_dtype: CodebookDtype = "float16" if flags else "float32"
        size, rest = divmod(len(parts["codebook"]), 2 if flags else 4)
        if rest or size > MAX_VALUES:
            raise FormatError(f"{len(parts['codebook'])} bytes are no codebook")
        # A code takes a bit at least, so the count is held against the bytes in there.
        codes = unpack_symbols(tables, parts["codes"], size, math.prod(shape))
        tables.finish("the code table")
        codebook = np.frombuffer(parts["codebook"], _STORED[codebook_dtype])
        return cls(shape, codes, codebook, codebook_dtype=codebook_dtype)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CodebookDense)
            and self.shape == other.shape
            and self.codebook_dtype == other.codebook_dtype
            and self.codebook.tobytes() == other.codebook.tobytes()
            and np.array_equal(self.codes, other.codes)
        )
