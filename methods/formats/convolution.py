"""A convolution as one product with the unfolded input, for formats that multiply matrices."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional

Pair = tuple[int, int]


def convolve(
    x: torch.Tensor,
    shape: tuple[int, ...],
    product: Callable[[torch.Tensor], torch.Tensor],
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> torch.Tensor:
    """The convolution of ``x`` (batch, channels, height, width) by weights of ``shape``.

    ``product`` takes the unfolded input (channels * kernel height * kernel width, batch * places),
    float32, all groups together, and returns (outputs, batch * places).
    """
    kernel = (shape[2], shape[3])
    places = [
        (size + 2 * pad - spread * (reach - 1) - 1) // step + 1
        for size, pad, spread, reach, step in zip(
            x.shape[2:], padding, dilation, kernel, stride, strict=True
        )
    ]
    columns = functional.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride)
    matrix = columns.permute(1, 0, 2).reshape(columns.shape[1], -1)
    outputs = product(matrix)
    folded = outputs.reshape(shape[0], x.shape[0], math.prod(places)).permute(1, 0, 2)
    return folded.reshape(x.shape[0], shape[0], *places).contiguous()
