"""Roundings at random that keep the mean: weights to -1, 0 and 1, numbers to powers of two.

Lin, Courbariaux, Memisevic, Bengio: "Neural Networks with Few Multiplications", ICLR 2016. All
randomness comes from a ``RandomBits``, so from a seed; how many bits a draw takes, and so how
nearly it meets its probability, stands with each.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

Draw = Literal["binary", "ternary"]
"""The values that a weight is drawn from: -1 and 1, or 0 besides."""
Exponents = tuple[int, int]
"""The least and the greatest exponent before the rounding, which may add one."""

_SIXTEEN = 2**16
_MANTISSA_BITS = 23
_EXPONENT_MASK = 0xFF << _MANTISSA_BITS
LARGEST = 2.0**127
"""The largest power of two in float32; what is greater becomes it."""


class RandomBits:
    """Bits of a numpy generator of their own (SFC64): the same for ever from the same seed."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def of_16(self, count: int) -> NDArray[np.uint16]:
        """(count) uint16, uniform."""
        return self._words(count, 4).view(np.uint16)[:count]

    def of_23(self, count: int) -> NDArray[np.int32]:
        """(count) int32, uniform from 0 to 2^23 - 1."""
        words = self._words(count, 2).view(np.int32)[:count]
        words &= (1 << _MANTISSA_BITS) - 1
        return words

    def _words(self, count: int, in_one: int) -> NDArray[Any]:
        return self._generator.integers(0, 2**64, -(-count // in_one), np.uint64)


def draw_weights(weight: torch.Tensor, scale: float, draw: Draw, bits: RandomBits) -> torch.Tensor:
    """Of each weight -1 or 1, or -1, 0 or 1, with ``weight / scale`` as its mean.

    Binary: 1 with probability (w + 1) / 2, else -1, where w = weight / scale. Ternary: the sign of
    w with probability \\|w\\|, else 0. Beyond -scale and scale the draw is certain. Sixteen random
    bits a weight meet each probability to 2^-16.

    Args:
        weight: float32 of any shape.
        scale: what -1 and 1 stand for, above 0.

    Returns:
        float32 of the same shape and memory format.
    """
    noise = _laid_out(torch.from_numpy(bits.of_16(weight.numel())), weight)
    drawn = torch.empty_like(weight).copy_(noise)
    # floor(p + u) is 1 with probability p, for u uniform in (0, 1); here in steps of 2^-16.
    if draw == "ternary":
        drawn.add_(weight, alpha=_SIXTEEN / scale).add_(0.5)
        return drawn.mul_(1 / _SIXTEEN).floor_().clamp_(-1, 1)
    drawn.add_(weight, alpha=_SIXTEEN / 2 / scale).add_((_SIXTEEN + 1) / 2)
    return drawn.mul_(1 / _SIXTEEN).floor_().clamp_(0, 1).mul_(2).sub_(1)


def power_of_two(
    x: torch.Tensor, bits: RandomBits, exponents: Exponents | None = None, zero: float = 0.0
) -> torch.Tensor:
    """Each number as a power of two with its sign, at random with the number as its mean.

    With e = floor(log2 \\|x\\|), \\|x\\| becomes 2^(e + 1) with probability \\|x\\| / 2^e - 1, else
    2^e. Random bits as many as the mantissa has are added to it and it is cleared: the carry into
    the exponent has just that probability. Below 2^-126, where float32 has no exponent of its own,
    the two values are 0 and 2^-126; above 2^127 it is 2^127.

    Args:
        x: float32 of any shape.
        exponents: e is kept within these; magnitudes beyond 2^least and 2^(greatest + 1) become
            those for certain.
        zero: what 0 becomes.
    """
    magnitude = x.detach().abs()
    if exponents is None:
        magnitude.clamp_(max=LARGEST)
    else:
        least, greatest = exponents
        magnitude.clamp_(2.0**least, 2.0 ** (greatest + 1))
    noise = _laid_out(torch.from_numpy(bits.of_23(x.numel())), magnitude)
    magnitude.view(torch.int32).add_(noise).bitwise_and_(_EXPONENT_MASK)
    rounded = magnitude.copysign_(x.detach())
    if exponents is not None or zero:
        rounded.masked_fill_(x == 0, zero)
    return rounded


def _laid_out(noise: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """As ``like`` lies in memory, so that no step goes against its order."""
    strides = torch.empty_like(like, device="meta").stride()
    return noise.as_strided(like.shape, strides).to(like.device)
