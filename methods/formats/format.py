"""The protocol of a format: one way to hold a weight tensor, in memory and as exact bytes.

Methods produce formats, kernels run them, the container stores them. The laws that hold for every
format (tests/methods/formats holds each to them with Hypothesis):

* ``unpack(f.shape, f.pack()) == f``, to the bit;
* ``f.multiply(x)`` equals ``x @ f.decode().T`` (for convolutions ``conv2d(x, f.decode())``)
  within ``f.tolerance``, each output relative to its own sum of magnitudes ``|x| @ |decode()|.T``
  (which bounds what rounding may do; the output itself may cancel to nothing);
* the bytes of ``f.pack()`` are what the size tables print, part by part.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from registry.errors import UserError

MAX_WEIGHTS = 2**31
"""A tensor that a file declares has at most so many weights, unless the caller raises it."""
MAX_DIMENSIONS = 8


class FormatError(UserError):
    """Bytes that are no file of ours, or are one cut short or changed: says where and what."""


def weight_count(shape: tuple[int, ...], limit: int = MAX_WEIGHTS) -> int:
    """The product of ``shape``.

    Raises:
        FormatError: too many dimensions, a negative one, or more than ``limit`` weights.
    """
    if len(shape) > MAX_DIMENSIONS:
        raise FormatError(f"{len(shape)} dimensions, more than {MAX_DIMENSIONS}")
    count = padded = 1
    for size in shape:
        if size < 0:
            raise FormatError(f"dimension {size} is negative")
        count *= size
        # Zero must not hide a product that overflows elsewhere.
        padded *= max(size, 1)
        if padded > limit:
            raise FormatError(f"shape {shape} has more than {limit} weights")
    return count


def check_parts(parts: Mapping[str, bytes], names: tuple[str, ...]) -> None:
    """Refuse parts that are not exactly ``names``.

    Raises:
        FormatError: names those missing and unknown.
    """
    if set(parts) != set(names):
        raise FormatError(f"parts {sorted(parts)} where {sorted(names)} belong")


def narrowed(values: NDArray[np.floating], dtype: str) -> NDArray[Any]:
    """``values`` rounded to the floating-point type ``dtype``, such as ``<f2``.

    Raises:
        ValueError: a finite one is beyond the type's range, and would become infinite.
    """
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    if (np.isinf(stored) & np.isfinite(values)).any():
        raise ValueError(f"a value is beyond the range of {stored.dtype.name}: store it wider")
    return stored


class Format(ABC):
    """One weight tensor: (outputs, inputs), or (outputs, inputs / groups, height, width)."""

    kind: ClassVar[str]
    """The name that stands in files; a file may name only kinds that are registered here."""
    tolerance: ClassVar[float]
    """Largest difference of ``multiply`` from the dense product, each output relative to its own
    sum of magnitudes."""
    shape: tuple[int, ...]

    @abstractmethod
    def decode(self) -> torch.Tensor:
        """The dense tensor, float32, of ``shape``."""

    @abstractmethod
    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """``x`` (batch, inputs) times the weights, float32, without decoding them each time.

        For a four-dimensional ``shape``, ``x`` is (batch, channels, height, width) and the
        product a convolution with the given geometry, which is ignored elsewhere.
        """

    @abstractmethod
    def pack(self) -> dict[str, bytes]:
        """Exact bytes, part by part (``codebook``, ``codes``, ``positions``, ``tables``, ...).

        A part that several tensors share is the same object in each and is stored once.
        """

    @classmethod
    @abstractmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        """The format that ``pack`` wrote.

        Raises:
            FormatError: a part is missing, unknown, cut short or inconsistent. Nothing is
                allocated from a count before the count is held against the bytes present.
        """

    @abstractmethod
    def __eq__(self, other: object) -> bool:
        """Equal to the bit."""

    __hash__ = None  # type: ignore[assignment]

    @property
    def weights(self) -> int:
        """How many weights the dense tensor has."""
        return math.prod(self.shape)

    def size_bytes(self) -> dict[str, int]:
        """Bytes by part."""
        return {part: len(content) for part, content in self.pack().items()}
