"""Deep Compression's format: surviving weights as codes into a codebook, their places as steps.

Sections 3.2 to 3.4 and 4 of Han, Mao and Dally 2016. Parts in a file:

* ``codebook``: k values, float32 or float16, little-endian;
* ``codes``: a code for each entry, where padding is the extra symbol k. The file that the authors
  released spends one of its 2^b codes on the value zero instead, which leaves k - 1 real values;
* ``positions``: the index field (step - 1) of each entry;
* ``tables``: a byte (lowest four bits: index bits; 16: there is padding; 32: float16 codebook),
  the number of entries (varint), the code table of ``codes``, the code table of ``positions``.

Both streams are Huffman coded, or in fields of fixed width where those and their table are
shorter. Values that are not finite are kept as they are: a file holds what its method made.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, write_varint
from methods.formats.format import FormatError, check_parts, narrowed
from methods.formats.relative_index import MAX_INDEX_BITS, decode_positions, encode_positions
from methods.formats.survivors import SurvivorFormat
from methods.huffman import (
    MAX_SYMBOLS,
    code_lengths,
    mean_length,
    pack_symbols,
    total_bits,
    unpack_symbols,
)

CodebookDtype = Literal["float32", "float16"]
_PADDED, _HALF = 16, 32
_STORED: dict[CodebookDtype, str] = {"float32": "<f4", "float16": "<f2"}


class SparseCodebook(SurvivorFormat):
    """Survivors of pruning, each one of k shared values; what is not listed is 0."""

    kind: ClassVar[str] = "sparse-codebook"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        positions: NDArray[np.int64],
        codes: NDArray[np.integer],
        codebook: NDArray[np.floating],
        *,
        index_bits: int = 5,
        codebook_dtype: CodebookDtype = "float32",
    ) -> None:
        """Hold survivors at ``positions`` (flat, row-major, rising strictly), one code each.

        ``codebook`` (k values, k at most 4095) is rounded to ``codebook_dtype``.

        Raises:
            ValueError: the arrays disagree, or something is out of its range.
        """
        if codebook.ndim != 1 or codebook.size >= MAX_SYMBOLS:
            raise ValueError(f"a codebook is a list of at most {MAX_SYMBOLS - 1} values")
        if positions.shape != codes.shape or positions.ndim != 1:
            raise ValueError(f"{positions.shape} positions for {codes.shape} codes")
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < codebook.size:
            raise ValueError(f"a code is outside the codebook of {codebook.size}")
        if positions.size and int(positions[-1]) >= math.prod(shape):
            raise ValueError(f"position {int(positions[-1])} is outside the shape {shape}")
        self.shape = tuple(shape)
        self.positions = positions.astype(np.int64)
        self.codes = codes.astype(np.uint16)
        self.codebook: NDArray[Any] = narrowed(codebook, _STORED[codebook_dtype])
        self.codebook_dtype: CodebookDtype = codebook_dtype
        self.index_bits = index_bits
        # Checks the order of the positions too.
        self._fields, self._is_padding = encode_positions(self.positions, index_bits)

    @classmethod
    def from_codes(
        cls,
        mask: torch.Tensor,
        codes: torch.Tensor,
        codebook: torch.Tensor,
        *,
        index_bits: int = 5,
        codebook_dtype: CodebookDtype = "float32",
    ) -> Self:
        """From a mask of survivors and integer codes.

        The codes have the mask's shape (and are ignored where nothing survives) or are a list,
        one for each survivor in row-major order. The mask is the structure: a survivor whose
        value is 0 stays a survivor.
        """
        kept = mask.detach().cpu().reshape(-1).bool()
        chosen = codes.detach().cpu().reshape(-1)
        if chosen.numel() == kept.numel():
            chosen = chosen[kept]
        return cls(
            tuple(mask.shape),
            np.flatnonzero(kept.numpy()),
            chosen.numpy(),
            codebook.detach().cpu().to(torch.float32).numpy(),
            index_bits=index_bits,
            codebook_dtype=codebook_dtype,
        )

    @classmethod
    def from_dense(
        cls,
        dense: torch.Tensor,
        mask: torch.Tensor,
        codebook: torch.Tensor,
        *,
        index_bits: int = 5,
        codebook_dtype: CodebookDtype = "float32",
    ) -> Self:
        """From dense weights: each survivor takes the nearest value of the codebook."""
        ordered, order = codebook.detach().cpu().to(torch.float32).sort()
        middles = (ordered[1:] + ordered[:-1]) / 2
        nearest = torch.bucketize(dense.detach().cpu().to(torch.float32), middles)
        codes = order[nearest] if order.numel() else nearest
        return cls.from_codes(
            mask, codes, codebook, index_bits=index_bits, codebook_dtype=codebook_dtype
        )

    @property
    def survivor_values(self) -> NDArray[np.float32]:
        return self.codebook.astype(np.float32)[self.codes]

    @property
    def weight_bits(self) -> int:
        """Bits of a code in a fixed field, ceil(log2 k), as the paper counts them."""
        return max(int(self.codebook.size) - 1, 0).bit_length()

    @property
    def entries(self) -> int:
        """Survivors and padding."""
        return int(self._fields.size)

    @property
    def padding_entries(self) -> int:
        """Entries that only bridge a step too long for one index field."""
        return self.entries - self.survivors

    @cached_property
    def _symbols(self) -> NDArray[np.uint16]:
        symbols = np.full(self.entries, self.codebook.size, np.uint16)
        symbols[~self._is_padding] = self.codes
        return symbols

    @property
    def _alphabet(self) -> int:
        return int(self.codebook.size) + (1 if self.padding_entries else 0)

    @property
    def code_bits_mean(self) -> float:
        """Mean Huffman length of an entry's code, padding included; without the table."""
        counts = np.bincount(self._symbols, minlength=self._alphabet)
        return mean_length(counts, code_lengths(counts))

    @property
    def index_bits_mean(self) -> float:
        """Mean Huffman length of an entry's index field; without the table."""
        counts = np.bincount(self._fields)
        return mean_length(counts, code_lengths(counts))

    def paper_bits(self, huffman: bool) -> int:
        """The layer's bits as the paper counts them (Tables 2 to 5): entries and codebook.

        Without Huffman an entry has ceil(log2 k) + ``index_bits`` bits. The codebook counts 32
        bits a value. Code tables, biases and headers are left out.
        """
        codebook_bits = 32 * int(self.codebook.size)
        if not huffman:
            return self.entries * (self.weight_bits + self.index_bits) + codebook_bits
        streams = (np.bincount(self._symbols), np.bincount(self._fields))
        return codebook_bits + sum(total_bits(one, code_lengths(one)) for one in streams)

    def pack(self) -> dict[str, bytes]:
        code_table, codes = pack_symbols(self._symbols, self._alphabet)
        index_table, positions = pack_symbols(self._fields, 1 << self.index_bits)
        flags = self.index_bits
        flags |= _PADDED if self.padding_entries else 0
        flags |= _HALF if self.codebook_dtype == "float16" else 0
        head = bytes([flags]) + write_varint(self.entries)
        return {
            "codebook": self.codebook.tobytes(),
            "codes": codes,
            "positions": positions,
            "tables": head + code_table + index_table,
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codebook", "codes", "positions", "tables"))
        tables = Reader(parts["tables"])
        flags = tables.byte("tables")
        index_bits = flags & 15
        if flags >> 6 or not 1 <= index_bits <= MAX_INDEX_BITS:
            raise FormatError(f"tables start with {flags}")
        codebook_dtype: CodebookDtype = "float16" if flags & _HALF else "float32"
        size, rest = divmod(len(parts["codebook"]), 2 if flags & _HALF else 4)
        if rest or size >= MAX_SYMBOLS:
            raise FormatError(f"{len(parts['codebook'])} bytes are no codebook")
        shortest = min(len(parts["codes"]), len(parts["positions"]))
        # An entry takes a bit of each stream and covers a weight at least.
        most = min(8 * shortest, math.prod(shape))
        entries = tables.varint("the number of entries", most)
        alphabet = size + (1 if flags & _PADDED else 0)
        symbols = unpack_symbols(tables, parts["codes"], alphabet, entries)
        fields = unpack_symbols(tables, parts["positions"], 1 << index_bits, entries)
        tables.finish("the code tables")
        is_padding = symbols == size
        if bool(is_padding.any()) != bool(flags & _PADDED):
            raise FormatError("tables announce padding, codes have none")
        positions = decode_positions(fields, is_padding, index_bits, math.prod(shape))
        return cls(
            shape,
            positions,
            symbols[~is_padding],
            np.frombuffer(parts["codebook"], _STORED[codebook_dtype]),
            index_bits=index_bits,
            codebook_dtype=codebook_dtype,
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SparseCodebook)
            and self.shape == other.shape
            and self.index_bits == other.index_bits
            and self.codebook_dtype == other.codebook_dtype
            and self.codebook.tobytes() == other.codebook.tobytes()
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.codes, other.codes)
        )
