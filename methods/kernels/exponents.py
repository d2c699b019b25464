"""Exponents of weights that are powers of two: which have normal float32 numbers."""

import math

import numpy as np

EXPONENTS = range(-126, 128)
"""Of normal float32 numbers."""
_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


def levels(bits: int) -> int:
    """How many exponents codes of so many bits tell apart."""
    return (1 << (bits - 1)) - 1


def normal_exponents(scale: float) -> range:
    """Those that give normal float32 numbers with a scale that is one itself, and positive."""
    own = math.frexp(scale)[1] - 1
    first, last = EXPONENTS[0], EXPONENTS[-1]
    return range(max(first, first - own), min(last, last - own) + 1)


def stored_scale(scale: float) -> float:
    """``scale`` as float32 has it.

    Raises:
        ValueError: it is not positive, finite and normal there.
    """
    with np.errstate(over="ignore"):
        stored = float(np.array(scale, np.float64).astype(np.float32))
    if not _SMALLEST <= stored <= _LARGEST:
        raise ValueError(f"the scale is {scale}: positive, finite and normal in float32")
    return stored


def check_exponents(scale: float, least: int, count: int) -> None:
    """Refuse those whose products leave the range of normal float32 numbers.

    Raises:
        ValueError: some do.
    """
    allowed = normal_exponents(scale)
    if least not in allowed or least + count - 1 not in allowed:
        raise ValueError(
            f"{count} exponents from {least} on where {allowed[0]} to {allowed[-1]} are allowed"
        )
