"""Product quantization: the weights of each few inputs are one of a layer's shared codewords.

Wu, Leng, Wang, Hu, Cheng: "Quantized Convolutional Neural Networks for Mobile Devices", CVPR
2016, eq. 4 to 7. The input channels are split into M subspaces of d channels (the last one may be
narrower), each with a codebook of its own of K codewords of d values. A code names the codeword
that stands for the weights from one subspace to one output; in a convolution all kernel positions,
and all groups of a grouped one, share the codebooks.

Parts in a file:

* ``codebooks``: float32, little-endian, subspace by subspace, codeword by codeword;
* ``codes``: a field of ceil(log2 K) bits (at least one) for each kernel position, subspace and
  output, in this order of axes;
* ``tables``: d and K as varints.

So the codebooks of C input channels take 4 C K bytes and the codes P M T ceil(log2 K) / 8, for P
kernel positions and T outputs: Table 1 of the paper.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from methods.bits import Reader, pack_fields, packed_bytes, unpack_fields, write_varint
from methods.formats.format import MAX_WEIGHTS, Format, FormatError, check_parts
from methods.kernels.lookup import LookupConvolution, LookupLinear, decoded

MAX_CODEWORDS = 256


class ProductQuantized(Format):
    """Codebooks by subspace of the inputs, and a code for each subspace and output."""

    kind: ClassVar[str] = "product-quantized"
    tolerance: ClassVar[float] = 5e-7

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: NDArray[np.integer],
        codebooks: NDArray[np.floating],
    ) -> None:
        """Hold codes and codebooks of a tensor (outputs, channels, ...kernel).

        Args:
            shape: (outputs, inputs), or (outputs, channels / groups, ...kernel).
            codes: (...kernel, M, outputs), each less than K: (M, outputs) for two dimensions,
                (height, width, M, outputs) for a convolution.
            codebooks: (M, K, d), held as float32. K is at most 256 and no more than outputs
                times kernel positions, d at most the channels, M the channels over d, rounded
                up. What goes beyond the channels in the last subspace is set to 0, not stored.

        Raises:
            ValueError: the arrays disagree, or a code names no codeword.
        """
        if len(shape) < 2:
            raise ValueError(f"a tensor of shape {shape} has no inputs to split")
        if codebooks.ndim != 3:
            raise ValueError(f"codebooks are (subspaces, codewords, width), not {codebooks.shape}")
        _, codewords, width = codebooks.shape
        check_sizes(shape, width, codewords)
        wanted = subspace_count(shape[1], width)
        if codebooks.shape[0] != wanted:
            raise ValueError(f"{codebooks.shape[0]} codebooks where {wanted} belong")
        if codes.shape != codes_shape(shape, width):
            raise ValueError(f"codes of shape {codes.shape} for a tensor of shape {shape}")
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < codewords:
            raise ValueError(f"a code names none of the {codewords} codewords")
        self.shape = tuple(shape)
        self.codes: NDArray[np.uint8] = np.ascontiguousarray(codes, np.uint8)
        self.codebooks: NDArray[np.float32] = np.array(codebooks, np.float32, order="C")
        if wanted:
            self.codebooks[-1, :, self._last_width :] = 0

    @property
    def subspace(self) -> int:
        """d, the input channels of a subspace (of all but the last, which may have fewer)."""
        return int(self.codebooks.shape[2])

    @property
    def codewords(self) -> int:
        """K, the codewords of each subspace."""
        return int(self.codebooks.shape[1])

    @property
    def subspaces(self) -> int:
        """M."""
        return int(self.codebooks.shape[0])

    @property
    def code_bits(self) -> int:
        """Of a code in the file."""
        return code_bits(self.codewords)

    @property
    def _last_width(self) -> int:
        """Channels of the last subspace."""
        return self.shape[1] - (self.subspaces - 1) * self.subspace

    def decode(self) -> torch.Tensor:
        return decoded(self.codes, self.codebooks, self.shape[1])

    def multiply(
        self,
        x: torch.Tensor,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        """As ``Format.multiply``, by tables of inner products of inputs with codewords."""
        if len(self.shape) == 2:
            return self._linear.product(x)
        if len(self.shape) == 4:
            return self._convolution.product(x, stride, padding, dilation, groups)
        raise ValueError(f"nothing is multiplied by a tensor of shape {self.shape}")

    @cached_property
    def _linear(self) -> LookupLinear:
        return LookupLinear(self.codes, self.codebooks, self.shape[1])

    @cached_property
    def _convolution(self) -> LookupConvolution:
        return LookupConvolution(self.codes, self.codebooks, self.shape[1])

    def pack(self) -> dict[str, bytes]:
        whole, last = self.codebooks[:-1], self.codebooks[-1:, :, : self._last_width]
        stored = whole.astype("<f4").tobytes() + last.astype("<f4").tobytes()
        return {
            "codebooks": stored,
            "codes": pack_fields(self.codes.reshape(-1), self.code_bits),
            "tables": write_varint(self.subspace) + write_varint(self.codewords),
        }

    @classmethod
    def unpack(cls, shape: tuple[int, ...], parts: Mapping[str, bytes]) -> Self:
        check_parts(parts, ("codebooks", "codes", "tables"))
        tables = Reader(parts["tables"])
        width = tables.varint("a subspace's width", MAX_WEIGHTS)
        codewords = tables.varint("the number of codewords", MAX_CODEWORDS)
        tables.finish("the number of codewords")
        if len(shape) < 2:
            raise FormatError(f"a tensor of shape {shape} has no inputs to split")
        try:
            check_sizes(shape, width, codewords)
        except ValueError as fault:
            raise FormatError(str(fault)) from fault
        held = len(parts["codebooks"])
        if held != 4 * shape[1] * codewords:
            raise FormatError(
                f"codebooks hold {held} bytes where 4 x {shape[1] * codewords} belong"
            )
        wanted, bits = codes_shape(shape, width), code_bits(codewords)
        count = math.prod(wanted)
        if len(parts["codes"]) != packed_bytes(bits, count):
            raise FormatError(f"{count} codes do not fill {len(parts['codes'])} bytes")
        codes = unpack_fields(parts["codes"], bits, count)
        if count and int(codes.max()) >= codewords:
            raise FormatError(f"code {int(codes.max())} names none of the {codewords} codewords")
        codebooks = _padded(np.frombuffer(parts["codebooks"], "<f4"), shape[1], codewords, width)
        return cls(shape, codes.reshape(wanted), codebooks)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ProductQuantized)
            and self.shape == other.shape
            and self.codebooks.shape == other.codebooks.shape
            and self.codebooks.tobytes() == other.codebooks.tobytes()
            and np.array_equal(self.codes, other.codes)
        )


def subspace_count(channels: int, width: int) -> int:
    """M, the subspaces of ``width`` that ``channels`` make, the last one perhaps narrower."""
    return -(-channels // width)


def code_bits(codewords: int) -> int:
    """Bits of a code: ceil(log2 K), and one where there is nothing to choose from."""
    return max(1, (codewords - 1).bit_length())


def codes_shape(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """(...kernel, M, outputs) of a tensor (outputs, channels, ...kernel)."""
    return (*shape[2:], subspace_count(shape[1], width), shape[0])


def stored_bytes(shape: tuple[int, ...], width: int, codewords: int) -> int:
    """Bytes of codebooks and codes (Table 1 of the paper), without those of ``tables``."""
    codes = math.prod(codes_shape(shape, width))
    return 4 * shape[1] * codewords + packed_bytes(code_bits(codewords), codes)


def check_sizes(shape: tuple[int, ...], width: int, codewords: int) -> None:
    """Refuse sizes that no layer has: then codebooks have no more values than the layer weights.

    Raises:
        ValueError: a subspace wider than the channels; no codeword, or more than the vectors of a
            subspace (outputs times kernel positions) or than 256.
    """
    most = min(MAX_CODEWORDS, max(1, math.prod((shape[0], *shape[2:]))))
    if not 1 <= codewords <= most:
        raise ValueError(f"a codebook of this layer has 1 to {most} codewords, not {codewords}")
    if not 1 <= width <= max(1, shape[1]):
        raise ValueError(f"a subspace of {width} of {shape[1]} channels")


def _padded(
    stored: NDArray[np.floating], channels: int, codewords: int, width: int
) -> NDArray[Any]:
    """Codebooks (M, K, d) from what ``pack`` stores: the last subspace is filled with zeros."""
    count = subspace_count(channels, width)
    codebooks = np.zeros((count, codewords, width), np.float32)
    if count:
        whole = (count - 1) * codewords * width
        codebooks[:-1] = stored[:whole].reshape(count - 1, codewords, width)
        last = channels - (count - 1) * width
        codebooks[-1, :, :last] = stored[whole:].reshape(codewords, last)
    return codebooks
