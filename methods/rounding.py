"""Rounding to an even grid of levels, without looking at any data.

The plain way, known as round to nearest: the grid spans the weights of a tensor, of an output
channel or of a group from the least to the greatest, and each weight goes to the nearest level
(half-way cases to the even code). Jacob et al. 2018, "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", section 2.1, has the form with a zero point.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from methods.formats.uniform import (
    Granularity,
    ScaleDtype,
    Uniform,
    group_lengths,
    scale_count,
)

_LEAST = {"float32": np.float32(2**-126), "float16": np.float32(2**-24)}
_MOST = {"float32": np.finfo(np.float32).max, "float16": np.float32(65504)}
FloatArray = NDArray[np.float32]


def round_to_nearest(
    weight: torch.Tensor,
    bits: int,
    *,
    granularity: Granularity = "channel",
    group_size: int | None = None,
    symmetric: bool = False,
    scale_dtype: ScaleDtype = "float32",
) -> Uniform:
    """The nearest levels of a grid of 2^bits (symmetric: 2^bits - 1) over the weights' range.

    symmetric: the grid spans minus to plus the largest magnitude; one bit is a sign, whose scale
    is the mean magnitude (the least squared error). Else it spans the least to the greatest
    weight, stretched to hold 0, which is a level exactly.

    Args:
        weight: finite, any shape; the first dimension is that of output channels.
        bits: 1 to 8, or 16.
        group_size: of granularity ``group`` and only there.

    Raises:
        ValueError: a weight is not finite, or something is out of its range.
    """
    flat = weight.detach().cpu().to(torch.float32).reshape(-1).numpy()
    if not np.isfinite(flat).all():
        raise ValueError("weights to round must be finite")
    shape = tuple(weight.shape)
    counts = group_lengths(shape, granularity, group_size)
    zeros: NDArray[np.int64] | None = None
    if symmetric:
        scales = _stored_scales(_magnitudes(flat, counts, bits), scale_dtype)
        levels = flat / np.repeat(scales, counts)
        if bits == 1:
            codes = (levels >= 0).astype(np.int64)
        else:
            most = (1 << (bits - 1)) - 1
            codes = _nearest(levels, -most, most) + most + 1
    else:
        most = (1 << bits) - 1
        low, high = _ends(flat, counts)
        scales = _stored_scales((high - low) / np.float32(most), scale_dtype)
        zeros = _nearest(-low / scales, 0, most)
        offsets = np.repeat(zeros, counts)
        codes = _nearest(flat / np.repeat(scales, counts), -most, most) + offsets
        codes = np.clip(codes, 0, most)
    assert scales.size == scale_count(shape, granularity, group_size)
    return Uniform(
        shape,
        codes,
        scales,
        bits=bits,
        zeros=zeros,
        granularity=granularity,
        group_size=group_size,
        scale_dtype=scale_dtype,
    )


def _nearest(levels: NDArray[np.floating], least: int, most: int) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = np.clip(np.rint(levels), least, most).astype(np.int64)
    return codes


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts) - counts


def _magnitudes(flat: FloatArray, counts: NDArray[np.int64], bits: int) -> FloatArray:
    """The step of each symmetric grid before it is rounded to its stored type."""
    if not counts.size:
        return np.empty(0, np.float32)
    sizes = np.abs(flat)
    if bits == 1:
        return (np.add.reduceat(sizes.astype(np.float64), _starts(counts)) / counts).astype(
            np.float32
        )
    return np.asarray(np.maximum.reduceat(sizes, _starts(counts)) / ((1 << (bits - 1)) - 1))


def _ends(flat: FloatArray, counts: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """The least and the greatest weight of each group, 0 among them."""
    if not counts.size:
        return np.empty(0, np.float32), np.empty(0, np.float32)
    starts = _starts(counts)
    low = np.minimum(np.minimum.reduceat(flat, starts), np.float32(0))
    high = np.maximum(np.maximum.reduceat(flat, starts), np.float32(0))
    return low, high


def _stored_scales(scales: FloatArray, dtype: ScaleDtype) -> FloatArray:
    """As the file will hold them, rounded up so that the ends of a grid hold; never 0."""
    bounded = np.clip(scales, _LEAST[dtype], _MOST[dtype])
    stored = bounded.astype(np.dtype(dtype))
    with np.errstate(over="ignore"):  # of the largest, which is not taken
        above = np.nextafter(stored, stored.dtype.type(np.inf))
    stored = np.where(stored < bounded, above, stored)
    return stored.astype(np.float32)
