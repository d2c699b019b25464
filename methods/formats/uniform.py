"""Uniform n-bit integers: a weight is a scale times a whole number.

One scale for the tensor, for each output channel, or for each group of so many consecutive
inputs of a channel (the last group of a channel may be shorter). With a code c of b bits
(1 to 8, or 16), a weight is

* symmetric: scale * (c - 2^(b-1)); a single bit is a sign, scale * (2 c - 1);
* with a zero point z, a code as well: scale * (c - z).

Parts in a file:

* ``codes``: a field of b bits for each weight, row by row;
* ``scales``: float32 or float16, little-endian, channel by channel;
* ``tables``: a byte (lowest five bits: b; 32: zero points; 64: float16 scales), a byte (0: one
  scale for the tensor, 1: for each channel, 2: for each group, whose size follows as a varint),
  and the zero points, b bits each.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, pack_fields, packed_bytes, unpack_fields, write_varint
from methods.formats.decoded_once import DecodedOnce
from methods.formats.format import MAX_WEIGHTS, FormatError, check_parts
from methods.kernels.binary import BinaryRows
from methods.kernels.low_precision import gains

Granularity = Literal["tensor", "channel", "group"]
ScaleDtype = Literal["float32", "float16"]
WIDTHS = (*range(1, 9), 16)
_GRANULARITIES: tuple[Granularity, ...] = ("tensor", "channel", "group")
_STORED: dict[ScaleDtype, str] = {"float32": "<f4", "float16": "<f2"}
_ZEROS, _HALF = 32, 64


class Uniform(DecodedOnce):
    """Weights on an even grid of at most 2^bits levels."""

    kind: ClassVar[str] = "uniform"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: NDArray[np.integer],
        scales: NDArray[np.floating],
        *,
        bits: int,
        zeros: NDArray[np.integer] | None = None,
        granularity: Granularity = "channel",
        group_size: int | None = None,
        scale_dtype: ScaleDtype = "float32",
    ) -> None:
        """Hold ``codes`` (0 to 2^bits - 1, flat, row-major), one for each weight.

        Args:
            scales: as many as ``scale_count`` says, rounded to ``scale_dtype``.
            zeros: the zero point of each scale, 0 to 2^bits - 1; None where symmetric.
            group_size: of granularity ``group`` and only there.

        Raises:
            ValueError: the arrays disagree, or something is out of its range.
        """
        if bits not in WIDTHS:
            raise ValueError(f"a code has 1 to 8 bits, or 16, not {bits}")
        if (granularity == "group") != (group_size is not None):
            raise ValueError("a group size belongs to granularity 'group', and only there")
        if group_size is not None and not 1 <= group_size <= MAX_WEIGHTS:
            raise ValueError(f"a group holds at least one weight, not {group_size}")
        if codes.shape != (math.prod(shape),):
            raise ValueError(f"{codes.shape} codes for a tensor of shape {shape}")
        wanted = (scale_count(shape, granularity, group_size),)
        if scales.shape != wanted or (zeros is not None and zeros.shape != wanted):
            raise ValueError(f"{scales.shape} scales where {wanted} belong")
        for numbers in (codes, zeros):
            if numbers is not None and numbers.size:
                _in_range(numbers, bits)
        narrow = np.uint8 if bits <= 8 else np.uint16
        self.shape = tuple(shape)
        self.bits = bits
        self.granularity: Granularity = granularity
        self.group_size = group_size
        self.scale_dtype: ScaleDtype = scale_dtype
        self.codes: NDArray[Any] = codes.astype(narrow)
        self.scales: NDArray[Any] = scales.astype(_STORED[scale_dtype])
        self.zeros: NDArray[Any] | None = None if zeros is None else zeros.astype(narrow)
        self._rows: BinaryRows | None = None

    @property
    def is_symmetric(self) -> bool:
        """Whether the grid is even around 0, without zero points."""
        return self.zeros is None

    def decode(self) -> torch.Tensor:
        levels = self.codes.astype(np.float32)
        counts = group_lengths(self.shape, self.granularity, self.group_size)
        if self.zeros is not None:
            levels -= np.repeat(self.zeros.astype(np.float32), counts)
        elif self.bits == 1:
            levels = 2 * levels - 1
        else:
            levels -= np.float32(1 << (self.bits - 1))
        with np.errstate(all="ignore"):  # a file may hold scales that are not finite
            levels *= np.repeat(self.scales.astype(np.float32), counts)
        return torch.from_numpy(levels).reshape(self.shape)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """A large matrix of single bits by look-ups, where AVX-512 lets them gain something.

        See ``Format.multiply`` and ``low_precision.gains``; else by decoded weights.
        """
        if self._is_binary and gains(self.shape, x):
            if self._rows is None:
                self._rows = BinaryRows(self.codes.reshape(self.shape) == 1, self.scales)
            return self._rows.product(x)
        geometry: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        return super().multiply(x, **geometry, groups=groups)

    @property
    def _is_binary(self) -> bool:
        """Whether rows are of two values, plus and minus a scale."""
        return self.bits == 1 and self.is_symmetric and self.granularity != "group"

    def pack(self) -> dict[str, bytes]:
        flags = self.bits | (0 if self.zeros is None else _ZEROS)
        flags |= _HALF if self.scale_dtype == "float16" else 0
        head = bytes([flags, _GRANULARITIES.index(self.granularity)])
        size = b"" if self.group_size is None else write_varint(self.group_size)
        zeros = b"" if self.zeros is None else pack_fields(self.zeros, self.bits)
        return {
            "codes": pack_fields(self.codes, self.bits),
            "scales": self.scales.tobytes(),
            "tables": head + size + zeros,
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codes", "scales", "tables"))
        tables = Reader(parts["tables"])
        flags, number = tables.byte("tables"), tables.byte("tables")
        bits = flags & 31
        if flags >> 7 or bits not in WIDTHS or number >= len(_GRANULARITIES):
            raise FormatError(f"tables start with {flags} and {number}")
        granularity = _GRANULARITIES[number]
        group_size = None
        if granularity == "group":
            group_size = tables.varint("a group's size", MAX_WEIGHTS)
            if group_size == 0:
                raise FormatError("a group holds no weight")
        scale_dtype: ScaleDtype = "float16" if flags & _HALF else "float32"
        count, width = scale_count(shape, granularity, group_size), 2 if flags & _HALF else 4
        if len(parts["scales"]) != count * width:
            raise FormatError(
                f"scales hold {len(parts['scales'])} bytes where {count} x {width} belong"
            )
        zeros = None
        if flags & _ZEROS:
            fields = tables.take(packed_bytes(bits, count), "zero points")
            zeros = unpack_fields(fields, bits, count)
        tables.finish("the zero points")
        return cls(
            shape,
            unpack_fields(parts["codes"], bits, math.prod(shape)),
            np.frombuffer(parts["scales"], _STORED[scale_dtype]),
            bits=bits,
            zeros=zeros,
            granularity=granularity,
            group_size=group_size,
            scale_dtype=scale_dtype,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Uniform) and self._content() == other._content()

    def _content(self) -> tuple[object, ...]:
        zeros = None if self.zeros is None else self.zeros.tobytes()
        grid = (self.bits, self.granularity, self.group_size, self.scale_dtype)
        return (self.shape, *grid, self.codes.tobytes(), self.scales.tobytes(), zeros)


def rows_and_width(shape: tuple[int, ...]) -> tuple[int, int]:
    """Output channels, and the weights of each; a tensor without dimensions is one of one."""
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)


def scale_count(shape: tuple[int, ...], granularity: Granularity, group_size: int | None) -> int:
    """How many scales a tensor has; none where it has no weights."""
    rows, width = rows_and_width(shape)
    if rows * width == 0:
        return 0
    if granularity == "tensor":
        return 1
    return rows * -(-width // (group_size or width))


def group_lengths(
    shape: tuple[int, ...], granularity: Granularity, group_size: int | None
) -> NDArray[np.int64]:
    """How many consecutive weights each scale is for, int64, in the order of the scales."""
    count = scale_count(shape, granularity, group_size)
    rows, width = rows_and_width(shape)
    if count == 0:
        return np.empty(0, np.int64)
    if granularity == "tensor":
        return np.array([rows * width], np.int64)
    size = group_size or width
    lengths = np.full((rows, count // rows), size, np.int64)
    lengths[:, -1] = width - size * (count // rows - 1)
    return lengths.ravel()


def _in_range(numbers: NDArray[np.integer], bits: int) -> None:
    if not 0 <= int(numbers.min()) <= int(numbers.max()) < 1 << bits:
        raise ValueError(f"a code or zero point does not fit into {bits} bits")
