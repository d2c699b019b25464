"""A coded layer dealt out to processing elements: interleaved, column by column, 8-bit entries.

Han et al. 2016, section III and Figs. 2 and 3. PE k of N holds the rows i with i mod N = k. For
each PE and column, every weight is an entry of a 4-bit code and a 4-bit run: the zeros before it
among this PE's rows, counted from the start of the column. A gap of g zeros takes floor(g / 16)
padding entries (code 0, run 15), each of which covers 16 rows; zeros at the end take nothing.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from methods.eie.coded import CodedLayer
from registry.errors import UserError

SPAN = 16
"""Rows that a padding entry covers: a run of 15 and its own."""
MAX_PES = 1 << 16
MAX_SLICES = 1 << 28
"""Columns times PEs: each slice takes a pointer, and some GB are needed for so many."""
MAX_ENTRIES = 1 << 30
"""Of all PEs, padding included: a byte each, and few weights far apart need many."""

Counts = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class EncodedLayer:
    """A layer as the machine's memories hold it."""

    outputs: int
    inputs: int
    pes: int
    codebook: NDArray[np.float32]
    """(16), slot 0 is 0.0."""
    entries: NDArray[np.uint8]
    """(stored entries): code + 16 * run, PE after PE, in each column after column, bias last."""
    pointers: NDArray[np.int32]
    """(pes, columns + 1): where each column begins in the PE's own stream, from 0."""
    has_bias: bool = False
    origin: CodedLayer | None = field(default=None, repr=False)
    """What was encoded, where that is known."""

    @property
    def columns(self) -> int:
        """Inputs, and the bias as the last one."""
        return self.inputs + int(self.has_bias)

    @property
    def rows_per_pe(self) -> int:
        """Of the PE that has the most."""
        return -(-self.outputs // self.pes)

    @cached_property
    def stream_starts(self) -> NDArray[np.int64]:
        """(pes + 1): where each PE's stream begins in ``entries``."""
        starts = np.zeros(self.pes + 1, np.int64)
        np.cumsum(self.pointers[:, -1], out=starts[1:])
        return starts

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """(stored entries), 0 in padding."""
        return self.entries & np.uint8(15)

    @cached_property
    def runs(self) -> NDArray[np.uint8]:
        """(stored entries): zeros before each entry."""
        return self.entries >> np.uint8(4)

    @cached_property
    def counts(self) -> Counts:
        """(columns, pes): entries of each slice, padding included, in the least type that holds."""
        counts = np.diff(self.pointers, axis=1).T
        largest = int(counts.max(initial=0))
        kind = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32
        return np.ascontiguousarray(counts, kind)

    @cached_property
    def busy(self) -> Counts:
        """(columns, pes): cycles that a slice occupies its PE; an empty one occupies it for 1."""
        return np.maximum(self.counts, 1)

    @cached_property
    def column_entries(self) -> NDArray[np.int64]:
        """(columns): entries of each column in all PEs, padding included."""
        entries: NDArray[np.int64] = self.counts.sum(axis=1, dtype=np.int64)
        return entries

    @cached_property
    def column_padding(self) -> NDArray[np.int64]:
        """(columns): padding entries of each column in all PEs."""
        return self.column_entries - np.diff(self.decoded.column_starts)

    @cached_property
    def decoded(self) -> CodedLayer:
        """The layer without padding, column after column."""
        return self.origin or decode(self)

    @property
    def stored_entries(self) -> int:
        """Entries of all columns, padding included."""
        return int(self.entries.size)

    @property
    def stored_padding_entries(self) -> int:
        """Padding entries of all columns."""
        return int((self.codes == 0).sum())


def encode(layer: CodedLayer, pes: int) -> EncodedLayer:
    """Deal ``layer`` out to ``pes`` processing elements.

    Raises:
        UserError: no PE, or more slices or entries than are kept.
    """
    if not 1 <= pes <= MAX_PES:
        raise UserError(f"{pes} PEs: a machine has 1 to {MAX_PES:,}")
    columns = layer.columns
    check_slices(columns, pes)
    pe = layer.rows % pes
    # Stable, so that columns stay in order within a PE, and rows within a column.
    order = np.argsort(pe.astype(np.uint16), kind="stable")
    pe, local = pe[order], layer.rows[order] // pes
    slices = pe.astype(np.int64) * columns + layer.entry_columns[order]
    gaps = local.copy()
    gaps[1:] -= np.where(slices[1:] == slices[:-1], local[:-1] + 1, 0)
    padding = gaps // SPAN
    ends = np.cumsum(padding + 1, dtype=np.int64) - 1
    stored = int(ends[-1]) + 1 if ends.size else 0
    if stored > MAX_ENTRIES:
        raise UserError(
            f"{stored:,} entries with padding on {pes:,} PEs are more than {MAX_ENTRIES:,}"
        )
    entries = np.full(stored, 15 << 4, np.uint8)
    entries[ends] = layer.codes[order] | (gaps % SPAN).astype(np.uint8) << 4
    counts = np.bincount(slices, weights=padding + 1, minlength=columns * pes)
    pointers = np.zeros((pes, columns + 1), np.int32)
    np.cumsum(counts.reshape(pes, columns), axis=1, out=pointers[:, 1:], dtype=np.int32)
    return EncodedLayer(
        layer.outputs, layer.inputs, pes, layer.codebook, entries, pointers, layer.has_bias, layer
    )


def check_slices(columns: int, pes: int) -> None:
    """Hold the slices of a layer against their limit, before it is drawn or dealt out.

    Raises:
        UserError: there are more.
    """
    if columns * pes > MAX_SLICES:
        raise UserError(
            f"{columns:,} columns on {pes:,} PEs are more than {MAX_SLICES:,} slices: give fewer "
            "of either"
        )


def decode(encoded: EncodedLayer) -> CodedLayer:
    """The layer that was encoded, from the entries and pointers alone.

    Raises:
        UserError: pointers or entries that no encoding gives.
    """
    pes, columns, pointers = encoded.pes, encoded.columns, encoded.pointers
    if pointers.shape != (pes, columns + 1) or pointers[:, 0].any():
        raise UserError(f"pointers of shape {pointers.shape} for {pes} PEs and {columns} columns")
    counts = np.diff(pointers, axis=1)
    if (counts < 0).any() or int(pointers[:, -1].sum(dtype=np.int64)) != encoded.stored_entries:
        raise UserError("pointers do not rise to the number of entries")
    flat = counts.reshape(-1)
    slices = np.repeat(np.arange(flat.size), flat)
    after = np.cumsum(encoded.runs.astype(np.int64) + 1)
    before = np.concatenate([[0], after])[np.cumsum(flat) - flat]
    local = after - 1 - np.repeat(before, flat)
    pe, column = np.divmod(slices, columns)
    real = encoded.codes > 0
    if (encoded.runs[~real] != SPAN - 1).any():
        raise UserError("an entry of code 0 is no padding: its run is not 15")
    rows = local * pes + pe
    if rows.size and int(rows.max()) >= encoded.outputs:
        raise UserError(f"an entry lies in row {int(rows.max())} of {encoded.outputs}")
    rows, column, codes = rows[real], column[real], encoded.codes[real]
    order = np.argsort(column * encoded.outputs + rows, kind="stable")
    starts = np.zeros(columns + 1, np.int64)
    np.cumsum(np.bincount(column, minlength=columns), out=starts[1:])
    return CodedLayer(
        encoded.outputs, encoded.inputs, encoded.codebook, starts,
        rows[order].astype(np.int32), codes[order], has_bias=encoded.has_bias,
    )  # fmt: skip
