"""Three values a tensor: a positive scale, zero, and the negative of another scale.

Zhu et al., ICLR 2017, section 3: two bits a weight and two float32 scales a layer. The paper gives
no format of a file; beside its two bits stand two shorter codings of the same signs.

Parts in a file:

* ``codes``: the signs row by row, in one of three codings:
  0, two bits a weight: 0 for zero, 1 for the positive scale, 2 for the negative one;
  1, five weights a byte: the same digits to base 3, the first in the highest place, the last byte
  filled up with zeros (1.6 bits a weight);
  2, the bytes of coding 1 under a Huffman code, or in fields where those are shorter;
* ``scales``: two float32, little-endian, positive and negative, neither below zero;
* ``tables``: a byte (the coding), and the code table of coding 2.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, pack_fields, unpack_fields
from methods.formats.decoded_once import DecodedOnce
from methods.formats.format import FormatError, check_parts
from methods.huffman import pack_symbols, unpack_symbols
from methods.kernels.low_precision import gains
from methods.kernels.ternary import TernaryRows

Coding = Literal["two-bit", "five-trits", "entropy"]
CODINGS: tuple[Coding, ...] = get_args(Coding)
TRITS = 5
"""So many fit a byte: 3^5 = 243."""
_BYTES = 3**TRITS


class Ternary(DecodedOnce):
    """Every weight is the positive scale, zero, or the negative scale negated."""

    kind: ClassVar[str] = "ternary"
    tolerance: ClassVar[float] = 1e-6

    def __init__(
        self,
        shape: tuple[int, ...],
        signs: NDArray[np.integer],
        positive: float,
        negative: float,
        *,
        coding: Coding = "two-bit",
    ) -> None:
        """Hold ``signs`` (-1, 0 or 1, flat, row-major), one for each weight.

        The scales are rounded to float32.

        Raises:
            ValueError: not one sign a weight, or a scale that is negative or not finite.
        """
        if signs.shape != (math.prod(shape),):
            raise ValueError(f"{signs.shape} signs for a tensor of shape {shape}")
        if signs.size and not -1 <= int(signs.min()) <= int(signs.max()) <= 1:
            raise ValueError("a sign is -1, 0 or 1")
        scales = np.array([positive, negative], np.float64) + 0.0  # -0.0 becomes 0.0
        with np.errstate(over="ignore"):
            stored = scales.astype("<f4")
        if not (np.isfinite(stored).all() and (scales >= 0).all()):
            raise ValueError(f"scales are finite and not below zero, not {positive} and {negative}")
        self.shape = tuple(shape)
        self.signs: NDArray[np.int8] = signs.astype(np.int8)
        self.scales: NDArray[Any] = stored
        self.coding: Coding = coding
        self._rows: TernaryRows | None = None

    @classmethod
    def from_signs(
        cls,
        signs: torch.Tensor,
        positive: float,
        negative: float,
        *,
        coding: Coding = "two-bit",
    ) -> Self:
        """From signs (-1, 0 or 1) of the weight's shape."""
        flat = signs.detach().cpu().reshape(-1).to(torch.int8).numpy()
        return cls(tuple(signs.shape), flat, positive, negative, coding=coding)

    @property
    def positive(self) -> float:
        """The value of weights with sign 1."""
        return float(self.scales[0])

    @property
    def negative(self) -> float:
        """Minus the value of weights with sign -1."""
        return float(self.scales[1])

    @property
    def zeros(self) -> float:
        """The share of weights that are zero; 0.0 where there are none."""
        return float((self.signs == 0).mean()) if self.signs.size else 0.0

    def decode(self) -> torch.Tensor:
        values = np.array([0, self.scales[0], -self.scales[1]], np.float32)
        return torch.from_numpy(values[self.signs]).reshape(self.shape)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """By look-ups where they gain something: AVX-512 and a large matrix.

        See ``Format.multiply`` and ``low_precision.gains``; else by decoded weights.
        """
        if gains(self.shape, x):
            if self._rows is None:
                self._rows = TernaryRows(
                    self.signs.reshape(self.shape), self.positive, self.negative
                )
            return self._rows.product(x)
        geometry: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        return super().multiply(x, **geometry, groups=groups)

    def recoded(self, coding: Coding) -> Self:
        """The same weights in another coding."""
        return type(self)(self.shape, self.signs, self.positive, self.negative, coding=coding)

    def pack(self) -> dict[str, bytes]:
        digits = np.where(self.signs < 0, 2, self.signs).astype(np.uint8)
        head = bytes([CODINGS.index(self.coding)])
        if self.coding == "two-bit":
            codes, table = pack_fields(digits, 2), b""
        elif self.coding == "five-trits":
            codes, table = _five_a_byte(digits).tobytes(), b""
        else:
            table, codes = pack_symbols(_five_a_byte(digits), _BYTES)
        return {"codes": codes, "scales": self.scales.tobytes(), "tables": head + table}

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codes", "scales", "tables"))
        tables = Reader(parts["tables"])
        number, count = tables.byte("tables"), math.prod(shape)
        if number >= len(CODINGS):
            raise FormatError(f"tables start with {number}, which is no coding")
        if CODINGS[number] == "two-bit":
            digits: NDArray[Any] = unpack_fields(parts["codes"], 2, count)
        else:
            digits = _digits(_packed(tables, parts["codes"], CODINGS[number], count), count)
        tables.finish("the code table")
        if len(parts["scales"]) != 8:
            raise FormatError(f"scales hold {len(parts['scales'])} bytes where 8 belong")
        if digits.size and int(digits.max()) > 2:
            raise FormatError("a code is 3, which stands for no weight")
        scales = np.frombuffer(parts["scales"], "<f4")
        # By its bits, so that -0.0, which would come back as another file, is refused as well.
        if np.signbit(scales).any() or not np.isfinite(scales).all():
            raise FormatError(f"scales are {scales[0]} and {scales[1]}: finite and not negative")
        signs = np.array([0, 1, -1], np.int8)[digits]
        return cls(shape, signs, float(scales[0]), float(scales[1]), coding=CODINGS[number])

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ternary)
            and self.shape == other.shape
            and self.coding == other.coding
            and self.scales.tobytes() == other.scales.tobytes()
            and np.array_equal(self.signs, other.signs)
        )


def _five_a_byte(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Five digits to base 3 a byte, zeros behind the last."""
    filled = np.pad(digits, (0, -digits.size % TRITS)).reshape(-1, TRITS)
    packed = np.zeros(len(filled), np.uint8)
    for column in filled.T:
        packed = packed * np.uint8(3) + column
    return packed


def _packed(tables: Reader, codes: bytes, coding: Coding, count: int) -> NDArray[np.integer]:
    """The bytes of five digits each, as many as ``count`` weights fill."""
    needed = -(-count // TRITS)
    if coding == "entropy":
        return unpack_symbols(tables, codes, _BYTES, needed)
    if len(codes) != needed:
        raise FormatError(f"codes hold {len(codes)} bytes where {needed} belong")
    packed = np.frombuffer(codes, np.uint8)
    if packed.size and int(packed.max()) >= _BYTES:
        raise FormatError(f"a byte of codes is {packed.max()}, not below {_BYTES}")
    return packed


def _digits(packed: NDArray[np.integer], count: int) -> NDArray[np.uint8]:
    """The ``count`` digits of the bytes.

    Raises:
        FormatError: what fills up the last byte is not zero.
    """
    left, digits = packed.astype(np.uint8), np.empty((packed.size, TRITS), np.uint8)
    for place in reversed(range(TRITS)):
        left, digits[:, place] = np.divmod(left, np.uint8(3))
    flat = digits.reshape(-1)
    if flat[count:].any():
        raise FormatError("the digits behind the last weight are not zero")
    return flat[:count]
