"""A product of two stored factors.

The tensor, flattened to (outputs, inputs), is left (outputs, rank) times right (rank, inputs).

Parts in a file:

* ``left``, ``right``: float32 or float16, little-endian, row by row;
* ``tables``: a byte (0, or 1 for float16 factors) and the rank (varint).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from methods.bits import Reader, write_varint
from methods.formats.convolution import convolve
from methods.formats.format import MAX_WEIGHTS, Format, FormatError, check_parts, narrowed
from methods.formats.uniform import rows_and_width

FactorDtype = Literal["float32", "float16"]
_STORED: dict[FactorDtype, str] = {"float32": "<f4", "float16": "<f2"}


class LowRank(Format):
    """A weight matrix of low rank, as its two factors."""

    kind: ClassVar[str] = "low-rank"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        left: NDArray[np.floating],
        right: NDArray[np.floating],
        *,
        factor_dtype: FactorDtype = "float32",
    ) -> None:
        """Hold ``left`` (outputs, rank) and ``right`` (rank, inputs), rounded to ``factor_dtype``.

        Raises:
            ValueError: the factors do not make a tensor of ``shape``, or a value is too large.
        """
        outputs, inputs = rows_and_width(shape)
        if left.ndim != 2 or left.shape[0] != outputs or right.shape != (left.shape[1], inputs):
            raise ValueError(f"factors of {left.shape} and {right.shape} for the shape {shape}")
        self.shape = tuple(shape)
        self.factor_dtype: FactorDtype = factor_dtype
        self.left: NDArray[Any] = narrowed(np.array(left, order="C"), _STORED[factor_dtype])
        self.right: NDArray[Any] = narrowed(np.array(right, order="C"), _STORED[factor_dtype])
        self._held: dict[tuple[torch.device, bool], tuple[torch.Tensor, ...]] = {}

    @property
    def rank(self) -> int:
        """Columns of the left factor."""
        return int(self.left.shape[1])

    @property
    def stored_weights(self) -> int:
        """Numbers that the file holds, those of both factors."""
        return int(self.left.size + self.right.size)

    def decode(self) -> torch.Tensor:
        with np.errstate(all="ignore"):  # a file may hold values that are not finite
            wide = self.left.astype(np.float64) @ self.right.astype(np.float64)
            dense = wide.astype(np.float32)
        return torch.from_numpy(dense).reshape(self.shape)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """By both factors where that takes less, else by the tensor, which is made once."""
        if len(self.shape) not in (2, 4):
            raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")
        held = self._run_time(x.device, groups)
        if len(held) == 1:
            if len(self.shape) == 2:
                return functional.linear(x, held[0])
            return functional.conv2d(x, held[0], None, stride, padding, dilation, groups)
        left, right = held

        # The factors' product may cancel where the weights are small: in float64, rounding counts
        # by the weights and not by the factors.
        def product(columns: torch.Tensor) -> torch.Tensor:
            return (left @ (right @ columns.double())).float()

        if len(self.shape) == 2:
            return product(x.T).T.contiguous()
        return convolve(x, self.shape, product, stride=stride, padding=padding, dilation=dilation)

    def _run_time(self, device: torch.device, groups: int) -> tuple[torch.Tensor, ...]:
        """Both factors, float64; or the dense tensor alone."""
        outputs, inputs = rows_and_width(self.shape)
        # Twice, as a product in float64 takes twice the time.
        by_factors = groups == 1 and 2 * self.rank * (outputs + inputs) < outputs * inputs
        key = (device, by_factors)
        if key not in self._held:
            both = (self.left, self.right)
            self._held[key] = (
                tuple(torch.from_numpy(one.astype(np.float64)).to(device) for one in both)
                if by_factors
                else (self.decode().to(device),)
            )
        return self._held[key]

    def pack(self) -> dict[str, bytes]:
        flags = 1 if self.factor_dtype == "float16" else 0
        return {
            "left": self.left.tobytes(),
            "right": self.right.tobytes(),
            "tables": bytes([flags]) + write_varint(self.rank),
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("left", "right", "tables"))
        tables = Reader(parts["tables"])
        flags = tables.byte("tables")
        if flags > 1:
            raise FormatError(f"tables start with {flags}")
        rank = tables.varint("the rank", MAX_WEIGHTS)
        tables.finish("the rank")
        outputs, inputs = rows_and_width(shape)
        if rank > max(outputs, inputs, 1):
            raise FormatError(f"a rank of {rank} for a tensor of {outputs} x {inputs}")
        factor_dtype: FactorDtype = "float16" if flags else "float32"
        stored = np.dtype(_STORED[factor_dtype])
        for part, count in (("left", outputs * rank), ("right", rank * inputs)):
            if len(parts[part]) != count * stored.itemsize:
                raise FormatError(
                    f"{part} holds {len(parts[part])} bytes where {count} x {stored.itemsize} "
                    "belong"
                )
        left = np.frombuffer(parts["left"], stored).reshape(outputs, rank)
        right = np.frombuffer(parts["right"], stored).reshape(rank, inputs)
        return cls(shape, left, right, factor_dtype=factor_dtype)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LowRank)
            and self.shape == other.shape
            and self.factor_dtype == other.factor_dtype
            and self.left.shape == other.left.shape
            and self.left.tobytes() == other.left.tobytes()
            and self.right.tobytes() == other.right.tobytes()
        )
