"""Powers of two: a weight is 0 or plus or minus scale 2^e, so products are shifts.

Lin et al. 2016 and Ott et al. 2016 round values to such numbers. With codes of b bits (2 to 8),
e is one of 2^(b-1) - 1 consecutive exponents from the least one on.

Parts in a file:

* ``codes``: a field of b bits for each weight, row by row: 0 for a weight of 0, else the highest
  bit, set for a negative weight, and the others e - least + 1; the highest bit alone stands for no
  weight;
* ``scales``: the scale, float32, little-endian;
* ``tables``: b, a byte, and the least exponent, a signed byte.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, pack_fields, unpack_fields
from methods.formats.decoded_once import DecodedOnce
from methods.formats.format import FormatError, check_parts
from methods.kernels.exponents import check_exponents, levels, normal_exponents, stored_scale
from methods.kernels.low_precision import TOLERANCE, gains
from methods.kernels.power_of_two import HALF_BYTE, PowerOfTwoRows

WIDTHS = range(2, 9)
FEW = 4
"""Rows of activations, up to which a kernel of 16 values gains something."""


class PowerOfTwo(DecodedOnce):
    """Every weight is zero or a signed power of two, times one scale for the tensor."""

    kind: ClassVar[str] = "power-of-two"
    tolerance: ClassVar[float] = TOLERANCE

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: NDArray[np.integer],
        *,
        bits: int,
        least: int,
        scale: float = 1.0,
    ) -> None:
        """Hold ``codes`` (flat, row-major), one for each weight; see the module.

        Args:
            least: the least exponent.
            scale: rounded to float32.

        Raises:
            ValueError: not one code a weight, a code that stands for none, or exponents or a scale
                whose products are not finite and normal in float32.
        """
        if bits not in WIDTHS:
            raise ValueError(f"a code has 2 to 8 bits, not {bits}")
        if codes.shape != (math.prod(shape),):
            raise ValueError(f"{codes.shape} codes for a tensor of shape {shape}")
        sign = 1 << (bits - 1)
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < 2 * sign:
            raise ValueError(f"a code does not fit into {bits} bits")
        if (codes == sign).any():
            raise ValueError(f"a code is {sign}, which stands for no weight")
        self.scale = stored_scale(scale)
        check_exponents(self.scale, least, levels(bits))
        self.shape = tuple(shape)
        self.bits, self.least = bits, int(least)
        self.codes: NDArray[np.uint8] = codes.astype(np.uint8)
        self._rows: PowerOfTwoRows | None = None

    @classmethod
    def from_tensor(cls, weights: torch.Tensor, bits: int, *, scale: float = 1.0) -> Self:
        """Each weight becomes the nearest value, of two equally near ones the smaller in magnitude.

        The exponents end with the one of the largest weight, so small weights become 0.

        Raises:
            ValueError: a weight is not finite, or what the constructor refuses.
        """
        stored = stored_scale(scale)
        flat = weights.detach().cpu().reshape(-1).to(torch.float64).numpy()
        if not np.isfinite(flat).all():
            raise ValueError("weights that are not finite have no nearest power of two")
        sizes = np.abs(flat) / stored
        exponents = nearest_exponents(sizes)
        top = int(exponents[sizes > 0].max()) if (sizes > 0).any() else 0
        allowed = normal_exponents(stored)
        least = max(allowed[0], min(top, allowed[-1]) - levels(bits) + 1)
        places = np.minimum(exponents - least + 1, levels(bits))
        # Half of the least power is as near to 0 and goes there.
        places = np.where(sizes > np.ldexp(1.0, least - 1), np.maximum(places, 1), 0)
        codes = np.where((flat < 0) & (places > 0), places + (1 << (bits - 1)), places)
        return cls(tuple(weights.shape), codes.astype(np.int64), bits=bits, least=least,
                   scale=scale)  # fmt: skip

    def decode(self) -> torch.Tensor:
        sign = 1 << (self.bits - 1)
        powers = np.ldexp(np.float32(self.scale), np.arange(levels(self.bits)) + self.least)
        values = np.zeros(2 * sign, np.float32)
        values[1:sign], values[sign + 1 :] = powers, -powers
        return torch.from_numpy(values[self.codes]).reshape(self.shape)

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """By look-ups where they gain something: AVX-512, a large matrix of four bits, few rows.

        See ``Format.multiply`` and ``low_precision.gains``; else by decoded weights.
        """
        few = x.ndim == 1 or math.prod(x.shape[:-1]) <= FEW
        if self.bits <= HALF_BYTE and few and gains(self.shape, x):
            return self.rows.product(x)
        geometry: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
        return super().multiply(x, **geometry, groups=groups)

    @property
    def rows(self) -> PowerOfTwoRows:
        """The run-time form of a matrix, made at the first use."""
        if self._rows is None:
            codes = self.codes.reshape(self.shape)
            self._rows = PowerOfTwoRows(codes, self.bits, self.least, self.scale)
        return self._rows

    def pack(self) -> dict[str, bytes]:
        return {
            "codes": pack_fields(self.codes, self.bits),
            "scales": np.array(self.scale, "<f4").tobytes(),
            "tables": bytes([self.bits, self.least & 0xFF]),
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codes", "scales", "tables"))
        tables = Reader(parts["tables"])
        bits, least = tables.byte("tables"), tables.byte("the least exponent")
        tables.finish("the least exponent")
        if bits not in WIDTHS:
            raise FormatError(f"tables start with {bits}, which is no width of a code")
        if len(parts["scales"]) != 4:
            raise FormatError(f"scales hold {len(parts['scales'])} bytes where 4 belong")
        scale = float(np.frombuffer(parts["scales"], "<f4")[0])
        codes = unpack_fields(parts["codes"], bits, math.prod(shape))
        try:
            return cls(shape, codes, bits=bits, least=(least ^ 0x80) - 0x80, scale=scale)
        except ValueError as error:
            raise FormatError(str(error)) from error

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PowerOfTwo)
            and self.shape == other.shape
            and (self.bits, self.least, self.scale) == (other.bits, other.least, other.scale)
            and np.array_equal(self.codes, other.codes)
        )


def nearest_exponents(sizes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of the power of two nearest to each size (0 or more), the smaller of two; 0 has none."""
    fractions, exponents = np.frexp(sizes)  # fractions from 1/2 on, below 1
    found: NDArray[np.int64] = np.where(fractions > 0.75, exponents, exponents - 1).astype(np.int64)
    return found
