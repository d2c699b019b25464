"""Dense products as plain loops, compiled as they stand: imported only where numba is installed.

What a layer costs without a library: one loop inside the other, sums in their order.
"""

from typing import Any

import numba
import numpy as np


def _linear(x: Any, weight: Any, out: Any) -> None:
    """``out`` (outputs) = ``weight`` (outputs, inputs) times ``x`` (inputs)."""
    for o in range(weight.shape[0]):
        total = np.float32(0)
        for i in range(weight.shape[1]):
            total += weight[o, i] * x[i]
        out[o] = total


def _convolution(x: Any, weight: Any, stride: int, groups: int, out: Any) -> None:
    """Adds to ``out`` (outputs, height, width) the convolution of the padded ``x``.

    The innermost loop runs along a row of the map, so that the compiler may make vectors of it.
    """
    outputs, channels, tall, wide = weight.shape
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for c in range(channels):
            for ky in range(tall):
                for kx in range(wide):
                    value = weight[o, c, ky, kx]
                    for y in range(out.shape[1]):
                        for column in range(out.shape[2]):
                            pixel = x[first + c, y * stride + ky, column * stride + kx]
                            out[o, y, column] += value * pixel


linear: Any = numba.njit(nogil=True, cache=True)(_linear)
convolution: Any = numba.njit(nogil=True, cache=True)(_convolution)
