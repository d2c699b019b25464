"""A pruned layer whose weights are 4-bit codes into a table of 16 values, column after column.

Han et al. 2016, section III. Slot 0 of the table is the value 0, which padding entries need, so
15 values are left for weights. The layer knows nothing of processing elements yet: ``encode``
deals it out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from methods.cluster import kmeans
from registry.errors import UserError

SLOTS = 16
"""Of the table of shared values: 4-bit codes."""
SHARED_VALUES = SLOTS - 1
"""Slots that are left for weights beside the value 0."""
_AT_ONCE = 1 << 16

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class CodedLayer:
    """What is not listed is 0. Columns are the inputs, then the bias where there is one.

    Raises:
        UserError: the arrays disagree with each other, or the table is none.
    """

    outputs: int
    inputs: int
    codebook: NDArray[np.float32]
    """(16), slot 0 is 0.0."""
    column_starts: NDArray[np.int64]
    """(columns + 1): where each column begins in ``rows`` and ``codes``."""
    rows: NDArray[np.int32]
    """(nonzeros), rising strictly within a column."""
    codes: NDArray[np.uint8]
    """(nonzeros), 1 to 15."""
    has_bias: bool = False

    def __post_init__(self) -> None:
        if self.outputs < 1 or self.inputs < 1:
            raise UserError(f"a layer of {self.outputs} outputs and {self.inputs} inputs is empty")
        check_codebook(self.codebook)
        starts, rows = self.column_starts, self.rows
        if rows.shape != self.codes.shape or rows.ndim != 1:
            raise UserError(f"{rows.shape} rows for {self.codes.shape} codes")
        if starts.shape != (self.columns + 1,):
            raise UserError(f"{starts.shape} column starts for {self.columns} columns")
        if starts[0] != 0 or starts[-1] != rows.size or (np.diff(starts) < 0).any():
            raise UserError(f"column starts do not rise from 0 to {rows.size}")
        if not rows.size:
            return
        if not 1 <= int(self.codes.min()) <= int(self.codes.max()) < SLOTS:
            raise UserError("codes of weights are 1 to 15")
        if not 0 <= int(rows.min()) <= int(rows.max()) < self.outputs:
            raise UserError(f"a row lies outside the {self.outputs} outputs")
        rises = np.diff(rows) > 0
        rises[starts[(starts > 0) & (starts < rows.size)] - 1] = True  # a new column begins
        if not rises.all():
            raise UserError("rows do not rise within a column")

    @classmethod
    def from_codes(
        cls,
        codes: NDArray[np.integer[Any]],
        codebook: Floats,
        bias_codes: NDArray[np.integer[Any]] | None = None,
    ) -> Self:
        """From a dense array of codes (outputs, inputs), 0 to 15; 0 stores nothing.

        Raises:
            UserError: a wrong type, rank or shape, a code out of range, or a table that is none.
        """
        table = check_codebook(codebook)
        named = [("codes", codes, 2)]
        if bias_codes is not None:
            named.append(("bias codes", bias_codes, 1))
        for name, array, rank in named:
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
                raise UserError(f"{name}: {_told(array)}, where whole numbers belong")
            if array.ndim != rank or not array.size:
                raise UserError(f"{name}: shape {array.shape}, where {_RANKS[rank]} belongs")
            if not 0 <= int(array.min()) <= int(array.max()) < SLOTS:
                raise UserError(f"{name}: {array.min()} to {array.max()}, where 0 to 15 belong")
        outputs, inputs = codes.shape
        if bias_codes is not None and bias_codes.shape != (outputs,):
            raise UserError(f"bias codes: {bias_codes.size} for {outputs} outputs")
        columns, rows = np.nonzero(codes.T)
        chosen = codes[rows, columns].astype(np.uint8)
        return cls._assemble((outputs, inputs), table, columns, rows, chosen, bias_codes)

    @classmethod
    def from_weights(cls, weight: Floats, codebook: Floats, bias: Floats | None = None) -> Self:
        """From dense weights (outputs, inputs): each takes the nearest value of ``codebook``.

        Slot 0 takes part, ties go to the lower index, and what falls on slot 0 vanishes. The
        bias (outputs) is coded with the same table.

        Raises:
            UserError: a wrong type, rank or shape, a value that is not finite, or a table that
                is none.
        """
        table = check_codebook(codebook)
        outputs, inputs = check_weights(weight, bias)
        columns, rows = np.nonzero(weight.T)
        codes = nearest_codes(weight[rows, columns], table)
        kept = codes > 0
        bias_codes = None if bias is None else nearest_codes(bias, table)
        return cls._assemble(
            (outputs, inputs), table, columns[kept], rows[kept], codes[kept], bias_codes
        )

    @classmethod
    def from_pruned(cls, weight: Floats, bias: Floats | None = None) -> Self:
        """From weights without a table of shared values.

        Where at most 15 values are in use beside 0, they are the table, the bias's with the
        weights' if all find place. Else those that are not 0 are clustered to 15, the bias's
        along: k-means with a linearly spaced start over their range, as in the authors' script.

        Raises:
            UserError: as ``from_weights``.
        """
        check_weights(weight, bias)
        return cls.from_weights(weight, found_codebook(weight, bias), bias)

    @classmethod
    def _assemble(
        cls,
        shape: tuple[int, int],
        codebook: NDArray[np.float32],
        columns: NDArray[np.int64],
        rows: NDArray[np.int64],
        codes: NDArray[np.uint8],
        bias_codes: NDArray[np.integer[Any]] | None,
    ) -> Self:
        outputs, inputs = shape
        counts = np.bincount(columns, minlength=inputs)
        if bias_codes is not None:
            bias_rows = np.flatnonzero(bias_codes)
            counts = np.append(counts, bias_rows.size)
            rows = np.concatenate([rows, bias_rows])
            codes = np.concatenate([codes, bias_codes[bias_rows].astype(np.uint8)])
        starts = np.zeros(counts.size + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        return cls(
            outputs, inputs, codebook, starts, rows.astype(np.int32), codes,
            has_bias=bias_codes is not None,
        )  # fmt: skip

    @property
    def columns(self) -> int:
        """Inputs, and the bias as the last one."""
        return self.inputs + int(self.has_bias)

    @property
    def nonzeros(self) -> int:
        """Weights that are stored, the bias's included."""
        return int(self.rows.size)

    @property
    def density(self) -> float:
        """Stored weights over all weights, the bias left out."""
        return int(self.column_starts[self.inputs]) / (self.outputs * self.inputs)

    @cached_property
    def entry_columns(self) -> NDArray[np.int64]:
        """The column of each stored weight."""
        return np.repeat(np.arange(self.columns), np.diff(self.column_starts))

    @cached_property
    def packed(self) -> NDArray[np.unsignedinteger[Any]]:
        """(nonzeros): 16 * row + code, in 16 bits where they do: the less to read, the faster."""
        wide = 16 * self.rows.astype(np.uint64) + self.codes
        short = self.outputs <= 1 << 12
        return wide.astype(np.uint16 if short else np.uint64)

    def codes_dense(self) -> NDArray[np.uint8]:
        """(outputs, columns), 0 where nothing is stored."""
        dense = np.zeros((self.outputs, self.columns), np.uint8)
        dense[self.rows, self.entry_columns] = self.codes
        return dense

    def weight(self) -> NDArray[np.float32]:
        """The dense weights (outputs, inputs)."""
        return self.codebook[self.codes_dense()[:, : self.inputs]]

    def bias(self) -> NDArray[np.float32] | None:
        """The bias (outputs), or None."""
        return self.codebook[self.codes_dense()[:, -1]] if self.has_bias else None

    def is_same(self, other: "CodedLayer") -> bool:
        """Equal to the bit."""
        return (
            (self.outputs, self.inputs, self.has_bias)
            == (other.outputs, other.inputs, other.has_bias)
            and self.codebook.tobytes() == other.codebook.tobytes()
            and np.array_equal(self.column_starts, other.column_starts)
            and np.array_equal(self.rows, other.rows)
            and np.array_equal(self.codes, other.codes)
        )


def check_codebook(codebook: object) -> NDArray[np.float32]:
    """The table as float32.

    Raises:
        UserError: it has not exactly 16 finite numbers, or slot 0 is not 0.
    """
    table = _floats("codebook", codebook, 1)
    if table.shape != (SLOTS,):
        raise UserError(f"codebook: {table.size} values, where 16 belong: 0 and 15 shared ones")
    if table[0] != 0:
        raise UserError(f"codebook: slot 0 is {table[0]:g}, and must be 0 for padding entries")
    stored = table.astype(np.float32)
    stored[0] = 0.0  # and not -0.0
    return stored


def check_weights(weight: object, bias: object = None) -> tuple[int, int]:
    """Outputs and inputs.

    Raises:
        UserError: a wrong type, rank or shape, nothing in it, or a value that is not finite.
    """
    outputs, inputs = _floats("weight", weight, 2).shape
    if bias is not None:
        values = _floats("bias", bias, 1)
        if values.shape != (outputs,):
            raise UserError(f"bias: {values.size} values for {outputs} outputs of weight")
    return outputs, inputs


def check_activation(activation: object, inputs: int) -> NDArray[np.float32]:
    """Activations (inputs) as float32.

    Raises:
        UserError: a wrong type, rank or shape, or a value that is not finite.
    """
    values = _floats("activation", activation, 1)
    if values.shape != (inputs,):
        raise UserError(
            f"activation: {values.size} values for a layer of {inputs} inputs: weight is outputs x "
            "inputs"
        )
    return values.astype(np.float32)


def nearest_codes(values: Floats, codebook: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The slot nearest to each value; ties go to the lower index."""
    flat = values.reshape(-1)
    codes = np.empty(flat.size, np.uint8)
    table = codebook.astype(np.float64)
    for part in _blocks(flat.size):
        codes[part] = np.abs(flat[part, None].astype(np.float64) - table).argmin(axis=1)
    return codes.reshape(values.shape)


def relative_change(before: Floats, after: Floats) -> float:
    """Norm of the difference over the norm of what was; 0 where nothing was."""
    norm = float(np.linalg.norm(before.astype(np.float64)))
    return float(np.linalg.norm(after.astype(np.float64) - before)) / norm if norm else 0.0


def found_codebook(weight: Floats, bias: Floats | None = None) -> NDArray[np.float32]:
    """A table of 0 and at most 15 values, ascending, as ``CodedLayer.from_pruned`` says.

    Slots that are not needed hold 0, and no weight takes them.
    """
    weights = weight[weight != 0]
    everything = weights if bias is None else np.concatenate([weights, bias[bias != 0]])
    shared = np.unique(everything)
    if shared.size > SHARED_VALUES and weights.size:
        shared = np.unique(weights)
    if shared.size > SHARED_VALUES:
        shared, _ = kmeans(everything, SHARED_VALUES, "linear")
    table = np.zeros(SLOTS, np.float32)
    table[1 : 1 + shared.size] = shared
    return table


_RANKS = {1: "one dimension, not empty,", 2: "(outputs, inputs), neither of them 0,"}


def _floats(name: str, array: object, rank: int) -> Floats:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise UserError(f"{name}: {_told(array)}, where floating-point numbers belong")
    if array.ndim != rank or not array.size:
        raise UserError(f"{name}: shape {array.shape}, where {_RANKS[rank]} belongs")
    if not np.isfinite(array).all():
        place = ", ".join(str(int(i)) for i in np.argwhere(~np.isfinite(array))[0])
        raise UserError(f"{name}: NaN or infinity at [{place}]")
    with np.errstate(over="ignore"):
        if array.dtype.itemsize > 4 and not np.isfinite(array.astype(np.float32)).all():
            raise UserError(f"{name}: a value is beyond the range of float32")
    return array


def _told(array: object) -> str:
    kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
    return f"an array of {kind}" if isinstance(array, np.ndarray) else f"a {kind}"


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, size, _AT_ONCE))
