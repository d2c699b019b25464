"""Pruning alone: the surviving weights one by one, and their places as steps.

The stream is the flattened tensor, row-major. A position symbol of b bits below s = 2^b - 1 is a
step of 1 to s to the next survivor; the symbol s itself passes over s places and holds no weight,
so that padding costs no value. With one bit the symbols are a bit mask.

Parts in a file:

* ``values``: the survivors, float32 or float16, little-endian;
* ``positions``: the symbols;
* ``tables``: a byte (lowest four bits: b; 16: float16 values), the number of symbols (varint) and
  their code table.

The symbols are Huffman coded, or in fields of fixed width where those and their table are shorter.
Values that are not finite are kept as they are.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, packed_bytes, write_varint
from methods.formats.format import FormatError, check_parts, narrowed
from methods.formats.survivors import SurvivorFormat
from methods.huffman import (
    code_lengths,
    field_width,
    pack_symbols,
    total_bits,
    unpack_symbols,
    write_lengths,
)

MAX_INDEX_BITS = 12
ValueDtype = Literal["float32", "float16"]
_HALF = 16
_STORED: dict[ValueDtype, str] = {"float32": "<f4", "float16": "<f2"}


class Sparse(SurvivorFormat):
    """Survivors of pruning with their own values; what is not listed is 0."""

    kind: ClassVar[str] = "sparse"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        positions: NDArray[np.int64],
        values: NDArray[np.floating],
        *,
        index_bits: int | None = None,
        value_dtype: ValueDtype = "float32",
    ) -> None:
        """Hold ``values`` at ``positions`` (flat, row-major, rising strictly).

        Args:
            index_bits: of a position symbol, 1 to 12; None takes the shortest.

        Raises:
            ValueError: the arrays disagree, or something is out of its range.
        """
        if positions.shape != values.shape or positions.ndim != 1:
            raise ValueError(f"{positions.shape} positions for {values.shape} values")
        if positions.size and int(positions[-1]) >= math.prod(shape):
            raise ValueError(f"position {int(positions[-1])} is outside the shape {shape}")
        if index_bits is not None and not 1 <= index_bits <= MAX_INDEX_BITS:
            raise ValueError(f"an index has 1 to {MAX_INDEX_BITS} bits, not {index_bits}")
        self.shape = tuple(shape)
        self.positions = positions.astype(np.int64)
        self.values: NDArray[Any] = narrowed(values, _STORED[value_dtype])
        self.value_dtype: ValueDtype = value_dtype
        steps = np.diff(self.positions, prepend=-1)
        if steps.size and int(steps.min()) < 1:
            raise ValueError("positions must rise strictly from 0")
        self.index_bits = index_bits or _shortest(steps)

    @classmethod
    def from_mask(
        cls,
        dense: torch.Tensor,
        mask: torch.Tensor,
        *,
        index_bits: int | None = None,
        value_dtype: ValueDtype = "float32",
    ) -> Self:
        """From dense weights and a mask of survivors: one whose value is 0 stays a survivor."""
        kept = np.flatnonzero(mask.detach().cpu().reshape(-1).bool().numpy())
        flat = dense.detach().cpu().to(torch.float32).reshape(-1).numpy()
        return cls(
            tuple(dense.shape), kept, flat[kept], index_bits=index_bits, value_dtype=value_dtype
        )

    @property
    def survivor_values(self) -> NDArray[np.float32]:
        return self.values.astype(np.float32)

    def pack(self) -> dict[str, bytes]:
        symbols = _symbols(np.diff(self.positions, prepend=-1), self.index_bits)
        table, positions = pack_symbols(symbols, 1 << self.index_bits)
        flags = self.index_bits | (_HALF if self.value_dtype == "float16" else 0)
        return {
            "values": self.values.tobytes(),
            "positions": positions,
            "tables": bytes([flags]) + write_varint(symbols.size) + table,
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("values", "positions", "tables"))
        tables = Reader(parts["tables"])
        flags = tables.byte("tables")
        index_bits = flags & 15
        if flags >> 5 or not 1 <= index_bits <= MAX_INDEX_BITS:
            raise FormatError(f"tables start with {flags}")
        value_dtype: ValueDtype = "float16" if flags & _HALF else "float32"
        survivors, rest = divmod(len(parts["values"]), 2 if flags & _HALF else 4)
        if rest:
            raise FormatError(f"{len(parts['values'])} bytes are no values")
        # A symbol takes a bit at least and passes over a weight at least.
        most = min(8 * len(parts["positions"]), math.prod(shape))
        count = tables.varint("the number of symbols", most)
        symbols = unpack_symbols(tables, parts["positions"], 1 << index_bits, count)
        tables.finish("the code table")
        positions = _positions(symbols, index_bits, math.prod(shape))
        if positions.size != survivors:
            raise FormatError(f"{survivors} values for {positions.size} positions")
        values = np.frombuffer(parts["values"], _STORED[value_dtype])
        return cls(shape, positions, values, index_bits=index_bits, value_dtype=value_dtype)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sparse)
            and self.shape == other.shape
            and self.index_bits == other.index_bits
            and self.value_dtype == other.value_dtype
            and self.values.tobytes() == other.values.tobytes()
            and np.array_equal(self.positions, other.positions)
        )


def _symbols(steps: NDArray[np.int64], index_bits: int) -> NDArray[np.uint16]:
    """The symbols of steps (1 and up) from survivor to survivor."""
    span = (1 << index_bits) - 1
    padding, last = np.divmod(steps - 1, span)
    ends = np.cumsum(padding + 1) - 1
    symbols = np.full(int(ends[-1]) + 1 if ends.size else 0, span, np.uint16)
    symbols[ends] = last
    return symbols


def _positions(symbols: NDArray[np.uint16], index_bits: int, size: int) -> NDArray[np.int64]:
    """The places (int64) of survivors in a stream of ``size`` weights.

    Raises:
        FormatError: a symbol leads behind the stream, or padding stands last.
    """
    if not symbols.size:
        return np.empty(0, np.int64)
    span = (1 << index_bits) - 1
    is_padding = symbols == span
    if is_padding[-1]:
        raise FormatError("the last symbol is padding")
    ends = np.cumsum(symbols, dtype=np.int64) + np.cumsum(~is_padding) - 1
    if int(ends[-1]) >= size:
        raise FormatError(f"a survivor at {int(ends[-1])} in a tensor of {size} weights")
    return np.asarray(ends[~is_padding], np.int64)


def _shortest(steps: NDArray[np.int64]) -> int:
    """The width of symbols that takes the fewest bytes, code table included."""
    return min(range(1, MAX_INDEX_BITS + 1), key=lambda bits: _coded_bytes(steps, bits))


def _coded_bytes(steps: NDArray[np.int64], index_bits: int) -> int:
    """Bytes of the symbols and their table, without making the message."""
    span = (1 << index_bits) - 1
    padding, last = np.divmod(steps - 1, span)
    counts = np.bincount(last, minlength=span + 1)
    counts[span] = int(padding.sum())
    lengths = code_lengths(counts)
    coded = len(write_lengths(lengths)) + packed_bytes(1, total_bits(counts, lengths))
    fixed = 1 + packed_bytes(field_width(span + 1), int(counts.sum()))
    return min(coded, fixed)
